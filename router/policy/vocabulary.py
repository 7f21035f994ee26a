"""The closed vocabulary of a policy file, and its JSON Schema for editors.

Each field's description is what an editor shows.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, model_validator

from triroute.router.types import Mode

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
StepName = Literal["plan", "tool_call", "code", "prose", "unknown"]
ToolChoiceName = Literal["auto", "none", "required", "named"]
RoleName = Literal["system", "user", "assistant", "tool"]
Probability = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Number = TypeVar("Number", int, float)
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Metadata(_Part):
    """Who owns this policy."""

    name: Name = Field(description="Short name, shown in traces.")
    owner: str = Field(default="", max_length=128, description="Team or person to ask.")


class Use(_Part):
    """A decoder and its parameters. What is left out comes from `defaults`."""

    mode: Literal["autoregressive", "diffusion", "self_speculation"] | None = Field(
        default=None, description="One of the three ways to decode."
    )
    variant: Literal["linear", "quadratic"] | None = Field(default=None, description="Arrangement of self-speculation.")
    block_length: Annotated[int, Field(ge=1)] | Literal["auto"] | None = Field(
        default=None, description="Tokens a block, or `auto`: the engine chooses by measured cost."
    )
    confidence_threshold: Probability | None = Field(
        default=None, description="Diffusion keeps a position at or over this probability."
    )
    max_steps: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="Most refinement steps of a diffusion block, or draft passes of a speculation cycle."
    )
    fixed_steps: Annotated[int, Field(ge=1, le=256)] | None = Field(
        default=None, description="Diffusion: exactly so many refinement steps a block, whatever the confidence."
    )
    draft_sources: list[Literal["diffusion", "prompt_lookup"]] | None = Field(
        default=None,
        description="Self-speculation: where drafts may come from. `prompt_lookup` repeats what was written before.",
    )
    draft_threshold: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] | None = Field(
        default=None, description="Linear self-speculation drafts again what is under this probability; 0 drafts once."
    )
    verification: Literal["exact"] | None = Field(default=None, description="When a draft token is accepted.")

    @model_validator(mode="after")
    def _fits(self) -> Use:
        if self.variant is not None and self.mode != Mode.SELF_SPECULATION.value:
            raise ValueError("variant belongs to mode: self_speculation; add the mode, or drop the variant")
        return self


class Range(_Part):
    """Numeric conditions; all that are given must hold."""

    lt: float | None = Field(default=None, description="Less than.")
    lte: float | None = Field(default=None, description="Less than or equal.")
    gt: float | None = Field(default=None, description="Greater than.")
    gte: float | None = Field(default=None, description="Greater than or equal.")

    @model_validator(mode="after")
    def _says_something(self) -> Range:
        if all(bound is None for bound in (self.lt, self.lte, self.gt, self.gte)):
            raise ValueError("give at least one of lt, lte, gt, gte")
        return self


class Tags(_Part):
    """Conditions on the request's tags; all that are given must hold."""

    any: list[str] = Field(default_factory=list, description="At least one of these.")
    all: list[str] = Field(default_factory=list, description="Every one of these.")
    none: list[str] = Field(default_factory=list, description="Not one of these.")


class LoadWhen(_Part):
    """Conditions on how busy the engine is."""

    running: Range | None = Field(default=None, description="Requests that share passes now.")
    waiting: Range | None = Field(default=None, description="Requests that wait for cache.")
    cache_used: Range | None = Field(default=None, description="Share of the KV cache in use, 0 to 1.")


class When(_Part):
    """Conditions of a rule; all that are given must hold."""

    step: StepName | list[StepName] | None = Field(default=None, description="The step's class, or several.")
    confidence: Range | None = Field(default=None, description="How sure the classifier is, 0 to 1.")
    tools: bool | None = Field(default=None, description="Whether tools are offered.")
    tool_choice: Literal["auto", "none", "required", "named"] | None = Field(
        default=None, description="How tools may be used."
    )
    schema_: bool | None = Field(default=None, alias="schema", description="Whether the output must follow a format.")
    session: bool | None = Field(default=None, description="Whether the request names a session.")
    last_role: Literal["system", "user", "assistant", "tool"] | None = Field(
        default=None, description="Who spoke last."
    )
    max_tokens: Range | None = Field(default=None, description="Most tokens asked for.")
    tags: Tags | None = Field(default=None, description="Labels of the request.")
    load: LoadWhen | None = Field(default=None, description="How busy the engine is.")


class Rule(_Part):
    """One rule. The first whose conditions hold decides."""

    id: Name = Field(description="Unique; shown in every decision that the rule makes.")
    description: str = Field(default="", max_length=500, description="For people.")
    when: When | None = Field(default=None, description="Conditions. The last rule has none.")
    use: Use = Field(description="What to run.")
    enforcement: Literal["enforce", "shadow"] = Field(
        default="enforce", description="`shadow`: only note that the rule would have fired."
    )


class Limits(_Part):
    """Hard limits, [least, most]. Rules are clamped to them; a hint outside them is refused."""

    block_length: Bounds[int] = Field(default=[1, 64], description="Tokens a block.")
    confidence_threshold: Bounds[Probability] = Field(default=[0.01, 1.0], description="Probability.")
    max_steps: Bounds[int] = Field(default=[1, 256], description="Refinement steps a block.")

    @model_validator(mode="after")
    def _ordered(self) -> Limits:
        for name in ("block_length", "confidence_threshold", "max_steps"):
            least, most = getattr(self, name)
            if least > most or least <= 0:
                raise ValueError(f"{name}: [least, most] must be positive and in order, not [{least}, {most}]")
        return self


HintName = Literal[
    "step",
    "mode",
    "variant",
    "block_length",
    "confidence_threshold",
    "max_steps",
    "verification",
    "draft_sources",
    "draft_threshold",
    "fixed_steps",
]


class HintsPolicy(_Part):
    """Which hints callers may give. Others are noted in the decision, and not followed."""

    allow: list[HintName] = Field(default_factory=list, description="Hints that are followed.")


class PolicyFile(_Part):
    """A Triroute policy: how each kind of agent step is decoded."""

    version: Literal[1] = Field(description="Version of this format.")
    metadata: Metadata
    defaults: Use = Field(default_factory=Use, description="Parameters that rules start from.")
    limits: Limits = Field(default_factory=Limits)
    hints: HintsPolicy = Field(default_factory=HintsPolicy)
    rules: list[Rule] = Field(min_length=1, max_length=1000, description="In order; the first that matches decides.")


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a policy file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PolicyFile.model_json_schema(by_alias=True)}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))  # noqa: T201
