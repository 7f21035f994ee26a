"""Bodies of requests: what they may hold, and what it has to be."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from triroute.router.convert.checks import MOST_MESSAGES, MOST_TOOLS
from triroute.router.openai import fields
from triroute.router.openai.fields import MOST_32
from triroute.router.types import DraftSource, LatencyClass, Mode, StepKind, Variant, Verification

_MOST_64, _MOST_FLOAT = 2**64 - 1, 3e38  # that the protobufs hold

Texts = Annotated[list[str] | None, BeforeValidator(fields.texts)]
Ignored = Any
Count = Annotated[int, Field(ge=0, le=MOST_32)]
Number = Annotated[float, Field(ge=-_MOST_FLOAT, le=_MOST_FLOAT)]
Choice = Annotated[str | dict[str, Any] | None, BeforeValidator(fields.choice)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class CalledFunction(_Body):
    name: str
    arguments: str = "{}"


class Call(_Body):
    """A call of an earlier turn. Its place among them is told, too, by clients that keep what they streamed."""

    id: str = ""
    type: Literal["function"] = "function"
    function: CalledFunction
    index: Ignored = None


class Turn(_Body):
    """A message. What else clients send back of an answer is ignored where it is empty."""

    role: Annotated[Literal["system", "developer", "user", "assistant", "tool"], BeforeValidator(fields.role)]
    content: Annotated[str, BeforeValidator(fields.text)] = ""
    name: str | None = None
    tool_calls: Annotated[list[Call], Field(max_length=MOST_TOOLS)] | None = None
    tool_call_id: str | None = None
    refusal: Annotated[Any, fields.only("", why="refusals are not taken; send them as content")] = None
    audio: Annotated[Any, fields.refused("audio is not taken; the model reads text alone")] = None
    function_call: Annotated[Any, fields.refused("functions are gone; use tool_calls")] = None
    annotations: Ignored = None
    triroute: Ignored = None


class Function(_Body):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(_Body):
    type: Literal["function"] = "function"
    function: Function


class NamedSchema(_Body):
    """`name`, `description` and `strict` change nothing: the output is held to the schema."""

    schema_: dict[str, Any] = Field(alias="schema")
    name: Ignored = None
    description: Ignored = None
    strict: Ignored = None


class Format(_Body):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: NamedSchema | None = None


class StreamOptions(_Body):
    include_usage: bool | None = None
    include_obfuscation: Annotated[Any, fields.only(False, why="answers are not padded")] = None


class Wishes(_Body):
    """What OpenAI's API has no place for, under the key `triroute`. Spelled as in `generate --prompts`."""

    mode: Mode | None = None
    variant: Variant | None = None
    block_length: Annotated[Any, BeforeValidator(fields.block_length)] = None
    confidence_threshold: Number | None = None
    max_steps: Count | None = None
    fixed_steps: Count | None = None
    draft_sources: list[DraftSource] | None = None
    draft_threshold: Number | None = None
    verification: Verification | None = None
    step: StepKind | None = None
    session_id: str | None = None
    tags: list[str] | None = None
    tenant: str | None = None
    expected_tokens: Count | None = None
    latency_class: LatencyClass | None = None
    first_token_ms: Count | None = None
    regex: str | None = None
    lark: str | None = None
    top_k: Count | None = None
    min_p: Number | None = None
    repetition_penalty: Number | None = None


class _Common(_Body):
    model: str | None = None
    max_tokens: Count | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    seed: Annotated[int, Field(ge=0, le=_MOST_64)] | None = None
    stop: Texts = None
    presence_penalty: Number | None = None
    frequency_penalty: Number | None = None
    logit_bias: Annotated[dict[str, Number] | None, BeforeValidator(fields.biases)] = None
    n: Annotated[Any, fields.only(1, why="one choice is made for a request; send it again for another")] = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    user: Ignored = None
    triroute: Wishes | None = None


class ChatBody(_Common):
    """Of /v1/chat/completions."""

    messages: Annotated[list[Turn], Field(max_length=MOST_MESSAGES)]
    tools: Annotated[list[OfferedTool], Field(max_length=MOST_TOOLS)] | None = None
    tool_choice: Choice = None
    parallel_tool_calls: bool | None = None
    response_format: Format | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Count | None = None
    functions: Annotated[Any, fields.refused("functions are gone; use tools")] = None
    function_call: Annotated[Any, fields.refused("functions are gone; use tool_choice")] = None
    modalities: Annotated[Any, fields.only(["text"], why="the model writes text alone")] = None
    audio: Annotated[Any, fields.refused("the model writes text alone")] = None
    web_search_options: Annotated[Any, fields.refused("there is no web search here; offer it as a tool")] = None
    moderation: Annotated[Any, fields.refused("nothing is moderated here")] = None
    store: Annotated[
        Any, fields.only(False, why="answers are not stored for later; records are, as the policy says")
    ] = None
    metadata: Ignored = None
    service_tier: Ignored = None
    reasoning_effort: Ignored = None
    verbosity: Ignored = None
    prediction: Ignored = None
    prompt_cache_key: Ignored = None
    prompt_cache_options: Ignored = None
    prompt_cache_retention: Ignored = None
    safety_identifier: Ignored = None


class TextBody(_Common):
    """Of /v1/completions."""

    prompt: Annotated[str, BeforeValidator(fields.prompt)]
    logprobs: Count | None = None
    best_of: Annotated[Any, fields.only(1, why="one choice is made for a request")] = None
    echo: Annotated[Any, fields.only(False, why="the prompt is not repeated; put it before the text yourself")] = None
    suffix: Annotated[Any, fields.only("", why="text is only continued, and nothing is put between")] = None
