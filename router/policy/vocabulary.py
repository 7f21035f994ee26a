"""The closed vocabulary of a policy file, and its JSON Schema for editors.

Each field's description is what an editor shows.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, model_validator

from triroute.router.policy.part import Duration, Name, Part, Probability
from triroute.router.policy.trial.candidate import LEAST_RATIO, MOST_PERCENT, MOST_RATIO
from triroute.router.policy.use import Use
from triroute.router.policy.when import Globs, HintName, When

Number = TypeVar("Number", int, float)
Bounds = Annotated[list[Number], Field(min_length=2, max_length=2)]

__all__ = [
    "HintName",
    "HintsPolicy",
    "Limits",
    "Metadata",
    "PolicyFile",
    "Rate",
    "Rollout",
    "Rule",
    "Session",
    "Use",
    "When",
    "json_schema",
]


class Metadata(Part):
    """Who owns this policy."""

    name: Name = Field(description="Short name, shown in traces.")
    owner: str = Field(default="", max_length=128, description="Team or person to ask.")
    description: str = Field(default="", max_length=1000, description="What it is for.")


class Rule(Part):
    """One rule. The first whose conditions hold decides."""

    id: Name = Field(description="Unique; shown in every decision that the rule makes.")
    description: str = Field(default="", max_length=500, description="For people.")
    when: When | None = Field(default=None, description="Conditions. The last rule has none.")
    use: Use = Field(description="What to run.")
    enforcement: Literal["enforce", "shadow"] = Field(
        default="enforce", description="`shadow`: only note that the rule would have fired."
    )
    urgent: bool = Field(
        default=False,
        description="Judge its conditions on the load by the load of the moment, in sessions that hold an earlier one"
        " too.",
    )


class Limits(Part):
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


class HintsPolicy(Part):
    """Which hints callers may give. Others are noted in the decision, and not followed."""

    allow: list[HintName] = Field(default_factory=list, description="Hints that are followed.")


Ratio = Annotated[float, Field(ge=LEAST_RATIO, le=MOST_RATIO, allow_inf_nan=False)]


class AbortIf(Part):
    """When a canary is stopped. Compared with the active policy, over the same time."""

    error_ratio: Ratio = Field(
        default=1.5, description="Its odds of a failed step are more than so many times as high, beyond doubt."
    )
    latency_ratio: Ratio = Field(
        default=1.2, description="Its steps take more than so many times as long for each token, beyond doubt."
    )


class Rollout(Part):
    """Another policy on trial. It is no part of the revision: it says who is decided for by which policy, not how."""

    candidate: str = Field(
        min_length=1, max_length=512, description="File of the policy on trial, from the folder of this file."
    )
    percent: Annotated[float, Field(ge=0, le=MOST_PERCENT, allow_inf_nan=False)] = Field(
        description="Share of the keys that it decides. At 0 it only says what it would decide (shadow)."
    )
    key: Literal["session_id", "tenant", "request_id"] = Field(
        default="session_id", description="What keeps its side. A step that has none is on its own."
    )
    abort_if: AbortIf = Field(default_factory=AbortIf, description="When it is stopped.")


class Session(Part):
    """What later steps of a session keep. Each kind of step keeps its own, until the policy's revision changes."""

    sticky: Literal["load"] = Field(
        description="`load`: conditions on the load hold as they did for the session's first step of the kind, so that"
        " a load that comes and goes does not change how a session is decoded. Rules that are `urgent` see the load"
        " of the moment."
    )
    for_: Duration = Field(
        default="10m", alias="for", description="How long, from that first step on; then the load is looked at again."
    )


class Rate(Part):
    """How much each tenant may ask for, over all routers of the fleet. Of the list, the first that names it counts."""

    tenant: Globs = Field(
        default="*",
        description="Who it is for; `*` and `?` stand for any characters, and steps without a tenant have an empty"
        " name. Or several. Each tenant has an account of its own.",
    )
    requests_per_minute: Annotated[int, Field(ge=1, le=10_000_000)] | None = Field(
        default=None, description="Steps a minute."
    )
    tokens_per_minute: Annotated[int, Field(ge=1, le=1_000_000_000)] | None = Field(
        default=None,
        description="Tokens a minute, of prompts and outputs. A step reserves what it may use at most, and gives back"
        " what it did not.",
    )
    burst: Duration = Field(
        default="1m", description="How much may be used at once after a rest: what so long a time gives."
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Rate:
        if self.requests_per_minute is None and self.tokens_per_minute is None:
            raise ValueError("limits nothing; give requests_per_minute, tokens_per_minute, or both")
        return self


def globs(rate: Rate) -> list[str]:
    """The patterns of its tenants."""
    return [rate.tenant] if isinstance(rate.tenant, str) else rate.tenant


class PolicyFile(Part):
    """A Triroute policy: how each kind of agent step is decoded."""

    version: Literal[1] = Field(description="Version of this format.")
    metadata: Metadata = Field(description="Its name, and whom to ask.")
    defaults: Use = Field(default_factory=Use, description="Parameters that rules start from.")
    limits: Limits = Field(default_factory=Limits, description="Hard limits for rules and hints.")
    hints: HintsPolicy = Field(default_factory=HintsPolicy, description="Which hints callers may give.")
    session: Session | None = Field(default=None, description="What later steps of a session keep. Left out: nothing.")
    rates: list[Rate] = Field(
        default_factory=list, max_length=1000, description="How much each tenant may ask for. Left out: all it wants."
    )
    rollout: Rollout | None = Field(default=None, description="Another policy on trial.")
    rules: list[Rule] = Field(min_length=1, max_length=1000, description="In order; the first that matches decides.")


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a policy file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **PolicyFile.model_json_schema(by_alias=True)}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))  # noqa: T201
