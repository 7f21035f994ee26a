"""What all parts of a policy file share: closed, frozen, and strict about types."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]

_DURATION = re.compile(r"([1-9][0-9]{0,4})([smh])")
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LONGEST = 24 * 3600


def seconds(duration: str) -> int:
    """`10m` in seconds. Raises ValueError."""
    found = _DURATION.fullmatch(duration)
    if not found or int(found[1]) * _UNITS[found[2]] > _LONGEST:
        raise ValueError(f"{duration!r} is no duration up to 24h; write a number and s, m or h, as in 10m")
    return int(found[1]) * _UNITS[found[2]]


def _checked(duration: str) -> str:
    seconds(duration)
    return duration


Duration = Annotated[str, AfterValidator(_checked), Field(json_schema_extra={"pattern": f"^{_DURATION.pattern}$"})]


class Part(BaseModel):
    """A mapping of the file. Unknown keys are errors, and words are not numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
