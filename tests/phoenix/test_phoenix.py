"""An agent's trace as Phoenix has it: tree, attributes, events, statuses, badges, sessions, search, page.

It keeps neither links nor the kinds of spans; tests/router/test_telemetry.py and test_moments.py look at those.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from playwright.sync_api import Page, expect, sync_playwright

from triroute.proto import decoding_pb2, router_pb2, router_pb2_grpc
from triroute.router.prompts import build
from triroute.router.words import word

from ..browser.conftest import ARGUMENTS, CHROMIUM, TOOL
from .conftest import Phoenix

TRIP = "trip-to-lisbon"
PLAN, CALL, DRAFT, CODE, PROSE, TOO_LONG = range(6)
STEPS: list[dict[str, Any]] = [
    {"prompt": "Plan a weekend in Lisbon in four steps.", "block_length": 6, "max_tokens": 60},
    {"prompt": "What is the weather in Lisbon?", "tools": [TOOL], "tool_choice": "required", "max_tokens": 60},
    {"prompt": "Write a letter to the hotel.", "mode": "diffusion", "block_length": 8, "max_tokens": 40},
    {"prompt": "Write a Python function that adds two numbers.", "block_length": 8, "max_tokens": 60},
    {"prompt": "Tell me about the river Tagus.", "mode": "autoregressive", "max_tokens": 24},
    {"prompt": "word " * 9000, "max_tokens": 8},
]
SERVER, CHAT = "triroute.v1.Router/Generate", "chat SmolLM2-135M-Instruct.Q4_1"
MOST_EVENTS = 8


@dataclass
class Told:
    """What the agent saw."""

    trace_id: str = ""
    decisions: list[router_pb2.Decision] = field(default_factory=list)
    finishes: list[router_pb2.Finish] = field(default_factory=list)  # of the steps that ended well
    error: str = ""
    alone: str = ""  # the trace of one more step in the same session, that had no caller's

    @property
    def spans(self) -> int:
        """In the agent's trace: its own, three of each step, and two and one a segment of those that ended well."""
        return 1 + 3 * len(STEPS) + sum(2 + len(finish.segments) for finish in self.finishes)


@pytest.fixture(scope="session")
def told(phoenix: Phoenix, address: str) -> Told:
    """An agent with a trace of its own, which it passes on with each step."""
    provider = TracerProvider(resource=Resource.create({"service.name": "trip-planner"}))
    provider.add_span_processor(SimpleSpanProcessor(OTLPSpanExporter(endpoint=phoenix.otlp, insecure=True)))
    agent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "trip-planner"}
    seen = Told()
    with grpc.insecure_channel(address) as channel:
        stub = router_pb2_grpc.RouterStub(channel)
        grpc.channel_ready_future(channel).result(timeout=30)
        with provider.get_tracer("agent").start_as_current_span("invoke_agent trip-planner", attributes=agent) as span:
            seen.trace_id = trace.format_trace_id(span.get_span_context().trace_id)
            headers: dict[str, str] = {}
            TraceContextTextMapPropagator().inject(headers)
            for step in STEPS:
                stream = stub.Generate(build({**step, "session_id": TRIP}, "a step"), metadata=list(headers.items()))
                try:
                    events = list(stream)
                except grpc.RpcError as error:
                    seen.error = error.details()
                    continue
                seen.decisions.append(events[0].decision)
                seen.finishes.append(events[-1].finish)
        last = list(stub.Generate(build({**STEPS[CALL], "session_id": TRIP}, "a step")))
        seen.alone = last[0].decision.trace_id
    provider.shutdown()
    return seen


@dataclass
class Step:
    """One server span and all below it."""

    server: dict[str, Any]
    route: dict[str, Any]
    chat: dict[str, Any]
    rest: list[dict[str, Any]]


@pytest.fixture(scope="session")
def spans(phoenix: Phoenix, told: Told) -> list[dict[str, Any]]:
    return phoenix.trace(told.trace_id, told.spans)


