"""What the engine is asked for."""

from __future__ import annotations

from triroute.proto import decoding_pb2
from triroute.router.convert.engine import to_engine
from triroute.router.convert.request import to_request
from triroute.router.structured.attempt import Attempt
from triroute.router.types import DecodePlan, Mode, SegmentKind, Variant

from .asked import SAID, Choice, Draw, ask, tool


def test_engine_request_is_complete() -> None:
    message = ask(SAID, tools=[tool()], sampling=Draw(seed=2**64 - 1, stop=["x"]))
    plan = DecodePlan(Mode.SELF_SPECULATION, Variant.LINEAR, block_length=4)
    segments = ((SegmentKind.CODE, DecodePlan(Mode.DIFFUSION)),)
    request = to_request(message)
    asked = to_engine(message, request, Attempt(plan, segments, request.sampling, unconstrained=False), "r")
    assert [(own.kind, own.plan.mode) for own in asked.segments] == [
        (decoding_pb2.SEGMENT_KIND_CODE, decoding_pb2.MODE_DIFFUSION)
    ]
    assert (asked.request_id, asked.chat, asked.tools) == ("r", message.chat, message.tools)
    assert asked.tool_choice.kind == Choice.KIND_AUTO
    assert asked.sampling == Draw(
        max_tokens=256,
        temperature=0,
        top_p=1,
        top_k=0,
        seed=2**64 - 1,
        stop=["x"],
        min_p=0,
        repetition_penalty=1,
        presence_penalty=0,
        frequency_penalty=0,
    )
    assert (asked.plan.mode, asked.plan.variant) == (decoding_pb2.MODE_SELF_SPECULATION, decoding_pb2.VARIANT_LINEAR)
    assert asked.plan.block_length == 4


def test_all_of_sampling_reaches_the_engine() -> None:
    sampling = Draw(
        max_tokens=3,
        temperature=0.5,
        top_p=0.75,
        top_k=4,
        seed=5,
        stop=["x"],
        min_p=0.25,
        repetition_penalty=1.5,
        presence_penalty=-1,
        frequency_penalty=0.5,
        logit_bias={9: -100, 2: 1.5},
        logprobs=0,
    )
    request = to_request(ask(sampling=sampling))
    assert request.sampling.logit_bias == ((2, 1.5), (9, -100.0))
    assert request.sampling.logprobs == 0
    attempt = Attempt(DecodePlan(Mode.AUTOREGRESSIVE), (), request.sampling, unconstrained=False)
    assert to_engine(ask(sampling=sampling), request, attempt, "r").sampling == sampling
    assert to_request(ask(sampling=Draw(repetition_penalty=0.1))).sampling.repetition_penalty < 0.11
