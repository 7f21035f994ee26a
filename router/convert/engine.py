"""What the engine is asked for."""

from __future__ import annotations

from triroute.proto import chat_pb2, engine_pb2, router_pb2
from triroute.router.convert.plan import from_plan, from_segments
from triroute.router.convert.words import CHOICES, number_of
from triroute.router.structured.attempt import Attempt
from triroute.router.types import Request


def to_engine(
    message: router_pb2.GenerateRequest, request: Request, attempt: Attempt, request_id: str
) -> engine_pb2.GenerateRequest:
    """The engine's request: the caller's, complete and decided."""
    sampling = attempt.sampling
    asked = engine_pb2.GenerateRequest(
        request_id=request_id,
        tools=message.tools,
        tool_choice=chat_pb2.ToolChoice(
            kind=number_of(CHOICES, request.tool_choice.kind),
            name=request.tool_choice.name,
            one_call=message.tool_choice.one_call,
        ),
        response_format=message.response_format,
        plan=from_plan(attempt.plan),
        segments=from_segments(attempt.segments, {}),
        unconstrained=attempt.unconstrained,
        sampling=chat_pb2.Sampling(
            max_tokens=sampling.max_tokens,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            seed=sampling.seed,
            stop=sampling.stop,
            min_p=sampling.min_p,
            repetition_penalty=sampling.repetition_penalty,
            presence_penalty=sampling.presence_penalty,
            frequency_penalty=sampling.frequency_penalty,
            logit_bias=dict(sampling.logit_bias),
            logprobs=sampling.logprobs,
        ),
    )
    if request.text:
        asked.text = request.text
    else:
        asked.chat.CopyFrom(message.chat)
    return asked