def below(spans: list[dict[str, Any]], parent: dict[str, Any]) -> list[dict[str, Any]]:
    return [span for span in spans if span["parent_id"] == parent["context"]["span_id"]]


@pytest.fixture(scope="session")
def steps(spans: list[dict[str, Any]]) -> list[Step]:
    (root,) = (span for span in spans if span["parent_id"] is None)
    servers = below(spans, root)
    parts = [{span["name"]: span for span in below(spans, server)} for server in servers]
    return [
        Step(server, part["route"], part[CHAT], below(spans, part[CHAT]))
        for server, part in zip(servers, parts, strict=True)
    ]


def test_tree_is_whole(told: Told, spans: list[dict[str, Any]], steps: list[Step]) -> None:
    assert len(spans) == told.spans
    ids = {span["context"]["span_id"] for span in spans}
    assert len(ids) == told.spans
    assert {span["parent_id"] for span in spans} - ids == {None}
    assert [step.server["name"] for step in steps] == [SERVER] * len(STEPS)
    modes = [[word_of_mode(segment) for segment in finish.segments] for finish in told.finishes]
    assert {mode for step in modes for mode in step} == {"self_speculation", "diffusion", "autoregressive"}
    for step, segments in zip(steps, modes, strict=False):
        assert [span["name"] for span in step.rest] == ["queue", "prefill", *(f"decode {mode}" for mode in segments)]
    assert steps[TOO_LONG].rest == []


def word_of_mode(segment: router_pb2.SegmentSummary) -> str:
    return word(decoding_pb2.Mode, segment.mode)


def test_parts_of_a_step_follow_each_other(steps: list[Step]) -> None:
    for step in steps[:TOO_LONG]:
        assert step.server["start_time"] == step.route["start_time"]
        assert step.route["end_time"] == step.chat["start_time"] == step.rest[0]["start_time"]
        for before, after in zip(step.rest, step.rest[1:], strict=False):
            assert before["end_time"] == after["start_time"], (before["name"], after["name"])
        assert step.rest[-1]["end_time"] == step.chat["end_time"] == step.server["end_time"]


def test_attributes_are_what_the_caller_was_told(told: Told, steps: list[Step]) -> None:
    for step, decision, finish in zip(steps, told.decisions, told.finishes, strict=False):
        chat, route, usage = step.chat["attributes"], step.route["attributes"], finish.usage
        assert step.server["attributes"]["triroute.request.id"] == decision.request_id
        assert chat["gen_ai.response.id"] == decision.request_id
        assert chat["gen_ai.operation.name"] == "chat"
        assert chat["gen_ai.provider.name"] == "triroute"
        assert chat["gen_ai.usage.input_tokens"] == usage.prompt_tokens
        assert chat["gen_ai.usage.output_tokens"] == usage.completion_tokens
        assert chat["gen_ai.usage.cache_read.input_tokens"] == usage.cached_prompt_tokens
        assert chat["gen_ai.conversation.id"] == TRIP
        assert route["triroute.policy.rule"] == decision.rule_id
        assert len(route.get("triroute.policy.passed_over", [])) == len(decision.passed_over)
        for span, segment in zip(step.rest[2:], finish.segments, strict=True):
            decode = span["attributes"]
            assert decode["triroute.segment.index"] == segment.index
            assert decode["triroute.mode"] == word_of_mode(segment)
            counts = [decode[f"triroute.{name}"] for name in ("passes", "drafted", "accepted", "rejected")]
            assert counts == [segment.passes, segment.drafted, segment.accepted, segment.rejected]
            assert decode["triroute.accept_path"] == segment.accept_path
    assert steps[CALL].chat["attributes"]["triroute.check.result"] == "valid"
    assert steps[CALL].rest[-1]["attributes"]["triroute.segment.kind"] == "tool_call"


