"""What all parts of a policy file share: closed, frozen, and strict about types."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]


class Part(BaseModel):
    """A mapping of the file. Unknown keys are errors, and words are not numbers."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
