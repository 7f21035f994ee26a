"""Values of protobuf enums as people and other programs read them: `MODE_SELF_SPECULATION` is `self_speculation`."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.protobuf.internal.enum_type_wrapper import _EnumTypeWrapper


def word(enum: _EnumTypeWrapper[Any], value: int) -> str:
    """The value's name without its enum's, in small letters. Raises ValueError for a value that the enum has not."""
    return enum.Name(value).removeprefix(_prefix(enum)).lower()


@cache
def _prefix(enum: _EnumTypeWrapper[Any]) -> str:
    """All names of an enum begin so; its zero is `PREFIX_UNSPECIFIED`, or `_UNKNOWN`."""
    return enum.Name(0).rpartition("_")[0] + "_"
