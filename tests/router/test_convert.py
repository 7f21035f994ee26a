"""Every field of a request that can be wrong, and requests that can be anything."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.convert import from_decision, from_plan, to_engine, to_plan, to_request
from triroute.router.errors import InvalidRequest, to_status
from triroute.router.structured.attempt import Attempt
from triroute.router.types import (
    Decision,
    DecodePlan,
    DraftSource,
    FleetLoad,
    FormatKind,
    Held,
    Load,
    Mode,
    Request,
    Sampling,
    SegmentKind,
    Step,
    StepKind,
    ToolChoice,
    ToolChoiceKind,
    Variant,
    Verification,
)

Chat, Message, Call, Tool = chat_pb2.Chat, chat_pb2.ChatMessage, chat_pb2.ToolCall, chat_pb2.Tool
Choice, Shape, Draw, Hints = chat_pb2.ToolChoice, chat_pb2.ResponseFormat, chat_pb2.Sampling, router_pb2.DecodeHints
USER, ASSISTANT, TOOL = chat_pb2.ROLE_USER, chat_pb2.ROLE_ASSISTANT, chat_pb2.ROLE_TOOL
SAID = Message(role=USER, content="hello")
NAN, INFINITE = float("nan"), float("inf")


def ask(*messages: Message, **fields: Any) -> router_pb2.GenerateRequest:
    return router_pb2.GenerateRequest(chat=Chat(messages=messages or [SAID]), **fields)


def violations(request: router_pb2.GenerateRequest) -> dict[str, str]:
    with pytest.raises(InvalidRequest) as caught:
        to_request(request)
    return {violation.field: violation.description for violation in caught.value.violations}


def calling(**fields: str) -> Message:
    return Message(role=ASSISTANT, tool_calls=[Call(**fields)])


def tool(name: str = "f", parameters: str = "") -> Tool:
    return Tool(name=name, parameters_json=parameters)


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


def test_defaults() -> None:
    request = to_request(ask())
    assert request.sampling == Sampling()
    assert request.tool_choice == ToolChoice(ToolChoiceKind.NONE)
    assert to_request(ask(tools=[tool()])).tool_choice == ToolChoice(ToolChoiceKind.AUTO)
    assert to_request(ask(response_format=Shape(regex="a+"))).response_format.kind is FormatKind.REGEX


def test_absent_and_zero_differ() -> None:
    assert to_request(ask(hints=Hints())).hints.block_length is None
    hints = to_request(ask(hints=Hints(block_length=0, step=router_pb2.STEP_KIND_CODE))).hints
    assert (hints.block_length, hints.step, hints.mode) == (0, StepKind.CODE, None)


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


def test_decision_goes_out_whole() -> None:
    step = Step(StepKind.PLAN, 0.75, ("verb plan",))
    sent = from_decision(Decision(step, "rule", DecodePlan(Mode.AUTOREGRESSIVE), "rev"), "r", "t")
    assert (sent.request_id, sent.trace_id, sent.rule_id, sent.policy_revision) == ("r", "t", "rule", "rev")
    assert (sent.step, sent.confidence, list(sent.evidence)) == (router_pb2.STEP_KIND_PLAN, 0.75, ["verb plan"])
    assert sent.plan.variant == decoding_pb2.VARIANT_UNSPECIFIED
    assert not sent.HasField("held")


def test_the_load_that_a_session_holds_goes_out() -> None:
    held = Held(Load(1, 2, 0.25, fleet=FleetLoad(3, 4, 5, 0.5)), 123, "router")
    step = Step(StepKind.PLAN, 0.75)
    sent = from_decision(Decision(step, "rule", DecodePlan(Mode.AUTOREGRESSIVE), "rev", held=held), "r", "t").held
    assert sent == router_pb2.HeldLoad(
        since_us=123,
        router="router",
        running=1,
        waiting=2,
        cache_used=0.25,
        fleet=router_pb2.FleetLoad(routers=3, running=4, waiting=5, cache_used=0.5),
    )


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


def test_what_only_policies_look_at() -> None:
    asked = to_request(ask(tenant="acme", expected_tokens=0, latency_class=3, first_token_ms=250))  # type: ignore[arg-type]
    assert (asked.tenant, asked.expected_tokens, asked.latency_class, asked.first_token_ms) == ("acme", 0, "batch", 250)
    silent = to_request(ask())
    assert (silent.tenant, silent.expected_tokens, silent.latency_class, silent.first_token_ms) == (
        "",
        None,
        None,
        None,
    )


@given(
    mode=st.sampled_from(Mode),
    variant=st.sampled_from([None, *Variant]),
    numbers=st.tuples(st.integers(0, 64), st.floats(0, 1, width=32), st.integers(0, 64)),
    sources=st.frozensets(st.sampled_from(DraftSource)),
    others=st.tuples(st.floats(0, 1, width=32), st.integers(0, 64)),
)
def test_plans_come_back(
    mode: Mode,
    variant: Variant | None,
    numbers: tuple[int, float, int],
    sources: frozenset[DraftSource],
    others: tuple[float, int],
) -> None:
    plan = DecodePlan(mode, variant, *numbers, Verification.EXACT, sources, *others)
    assert to_plan(from_plan(plan)) == plan
