"""A sentence, a tool call and code in its argument, each with its own mode, through the whole service."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.cli.app import app
from triroute.router.settings import Settings

from .conftest import Running

POLICY = """
version: 1
metadata: {name: segmented}
hints: {allow: [mode]}
rules:
  - id: plain
    when: {tags: {any: [plain]}}
    use: {mode: autoregressive}
  - id: by-segment
    use:
      mode: self_speculation
      block_length: 6
      segments:
        tool_call: {mode: autoregressive}
        code: {mode: self_speculation, variant: quadratic, block_length: 4}
"""
SHAPE = (
    r"[A-Z][a-z ]{30}\. "
    r'<tool_call>\{"name": "[a-z]{8}", "arguments": \{"code": "[a-z() =+]{40}", "times": [0-9]{6}\}\}</tool_call>'
    r"[a-z ]{20}\."
)
PROSE, CODE, CALL = (
    decoding_pb2.SEGMENT_KIND_PROSE,
    decoding_pb2.SEGMENT_KIND_CODE,
    decoding_pb2.SEGMENT_KIND_TOOL_CALL,
)
AR, SPECULATION = decoding_pb2.MODE_AUTOREGRESSIVE, decoding_pb2.MODE_SELF_SPECULATION


@pytest.fixture(scope="module")
def segmented(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("segmented")
    (folder / "policy.yaml").write_text(POLICY)
    service = Running(replace(settings, policy=folder / "policy.yaml", records=folder / "records.sqlite"))
    yield service
    service.close()


def ask(*tags: str) -> router_pb2.GenerateRequest:
    user = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content="Run a sum three times.")
    return router_pb2.GenerateRequest(
        chat=chat_pb2.Chat(messages=[user]),
        tools=[chat_pb2.Tool(name="run", description="Run code.")],
        response_format=chat_pb2.ResponseFormat(regex=SHAPE),
        sampling=chat_pb2.Sampling(max_tokens=200, temperature=0.8, seed=11),
        tags=tags,
    )


def said(events: list[router_pb2.GenerateEvent]) -> tuple[str, list[int]]:
    text = "".join(event.delta.text for event in events)
    return text, [token for event in events for token in event.delta.token_ids]


def content(events: list[router_pb2.GenerateEvent]) -> str:
    return "".join(event.delta.content for event in events)


def test_modes_change_inside_an_answer_and_the_text_does_not(segmented: Running) -> None:
    events = list(segmented.stub.Generate(ask()))
    assert said(events) == said(list(segmented.stub.Generate(ask("plain"))))
    segments = events[-1].finish.segments
    assert [segment.kind for segment in segments] == [PROSE, CALL, CODE, CALL, PROSE]
    assert [segment.mode for segment in segments] == [SPECULATION, AR, SPECULATION, AR, SPECULATION]
    assert segments[2].plan.variant == decoding_pb2.VARIANT_QUADRATIC
    assert segments[1].drafted == 0 < segments[2].drafted == segments[2].accepted + segments[2].rejected
    assert sum(segment.tokens for segment in segments) == events[-1].finish.usage.completion_tokens
    assert {own.kind for own in events[0].decision.segments} == {CODE, CALL}


def test_which_mode_wrote_this_tool_call(segmented: Running) -> None:
    events = list(segmented.stub.Generate(ask()))
    record = segmented.stub.GetRecord(router_pb2.GetRecordRequest(id=events[0].decision.request_id))
    (call,) = record.calls
    text, tokens = said(events)
    written = json.loads(text.partition("<tool_call>")[2].partition("</tool_call>")[0])
    assert (call.name, json.loads(call.arguments_json)) == (written["name"], written["arguments"])
    modes = {record.finish.segments[number].mode for number in call.segments}
    assert modes == {SPECULATION, AR}
    inside = "".join(record.token_text[token] for token in tokens[call.first_token : call.end_token])
    assert call.arguments_json in inside
    assert segmented.stub.GetRecord(router_pb2.GetRecordRequest(id=call.id)) == record
    shown = CliRunner().invoke(app, ["trace", call.id, "--records", str(segmented.settings.records)])
    assert f"tool call  {call.id}  {call.name}" in shown.output
    assert "written in segment 1: tool_call, autoregressive" in shown.output


def test_an_engine_that_dies_in_a_segment(segmented: Running) -> None:
    whole = said(list(segmented.stub.Generate(ask())))
    stream = segmented.stub.Generate(ask())
    events = []
    for event in stream:
        events.append(event)
        if event.delta.kind == CODE:
            os.kill(segmented.engine_pid, signal.SIGKILL)
            break
    events += list(stream)
    assert events[-1].finish.resumes == 1
    assert said(events) == whole
    assert content(events) == re.sub("<tool_call>.*</tool_call>", "", whole[0])
    numbers = [segment.index for segment in events[-1].finish.segments]
    assert numbers == list(range(len(numbers)))
    record = segmented.stub.GetRecord(router_pb2.GetRecordRequest(id=events[0].decision.request_id))
    assert len(record.calls) == 1
