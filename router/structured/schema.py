"""JSON against JSON Schemas, formats on: nothing is fetched, and no pattern takes longer than its share of time."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Any

import referencing.exceptions
import regex
from jsonschema.exceptions import UnknownType

from triroute.router.structured.dialect import PATTERN_SECONDS, UnreadNumber, read, validator_of
from triroute.router.structured.formats import UnreadPattern
from triroute.router.structured.where import offset_of

_LONGEST_PROBLEM = 200
_MOST_ERRORS = 64
# A reference may lead to anything, and keywords find anything there.
_ASTRAY = (AttributeError, KeyError, TypeError, ValueError, UnknownType)
_NO_ARGUMENTS = '{"type": "object", "additionalProperties": false}'


@dataclass(frozen=True, slots=True)
class Wrong:
    """Where a text is not what its schema asks for, and why. `keys` leads to the place; `broken`: it is no JSON."""

    keys: tuple[str | int, ...]
    problem: str
    broken: bool = False

    @property
    def path(self) -> str:
        """As a JSON path. Lone surrogates, which JSON can hold and UTF-8 can't, are written as in JSON."""
        return _sayable("$" + "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.keys))


class Unjudged(Exception):
    """The schema can't say whether a value fits: it refers to itself without end, or judging by it takes too long."""


def wrong_in(text: str, schema: str) -> Wrong | None:
    """The first thing in a JSON text that is wrong; None when nothing is. Raises Unjudged.

    How long that takes is up to the schema: what came from others is asked of `Judges`.
    """
    try:
        value = read(text)
    except UnreadNumber as long:
        raise Unjudged(f"the output {long}") from long
    except RecursionError:
        return Wrong((), "is nested too deep to be read", broken=True)
    except ValueError as unread:
        return Wrong((), f"is not JSON: {unread}", broken=True)
    try:
        errors = islice(_validator(schema or _NO_ARGUMENTS).iter_errors(value), _MOST_ERRORS)
        error = min(errors, key=lambda one: offset_of(text, one.absolute_path), default=None)
    except RecursionError as endless:
        raise Unjudged("the schema refers to itself without end") from endless
    except TimeoutError as slow:
        raise Unjudged(f"a pattern of the schema takes longer than {PATTERN_SECONDS} s") from slow
    except UnreadPattern as unread:
        raise Unjudged(f"the schema or the output {unread}") from unread
    except (referencing.exceptions.Unresolvable, regex.error) as unknown:
        raise Unjudged(f"the schema can't be followed: {str(unknown)[:_LONGEST_PROBLEM]}") from unknown
    except _ASTRAY as astray:
        raise Unjudged("the schema can't be followed: a reference in it leads to what is no schema") from astray
    except Exception as other:
        raise Unjudged(f"could not be judged: {type(other).__name__}") from other
    if error is None:
        return None
    return Wrong(tuple(error.absolute_path), _sayable(f"{error.validator}: {error.message[:_LONGEST_PROBLEM]}"))


def _sayable(text: str) -> str:
    return text.encode(errors="backslashreplace").decode()


@lru_cache(maxsize=64)
def _validator(schema: str) -> Any:
    return validator_of(read(schema))
