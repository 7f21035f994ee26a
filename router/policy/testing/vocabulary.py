"""The closed vocabulary of a policy's test file, and its JSON Schema for editors."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from triroute.router.policy.part import Part
from triroute.router.policy.use import ModeName
from triroute.router.policy.when import HintName, SegmentName, StepName

Whole = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class GivenStep(Part):
    """What the classifier would have said."""

    kind: StepName = Field(description="The step's class.")
    confidence: Share = Field(default=1.0, description="How sure.")


class GivenFleet(Part):
    """How busy all engines of the fleet are."""

    routers: Annotated[int, Field(ge=1)] = Field(default=1, description="Routers, this one included.")
    running: Whole = Field(default=0, description="Requests that share passes, at all engines.")
    waiting: Whole = Field(default=0, description="Requests that wait for cache, at all engines.")
    cache_used: Share = Field(default=0.0, description="Mean share of the KV cache in use.")


class GivenLoad(Part):
    """How busy the engine is."""

    running: Whole = Field(default=0, description="Requests that share passes.")
    waiting: Whole = Field(default=0, description="Requests that wait for cache.")
    cache_used: Share = Field(default=0.0, description="Share of the KV cache in use.")
    fleet: GivenFleet | None = Field(
        default=None, description="How busy the fleet is. Left out: no other router is known of."
    )


class ExpectPart(Part):
    """What must come out for a part of the answer."""

    rule: str = Field(description="The rule that decides there.")
    mode: ModeName = Field(description="The decoder.")


class Expect(Part):
    """What must come out; what is left out may be anything."""

    step: StepName | None = Field(default=None, description="The step's class.")
    rule: str | None = Field(default=None, description="The rule that decides.")
    mode: ModeName | None = Field(default=None, description="The decoder.")
    variant: Literal["linear", "quadratic"] | None = Field(default=None, description="Arrangement of self-speculation.")
    block_length: int | Literal["auto"] | None = Field(default=None, description="Tokens a block.")
    confidence_threshold: float | None = Field(default=None, description="Diffusion's threshold.")
    max_steps: int | None = Field(default=None, description="Most refinement steps.")
    fixed_steps: int | None = Field(default=None, description="Exactly so many refinement steps; 0 for none.")
    draft_sources: list[Literal["diffusion", "prompt_lookup"]] | None = Field(
        default=None, description="Where drafts come from."
    )
    draft_threshold: float | None = Field(default=None, description="Drafts under it are drafted again.")
    verification: Literal["exact", "relaxed"] | None = Field(default=None, description="When a draft is accepted.")
    grammar: Literal["as_asked", "required", "off"] | None = Field(default=None, description="Held to a grammar?")
    capture: Literal["none", "features", "content"] | None = Field(default=None, description="What records keep.")
    audit: Literal["best_effort", "required"] | None = Field(default=None, description="Whether a record must be kept.")
    clamps: dict[str, float] | None = Field(
        default=None, description="All parameters that limits moved, and what they became; {} for none."
    )
    shadow: list[str] | None = Field(default=None, description="All shadow rules that would have fired.")
    followed: list[HintName] | None = Field(default=None, description="All hints that are followed.")
    ignored: list[HintName] | None = Field(default=None, description="All hints that are not.")
    segments: dict[SegmentName, ExpectPart] | None = Field(
        default=None, description="All parts of the answer that have their own decoder; {} for none."
    )
    refused: str | None = Field(default=None, description="The request is refused, and the message has this in it.")

    @model_validator(mode="after")
    def _says_something(self) -> Expect:
        if not self.model_fields_set:
            raise ValueError("expects nothing; name the rule at least")
        return self


class Row(Part):
    """A variation of a case: what it gives goes over what the case gives."""

    name: str = Field(default="", max_length=200, description="What is special about it.")
    request: dict[str, Any] | None = Field(
        default=None, description="A request, with the keys of `triroute generate --prompts`: messages, tools, tags…"
    )
    step: StepName | GivenStep | None = Field(
        default=None, description="The step's class, as if the classifier had said so. Left out: it says itself."
    )
    load: GivenLoad | list[GivenLoad] | None = Field(
        default=None, description="How busy the engine is; a list is seen one after the other, for `resume_at`."
    )
    held: GivenLoad | None = Field(
        default=None, description="The load that the session holds; the policy has `session: {sticky: load}`."
    )
    expect: Expect | None = Field(default=None, description="What must come out.")


class Case(Row):
    """A request or a step, and what the policy must make of it; with a table, once for each of its rows."""

    name: str = Field(min_length=1, max_length=200, description="What is tested.")
    table: list[Row] | None = Field(default=None, min_length=1, description="Variations, each a test of its own.")

    @model_validator(mode="after")
    def _complete(self) -> Case:
        for row in self.table or [self]:
            if (self.expect or row.expect) is None:
                raise ValueError("has no `expect`; say what must come out")
            if (self.request or row.request or self.step or row.step) is None:
                raise ValueError("names neither a request nor a step; give one")
        return self


class TestFile(Part):
    """Tests of a policy. They need no service, no engine and no model."""

    __test__ = False  # not pytest's

    version: Literal[1] = Field(description="Version of this format.")
    policy: str | None = Field(
        default=None, description="The policy file, from here. Left out: the one beside, without `_test`."
    )
    coverage: Share = Field(default=1.0, description="Least share of the policy's rules that cases reach.")
    shared: Any = Field(default=None, description="A place for anchors; not looked at.")
    cases: list[Case] = Field(description="In order.")


def json_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a test file."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **TestFile.model_json_schema(by_alias=True)}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=2))  # noqa: T201
