"""The closed vocabulary of conditions. Each field's description is what an editor shows."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from triroute.router.policy.part import Part

StepName = Literal["plan", "tool_call", "code", "prose", "unknown"]
ToolChoiceName = Literal["auto", "none", "required", "named"]
SegmentName = Literal["prose", "code", "tool_call", "thinking", "plan"]
RoleName = Literal["system", "user", "assistant", "tool"]
LatencyName = Literal["interactive", "standard", "batch"]
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
Number = Annotated[float, Field(allow_inf_nan=False)]
Pattern = Annotated[str, Field(min_length=1, max_length=128)]
Globs: TypeAlias = Pattern | Annotated[list[Pattern], Field(min_length=1)]


class Range(Part):
    """Numeric conditions; all that are given must hold."""

    lt: Number | None = Field(default=None, description="Less than.")
    lte: Number | None = Field(default=None, description="Less than or equal.")
    gt: Number | None = Field(default=None, description="Greater than.")
    gte: Number | None = Field(default=None, description="Greater than or equal.")

    @model_validator(mode="after")
    def _says_something(self) -> Range:
        if all(bound is None for bound in (self.lt, self.lte, self.gt, self.gte)):
            raise ValueError("give at least one of lt, lte, gt, gte")
        return self


class LoadRange(Range):
    """A numeric condition on the load. With `resume_at` it does not flap: once past its bound, it stays so until then.

    `{lt: 8, resume_at: 6}` holds until 8 are reached, and then not before 6 are. `{gte: 8, resume_at: 6}` is its
    opposite.
    """

    resume_at: Number | None = Field(
        default=None, description="Once past the bound, stay so until the figure is at or under this."
    )

    @model_validator(mode="after")
    def _one_bound(self) -> LoadRange:
        bounds = [bound for bound in (self.lt, self.lte, self.gt, self.gte) if bound is not None]
        if self.resume_at is not None and len(bounds) != 1:
            raise ValueError("resume_at goes with exactly one of lt, lte, gt, gte; split the condition with `all`")
        if self.resume_at is not None and self.resume_at >= bounds[0]:
            raise ValueError(f"resume_at must be under the bound ({bounds[0]:g}), so that there is a gap")
        return self


class Tags(Part):
    """Conditions on a set of labels; all that are given must hold."""

    any: list[str] = Field(default_factory=list, description="At least one of these.")
    all: list[str] = Field(default_factory=list, description="Every one of these.")
    none: list[str] = Field(default_factory=list, description="Not one of these.")


class HintsGiven(Part):
    """Conditions on which hints the caller gives, followed or not; all that are given must hold."""

    any: list[HintName] = Field(default_factory=list, description="At least one of these.")
    all: list[HintName] = Field(default_factory=list, description="Every one of these.")
    none: list[HintName] = Field(default_factory=list, description="Not one of these.")


class TurnWhen(Part):
    """Conditions on where the conversation stands."""

    messages: Range | None = Field(default=None, description="Messages in the conversation.")
    tool_loop: Range | None = Field(
        default=None, description="Rounds of tool calls and results since the last user message."
    )
    last_tool_failed: bool | None = Field(
        default=None,
        description="Whether the last message is a tool result that reports a failure: JSON with an error, a false"
        " `ok` or `success`, or text that begins with Error, Failed or Traceback.",
    )


class LatencyWhen(Part):
    """Conditions on how soon the caller needs the step. What the caller did not say matches nothing."""

    class_: LatencyName | list[LatencyName] | None = Field(
        default=None, alias="class", description="The caller's latency class, or several."
    )
    first_token_ms: Range | None = Field(
        default=None, description="Time to the first token that the caller can live with, milliseconds."
    )


class FleetWhen(Part):
    """Conditions on all routers of the fleet, this one included. Where no other is known of, this one is the fleet."""

    routers: LoadRange | None = Field(default=None, description="Routers that were heard of in the last two seconds.")
    running: LoadRange | None = Field(default=None, description="Requests that share passes now, at all engines.")
    waiting: LoadRange | None = Field(default=None, description="Requests that wait for cache, at all engines.")
    cache_used: LoadRange | None = Field(
        default=None, description="Share of the KV cache in use, 0 to 1, as a mean over the engines."
    )


class LoadWhen(Part):
    """Conditions on how busy the engine is."""

    running: LoadRange | None = Field(default=None, description="Requests that share passes now.")
    waiting: LoadRange | None = Field(default=None, description="Requests that wait for cache.")
    cache_used: LoadRange | None = Field(default=None, description="Share of the KV cache in use, 0 to 1.")
    fleet: FleetWhen | None = Field(default=None, description="How busy the whole fleet is.")


class When(Part):
    """Conditions of a rule; all that are given must hold."""

    step: StepName | list[StepName] | None = Field(default=None, description="The step's class, or several.")
    segment: SegmentName | list[SegmentName] | None = Field(
        default=None,
        description="A part of the answer, or several: the rule decides how such parts are decoded, never the answer as"
        " a whole.",
    )
    confidence: Range | None = Field(default=None, description="How sure the classifier is, 0 to 1.")
    tools: bool | None = Field(default=None, description="Whether tools are offered.")
    tool: Globs | None = Field(
        default=None, description="A tool with this name is offered; `*` and `?` stand for any characters. Or several."
    )
    tool_choice: ToolChoiceName | list[ToolChoiceName] | None = Field(
        default=None, description="How tools may be used, or several."
    )
    schema_: bool | None = Field(default=None, alias="schema", description="Whether the output must follow a format.")
    session: bool | None = Field(default=None, description="Whether the request names a session.")
    last_role: RoleName | list[RoleName] | None = Field(default=None, description="Who spoke last, or several.")
    prompt_characters: Range | None = Field(
        default=None, description="Characters in all messages together; English has about four a token."
    )
    max_tokens: Range | None = Field(default=None, description="Most output tokens asked for.")
    expected_tokens: Range | None = Field(
        default=None, description="Output tokens that the caller expects; matches nothing where it did not say."
    )
    turn: TurnWhen | None = Field(default=None, description="Where the conversation stands.")
    tenant: Globs | None = Field(
        default=None, description="Who the step is for; `*` and `?` stand for any characters. Or several."
    )
    tags: Tags | None = Field(default=None, description="Labels of the request.")
    hints: HintsGiven | None = Field(default=None, description="Hints that the caller gives.")
    latency: LatencyWhen | None = Field(default=None, description="How soon the caller needs the step.")
    load: LoadWhen | None = Field(default=None, description="How busy the engine is.")
    all: Annotated[list[When], Field(min_length=1)] | None = Field(
        default=None, description="Every one of these groups of conditions holds."
    )
    any: Annotated[list[When], Field(min_length=1)] | None = Field(
        default=None, description="At least one of these groups of conditions holds."
    )
    not_: When | None = Field(default=None, alias="not", description="This group of conditions does not hold.")

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if not self.model_fields_set:
            raise ValueError("says nothing; give a condition, or leave it out")
        return self
