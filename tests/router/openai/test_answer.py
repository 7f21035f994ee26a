"""Events to completions and chunks, as the client's own types read them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.openai.answer import Answer, bytes_of, token_ids
from triroute.router.openai.request import Asked, chat, text

Event, Delta, Logprob = router_pb2.GenerateEvent, router_pb2.Delta, decoding_pb2.TokenLogprob
STOP, LENGTH = decoding_pb2.FINISH_REASON_STOP, decoding_pb2.FINISH_REASON_LENGTH
WORDS = {1: "sea ", 2: "<0xE6>", 3: "<0xB5>", 4: "<0xB7>", 5: "é", 6: "<|im_end|>"}
CALL = chat_pb2.ToolCall(id="c-0", name="find", arguments_json='{"a": 1}')
DECISION = router_pb2.Decision(
    request_id="r",
    trace_id="t",
    step=router_pb2.STEP_KIND_TOOL_CALL,
    confidence=0.75,
    rule_id="rule",
    policy_revision="p",
    plan=decoding_pb2.DecodePlan(mode=decoding_pb2.MODE_DIFFUSION),
)


def said(text: str, content: str | None = None, logprobs: Iterable[Logprob] = ()) -> Event:
    return Event(delta=Delta(text=text, content=content, logprobs=logprobs))


def called(**piece: Any) -> Event:
    return Event(tool_call=router_pb2.ToolCallDelta(**piece))


def ended(reason: decoding_pb2.FinishReason.ValueType = STOP, **finish: Any) -> Event:
    return Event(finish=router_pb2.Finish(reason=reason, **finish))


def asked(**keys: Any) -> Asked:
    given = {"prompt": "x"} if "prompt" in keys else {"messages": [{"role": "user", "content": "x"}]}
    return (text if "prompt" in keys else chat)(json.dumps(given | keys).encode())


def an_answer(given: Asked) -> Answer:
    return Answer(given, DECISION, "m", WORDS.__getitem__)


def whole(events: Iterable[Event], **keys: Any) -> dict[str, Any]:
    answer = an_answer(asked(**keys))
    for event in events:
        answer.take(event)
    told: dict[str, Any] = json.loads(json.dumps(answer.whole()))
    return told


def chunks(events: Iterable[Event], **keys: Any) -> list[dict[str, Any]]:
    answer = an_answer(asked(stream=True, **keys))
    told = [answer.begin(), *(chunk for event in events for chunk in answer.piece(event))]
    listed: list[dict[str, Any]] = json.loads(json.dumps(told))
    return listed


TOOLS = [
    said("Let me see. ", "Let me see. "),
    said("<tool_call>", ""),
    called(index=0, id="c-0", name="find"),
    called(index=0, id="c-0", arguments_json='{"a": '),
    called(index=0, id="c-0", arguments_json="1}"),
    ended(tool_calls=[CALL]),
]


def test_tool_calls_whole() -> None:
    done = ChatCompletion.model_validate(whole(TOOLS), strict=True)
    (choice,) = done.choices
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Let me see. ")
    assert choice.message.tool_calls is not None
    assert [call.model_dump() for call in choice.message.tool_calls] == [
        {"id": "c-0", "type": "function", "function": {"name": "find", "arguments": '{"a": 1}'}}
    ]
    assert whole(TOOLS[1:])["choices"][0]["message"]["content"] is None


def test_tool_calls_in_chunks() -> None:
    told = [ChatCompletionChunk.model_validate(chunk, strict=True) for chunk in chunks(TOOLS)]
    assert [chunk.choices[0].delta.content for chunk in told] == ["", "Let me see. ", None, None, None, None]
    pieces = [call for chunk in told for call in chunk.choices[0].delta.tool_calls or []]
    assert [(piece.index, piece.id, piece.type) for piece in pieces] == [
        (0, "c-0", "function"),
        (0, None, None),
        (0, None, None),
    ]
    assert [piece.function and piece.function.name for piece in pieces] == ["find", None, None]
    assert "".join(piece.function.arguments or "" for piece in pieces if piece.function) == '{"a": 1}'
    assert told[-1].choices[0].finish_reason == "tool_calls"


def test_text_is_all_content_where_no_content_is_told() -> None:
    assert whole([said("a"), said("b"), ended()])["choices"][0]["message"]["content"] == "ab"
    assert whole([ended()])["choices"][0]["message"]["content"] == ""


@pytest.mark.parametrize(
    ("reason", "calls", "told"),
    [
        (STOP, [], "stop"),
        (STOP, [CALL], "tool_calls"),
        (LENGTH, [], "length"),
        (LENGTH, [CALL], "length"),
        (decoding_pb2.FINISH_REASON_ABORTED, [], "length"),
    ],
)
def test_reasons(reason: decoding_pb2.FinishReason.ValueType, calls: list[chat_pb2.ToolCall], told: str) -> None:
    events = [said("a"), ended(reason, tool_calls=calls)]
    assert whole(events)["choices"][0]["finish_reason"] == told
    assert chunks(events)[-1]["choices"][0]["finish_reason"] == told


def test_usage() -> None:
    usage = decoding_pb2.Usage(
        prompt_tokens=9,
        completion_tokens=4,
        cached_prompt_tokens=5,
        accepted_prediction_tokens=2,
        rejected_prediction_tokens=1,
    )
    told = ChatCompletion.model_validate(whole([ended(usage=usage)])).usage
    assert told is not None
    assert told.model_dump(exclude_none=True) == {
        "prompt_tokens": 9,
        "completion_tokens": 4,
        "total_tokens": 13,
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"accepted_prediction_tokens": 2, "rejected_prediction_tokens": 1},
    }
    streamed = chunks([said("a"), ended(usage=usage)], stream_options={"include_usage": True})
    assert [chunk["usage"] for chunk in streamed[:-1]] == [None] * 3
    assert (streamed[-1]["usage"]["total_tokens"], streamed[-1]["choices"]) == (13, [])
    assert all("usage" not in chunk for chunk in chunks([said("a"), ended(usage=usage)]))


def test_what_is_told_of_triroute() -> None:
    finish = ended(
        check=router_pb2.Check(result=router_pb2.Check.RESULT_INVALID, path="$.a", problem="is wrong"),
        unenforced=["uniqueItems"],
        escalations=[router_pb2.Escalation()],
    )
    decided = {
        "request_id": "r",
        "trace_id": "t",
        "step": "tool_call",
        "confidence": 0.75,
        "rule_id": "rule",
        "mode": "diffusion",
        "policy_revision": "p",
    }
    finished = {
        "reason": "stop",
        "check": {"result": "invalid", "path": "$.a", "problem": "is wrong"},
        "unenforced": ["uniqueItems"],
        "escalations": 1,
    }
    assert whole([finish])["triroute"] == decided | finished
    streamed = chunks([said("a"), finish])
    assert [chunk.get("triroute") for chunk in streamed] == [decided, None, finished]


def likely(token: int, value: float, *top: tuple[int, float]) -> Logprob:
    candidates = [Logprob.Candidate(token_id=one, log_probability=sure) for one, sure in top]
    return Logprob(token_id=token, log_probability=value, top=candidates)


LIKELY = [
    said("sea ", logprobs=[likely(1, -0.5, (1, -0.5), (5, -1.5))]),
    said("", logprobs=[likely(2, -0.25), likely(3, float("-inf"))]),
    said("海é", logprobs=[likely(4, 0), likely(5, -2)]),
    ended(),
]


def test_logprobs() -> None:
    done = ChatCompletion.model_validate(whole(LIKELY, logprobs=True, top_logprobs=2), strict=True)
    assert done.choices[0].logprobs is not None
    content = done.choices[0].logprobs.content or []
    assert [(one.token, one.logprob) for one in content[:2]] == [("sea ", -0.5), ("<0xE6>", -0.25)]
    assert (content[2].logprob, content[1].bytes) == (-9999.0, [0xE6])
    assert [(top.token, top.logprob, top.bytes) for top in content[0].top_logprobs] == [
        ("sea ", -0.5, list(b"sea ")),
        ("é", -1.5, [0xC3, 0xA9]),
    ]
    assert b"".join(bytes(one.bytes or ()) for one in content).decode() == "sea 海é"
    streamed = [ChatCompletionChunk.model_validate(chunk) for chunk in chunks(LIKELY, logprobs=True)]
    counts = [len(one.choices[0].logprobs.content or ()) for one in streamed if one.choices[0].logprobs is not None]
    assert counts == [1, 2, 2]
    assert whole(LIKELY)["choices"][0]["logprobs"] is None
    assert token_ids(LIKELY[0]) == {1, 5}


def test_logprobs_of_raw_text() -> None:
    done = Completion.model_validate(whole(LIKELY, prompt="x", logprobs=2))
    told = done.choices[0].logprobs
    assert told is not None
    assert told.tokens == ["sea ", "<0xE6>", "<0xB5>", "<0xB7>", "é"]
    assert told.text_offset == [0, 4, 4, 4, 5]
    assert told.top_logprobs is not None
    assert told.top_logprobs[0] == {"sea ": -0.5, "é": -1.5}
    streamed = [chunk["choices"][0]["logprobs"] for chunk in chunks(LIKELY, prompt="x", logprobs=2)]
    assert [one["text_offset"] for one in streamed if one] == [[0], [4, 4], [4, 5]]


def test_raw_text_in_chunks() -> None:
    told = chunks([said("a"), said("b"), ended(LENGTH)], prompt="x")
    assert [one["choices"][0]["text"] for one in told] == ["", "a", "b", ""]
    assert [one["choices"][0]["finish_reason"] for one in told] == [None, None, None, "length"]
    assert Completion.model_validate(told[-1]).object == "text_completion"


@pytest.mark.parametrize(
    ("shown", "known"), [("a", b"a"), ("<0xE6>", b"\xe6"), ("é<0xFF>x", b"\xc3\xa9\xffx"), ("", b"")]
)
def test_bytes_of_tokens(shown: str, known: bytes) -> None:
    assert bytes_of(shown) == known
