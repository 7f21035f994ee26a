"""Every field of a request that can be wrong, and requests that can be anything."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.proto import router_pb2
from triroute.router.convert.request import to_request
from triroute.router.errors import InvalidRequest, to_status
from triroute.router.types import Request

from .asked import ASSISTANT, SAID, TOOL, USER, Call, Chat, Choice, Draw, Hints, Message, Shape, Tool, ask, tool

NAN, INFINITE = float("nan"), float("inf")


def violations(request: router_pb2.GenerateRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        to_request(request)
    return {violation.field: violation.description for violation in caught.value.violations}


def calling(**fields: str) -> Message:
    return Message(role=ASSISTANT, tool_calls=[Call(**fields)])


def schema(text: str) -> Shape:
    return Shape(json_schema=text)


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        (router_pb2.GenerateRequest(), "prompt", "send chat or text"),
        (router_pb2.GenerateRequest(chat=Chat()), "chat.messages", "at least one"),
        (ask(*[SAID] * 1001), "chat.messages", "at most 1000"),
        (router_pb2.GenerateRequest(text=""), "text", "is empty"),
        (router_pb2.GenerateRequest(text="x", tools=[tool()]), "tools", "need chat"),
        (ask(SAID, Message(role=0, content="x")), "chat.messages[1].role", "use system, user"),
        (ask(SAID, Message(role=9, content="x")), "chat.messages[1].role", "9 is unknown"),  # type: ignore[arg-type]
        (ask(Message(role=USER)), "chat.messages[0].content", "is empty"),
        (ask(Message(role=TOOL, content="x")), "chat.messages[0].tool_call_id", "name the tool call"),
        (ask(calling(arguments_json="{}")), "chat.messages[0].tool_calls[0].name", "is empty"),
        (ask(calling(name="f", arguments_json="[]")), "chat.messages[0].tool_calls[0].arguments_json", "JSON object"),
        (
            ask(Message(role=USER, content="x", tool_calls=[Call(name="f")])),
            "chat.messages[0].tool_calls",
            "belong to assistant turns",
        ),
        (ask(tools=[tool("a b")]), "tools[0].name", "1 to 64 letters"),
        (ask(tools=[tool("")]), "tools[0].name", "1 to 64 letters"),
        (ask(tools=[tool("f"), tool("f")]), "tools[1].name", "'f' is given twice"),
        (ask(tools=[tool(parameters="3")]), "tools[0].parameters_json", "must be a JSON object"),
        (ask(tools=[tool(parameters='{"type": 3}')]), "tools[0].parameters_json", "not a valid JSON Schema at $.type"),
        (ask(tool_choice=Choice(kind=Choice.KIND_REQUIRED)), "tool_choice", "no tools are offered"),
        (ask(tools=[tool()], tool_choice=Choice(kind=Choice.KIND_NAMED, name="g")), "tool_choice.name", "'g' is not"),
        (ask(tool_choice=Choice(kind=9)), "tool_choice.kind", "9 is unknown"),  # type: ignore[arg-type]
        (ask(response_format=schema("{")), "response_format.json_schema", "is not JSON"),
        (ask(response_format=schema(" ")), "response_format.json_schema", "is empty"),
        (ask(response_format=schema("7")), "response_format.json_schema", "must be a JSON object, not int"),
        (ask(response_format=schema('{"type": "x"}')), "response_format.json_schema", "not a valid JSON Schema"),
        (ask(response_format=schema('{"pattern": "("}')), "response_format.json_schema", "not a valid JSON Schema"),
        (ask(response_format=schema('{"$ref": "http://x"}')), "response_format.json_schema", "inside the schema"),
        (ask(response_format=schema('{"not":' * 70 + "{}" + "}" * 70)), "response_format.json_schema", "nested deeper"),
        (ask(response_format=schema("[" * 100_000)), "response_format.json_schema", "nested deeper"),
        (ask(response_format=Shape(regex="")), "response_format.regex", "is empty"),
        (ask(response_format=Shape(lark="")), "response_format.lark", "is empty"),
        (ask(sampling=Draw(max_tokens=0)), "sampling.max_tokens", "outside 1"),
        (ask(sampling=Draw(max_tokens=2**32 - 1)), "sampling.max_tokens", "outside 1"),
        (ask(sampling=Draw(temperature=NAN)), "sampling.temperature", "nan is outside 0 to 5"),
        (ask(sampling=Draw(temperature=INFINITE)), "sampling.temperature", "inf is outside"),
        (ask(sampling=Draw(temperature=-0.5)), "sampling.temperature", "-0.5 is outside"),
        (ask(sampling=Draw(temperature=5.5)), "sampling.temperature", "5.5 is outside"),
        (ask(sampling=Draw(top_p=0)), "sampling.top_p", "0 is outside"),
        (ask(sampling=Draw(top_p=1.5)), "sampling.top_p", "1.5 is outside"),
        (ask(sampling=Draw(top_p=NAN)), "sampling.top_p", "nan is outside"),
        (ask(sampling=Draw(top_k=2**31)), "sampling.top_k", "0 keeps all"),
        (ask(sampling=Draw(stop=["a", ""])), "sampling.stop[1]", "1 to 256"),
        (ask(sampling=Draw(stop=["a" * 257])), "sampling.stop[0]", "1 to 256"),
        (ask(sampling=Draw(stop=["a"] * 17)), "sampling.stop", "at most 16"),
        (ask(sampling=Draw(min_p=1.5)), "sampling.min_p", "1.5 is outside 0 to 1"),
        (ask(sampling=Draw(min_p=NAN)), "sampling.min_p", "nan is outside"),
        (ask(sampling=Draw(repetition_penalty=0)), "sampling.repetition_penalty", "0 is outside 0.1 to 2"),
        (ask(sampling=Draw(repetition_penalty=NAN)), "sampling.repetition_penalty", "nan is outside"),
        (ask(sampling=Draw(presence_penalty=-2.5)), "sampling.presence_penalty", "-2.5 is outside -2 to 2"),
        (ask(sampling=Draw(frequency_penalty=INFINITE)), "sampling.frequency_penalty", "inf is outside"),
        (ask(sampling=Draw(logit_bias={7: 101})), "sampling.logit_bias[7]", "101 is outside -100 to 100"),
        (ask(sampling=Draw(logit_bias={7: NAN})), "sampling.logit_bias[7]", "nan is outside"),
        (ask(sampling=Draw(logit_bias=dict.fromkeys(range(1025), 1.0))), "sampling.logit_bias", "at most 1024"),
        (ask(sampling=Draw(logprobs=21)), "sampling.logprobs", "21 is over 20"),
        (ask(session_id="a" * 129), "session_id", "over 128"),
        (ask(tags=["a"] * 17), "tags", "at most 16"),
        (ask(tags=["a" * 65]), "tags", "1 to 64"),
        (ask(tags=[""]), "tags", "1 to 64"),
        (ask(tenant="a" * 129), "tenant", "over 128"),
        (ask(latency_class=9), "latency_class", "1 (interactive)"),  # type: ignore[arg-type]
        (ask(hints=Hints(mode=9)), "hints.mode", "known are 1 (autoregressive)"),  # type: ignore[arg-type]
        (ask(hints=Hints(variant=9)), "hints.variant", "9 is unknown"),  # type: ignore[arg-type]
        (ask(hints=Hints(verification=9)), "hints.verification", "9 is unknown"),  # type: ignore[arg-type]
        (ask(hints=Hints(step=9)), "hints.step", "4 (prose)"),  # type: ignore[arg-type]
        (ask(hints=Hints(confidence_threshold=NAN)), "hints.confidence_threshold", "not a number"),
    ],
)
def test_one_violation(request_: router_pb2.GenerateRequest, field: str, says: str) -> None:
    found = violations(request_)
    assert list(found) == [field]
    assert says in found[field]


def test_all_violations_at_once() -> None:
    found = violations(ask(Message(), tools=[tool("")], sampling=Draw(max_tokens=0, top_p=2), tags=[""]))
    assert list(found) == [
        "chat.messages[0].role",
        "chat.messages[0].content",
        "tools[0].name",
        "sampling.max_tokens",
        "sampling.top_p",
        "tags",
    ]


names = st.one_of(st.text(max_size=4), st.sampled_from(["f", "lookup"]))
documents = st.one_of(
    st.text(max_size=8),
    st.sampled_from(['{"properties": {"\\ud800": 5}}', '{"type": "\\ud800"}', "1" * 5000, '{"$ref": 3}', "NaN"]),
    st.recursive(
        st.one_of(st.none(), st.floats(), st.text(max_size=3)),
        lambda inner: st.dictionaries(st.sampled_from(["type", "$ref", "properties", "a"]), inner, max_size=3),
    ).map(json.dumps),
)
messages = st.builds(
    Message,
    role=st.integers(0, 6),
    content=st.text(max_size=4),
    tool_call_id=names,
    tool_calls=st.lists(st.builds(Call, id=names, name=names, arguments_json=documents), max_size=2),
)
requests = st.builds(
    lambda text, chat, **fields: router_pb2.GenerateRequest(
        **({"text": text} if chat is None else {"chat": chat}), **fields
    ),
    text=st.text(max_size=4),
    chat=st.none() | st.builds(Chat, messages=st.lists(messages, max_size=60)),
    tools=st.lists(st.builds(Tool, name=names, parameters_json=documents), max_size=3),
    tool_choice=st.builds(Choice, kind=st.integers(0, 6), name=st.text(max_size=5000)),
    response_format=st.builds(Shape, json_schema=documents) | st.builds(Shape, regex=names),
    sampling=st.builds(
        Draw,
        max_tokens=st.none() | st.integers(0, 2**32 - 1),
        temperature=st.none() | st.floats(width=32),
        top_p=st.none() | st.floats(width=32),
        top_k=st.integers(0, 2**32 - 1),
        seed=st.integers(0, 2**64 - 1),
        stop=st.lists(st.text(max_size=3), max_size=3),
        min_p=st.none() | st.floats(width=32),
        repetition_penalty=st.none() | st.floats(width=32),
        presence_penalty=st.none() | st.floats(width=32),
        frequency_penalty=st.none() | st.floats(width=32),
        logit_bias=st.dictionaries(st.integers(0, 2**32 - 1), st.floats(width=32), max_size=80),
        logprobs=st.none() | st.integers(0, 2**32 - 1),
    ),
    hints=st.builds(Hints, mode=st.integers(0, 5), step=st.integers(0, 7), confidence_threshold=st.floats(width=32)),
)


@settings(max_examples=150, deadline=None)
@given(requests)
def test_any_request_converts_or_says_why(message: router_pb2.GenerateRequest) -> None:
    """And the error fits in the 8 KiB that clients take, percent-encoding and base64 included."""
    try:
        assert isinstance(to_request(message), Request)
    except InvalidRequest as error:
        _, text, details = to_status(error)
        encoded = sum(1 if 32 <= byte < 127 else 3 for byte in text.encode())
        assert encoded + len(details) * 4 / 3 < 7_900
