"""The closed vocabulary of actions. Each field's description is what an editor shows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from triroute.router.policy.part import Part, Probability
from triroute.router.types import Mode

ModeName = Literal["autoregressive", "diffusion", "self_speculation"]


class Decoding(Part):
    """A decoder and its parameters."""

    mode: ModeName | None = Field(default=None, description="One of the three ways to decode.")
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

    @model_validator(mode="after")
    def _fits(self) -> Decoding:
        if self.variant is not None and self.mode != Mode.SELF_SPECULATION.value:
            raise ValueError("variant belongs to mode: self_speculation; add the mode, or drop the variant")
        return self


class Segments(Part):
    """Other parameters for parts of the output. What is left out is as in the rule.

    Where one part is inside another, the inner one decides, if it is named.
    """

    prose: Decoding | None = Field(default=None, description="Text for people.")
    code: Decoding | None = Field(default=None, description="Inside a code fence, or an argument that holds code.")
    tool_call: Decoding | None = Field(default=None, description="Inside a tool call.")
    thinking: Decoding | None = Field(default=None, description="Inside a block of thinking.")
    plan: Decoding | None = Field(default=None, description="Inside a list.")


class Escalation(Part):
    """What to do when the output turns out wrong: decode again, from the last token that was right."""

    on: Annotated[list[Literal["invalid_output", "low_confidence"]], Field(min_length=1)] = Field(
        description="When to decode again: `invalid_output` is not what its JSON Schema or a tool's parameters ask for."
        " No engine tells `low_confidence` yet."
    )
    mode: ModeName = Field(default="autoregressive", description="How to decode then.")
    most: Annotated[int, Field(ge=1, le=8)] = Field(default=1, description="How often at most.")


class Use(Decoding):
    """What to run, and what to keep of it. What is left out comes from `defaults`."""

    verification: Literal["exact", "relaxed"] | None = Field(
        default=None,
        description="When a draft token is accepted: `exact` only where it is what autoregression would have drawn;"
        " `relaxed` also where it is likely enough, which changes the text: it is lossy, and records say so.",
    )
    grammar: Literal["as_asked", "required", "off"] | None = Field(
        default=None,
        description="Whether the output is held to a grammar: as the request asks, always (tool calls to their"
        " schemas as well), or never.",
    )
    escalation: Escalation | None = Field(default=None, description="What to do when the output turns out wrong.")
    segments: Segments | None = Field(default=None, description="Other parameters for parts of the output.")
    capture: Literal["none", "features", "text"] | None = Field(
        default=None, description="What records keep of the prompt: nothing, features and hashes, or its text."
    )
    audit: Literal["best_effort", "required"] | None = Field(
        default=None, description="`required`: a step whose record can't be kept is refused."
    )