def test_events(told: Told, steps: list[Step]) -> None:
    rejections = [event for span in steps[CODE].rest for event in span["events"]]
    assert 0 < len(rejections) <= MOST_EVENTS
    assert {event["name"] for event in rejections} == {"triroute.rejection"}
    for event in rejections:
        assert len(event["attributes"]["triroute.token_ids"]) == event["attributes"]["triroute.count"] > 0
        assert steps[CODE].chat["start_time"] <= event["timestamp"] <= steps[CODE].chat["end_time"]
    blocks = [event for span in steps[DRAFT].rest for event in span["events"]]
    assert {event["name"] for event in blocks} == {"triroute.block"}
    assert (
        sum(event["attributes"]["triroute.count"] for event in blocks) == told.finishes[DRAFT].usage.completion_tokens
    )


def test_only_the_failed_step_is_an_error(told: Told, spans: list[dict[str, Any]], steps: list[Step]) -> None:
    failed = [span for span in spans if span["status_code"] == "ERROR"]
    assert failed == [steps[TOO_LONG].server, steps[TOO_LONG].chat]
    for span in failed:
        assert span["status_message"].startswith("INVALID_REQUEST: sampling.max_tokens")
        assert f"INVALID_REQUEST: {told.error}".startswith(span["status_message"])
        assert span["attributes"]["error.type"] == "INVALID_REQUEST"


def test_badges_and_tokens_of_phoenix(phoenix: Phoenix, told: Told, spans: list[dict[str, Any]]) -> None:
    """It reads the conventions for generative AI: no attribute of its own is needed."""
    kinds = {span["name"]: span["span_kind"] for span in spans}
    assert (kinds.pop("invoke_agent trip-planner"), kinds.pop(CHAT)) == ("AGENT", "LLM")
    assert set(kinds.values()) == {"UNKNOWN"}
    (found,) = (one for one in phoenix.get("v1/projects/default/traces")["data"] if one["trace_id"] == told.trace_id)
    assert found["token_count_prompt"] == sum(finish.usage.prompt_tokens for finish in told.finishes)
    assert found["token_count_completion"] == sum(finish.usage.completion_tokens for finish in told.finishes)


def test_session_holds_the_whole_tool_loop(phoenix: Phoenix, told: Told) -> None:
    alone = phoenix.trace(told.alone, 7)
    assert [span["name"] for span in alone].count("decode self_speculation") == len(alone) - 5
    (chat,) = (span["attributes"] for span in alone if span["name"] == CHAT)
    assert chat["llm.token_count.prompt_details.cache_read"] > 0  # the prompt of the second step, again
    (session,) = phoenix.get("v1/projects/default/sessions")["data"]
    assert session["session_id"] == TRIP
    assert [one["trace_id"] for one in session["traces"]] == [told.trace_id, told.alone]


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ("triroute.policy.rule:tool-call", {"route"}),
        ("triroute.segment.kind:tool_call", {"decode self_speculation"}),
        ("triroute.segment.index:0", {"decode self_speculation", "decode diffusion", "decode autoregressive"}),
        ("triroute.check.result:valid", {CHAT}),
        ("error.type:INVALID_REQUEST", {SERVER, CHAT}),
    ],
)
def test_spans_can_be_searched(phoenix: Phoenix, spans: list[dict[str, Any]], asked: str, names: set[str]) -> None:
    found = phoenix.get("v1/projects/default/spans", attribute=asked)["data"]
    assert {span["name"] for span in found} == names


@pytest.fixture
def page(phoenix: Phoenix) -> Iterator[Page]:
    assert CHROMIUM, "there is no chromium; `make test-browser` installs it, or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_context(viewport={"width": 1500, "height": 880}).new_page()
        browser.close()


def test_page(phoenix: Phoenix, told: Told, spans: list[dict[str, Any]], page: Page, pictures: Path | None) -> None:
    page.goto(f"{phoenix.page}/redirects/traces/{told.trace_id}")
    page.get_by_label("Collapse side navigation").click(timeout=30_000)
    page.get_by_text("decode self_speculation").first.click(timeout=30_000)
    expect(page.get_by_text("triroute.accept_path")).to_be_visible()
    if pictures is not None:
        page.wait_for_timeout(1_000)
        page.screenshot(path=pictures / "phoenix.png")
