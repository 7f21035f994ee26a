"""Schemas and tools through the whole service: what is finished is as asked, or the finish says what is wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.settings import Settings

from .conftest import Running

POLICY = """
version: 1
metadata: {name: structured}
hints: {allow: [mode]}
rules:
  - id: loose
    when: {tags: {any: [loose]}}
    use: {mode: autoregressive, grammar: off, escalation: {on: [invalid_output], mode: autoregressive, most: 2}}
  - id: loose-for-good
    when: {tags: {any: [loose-for-good]}}
    use: {mode: autoregressive, grammar: off}
  - id: again
    when: {tags: {any: [again]}}
    use: {mode: self_speculation, escalation: {on: [invalid_output], most: 8}}
  - id: otherwise
    use: {mode: self_speculation}
"""
MODES = (decoding_pb2.MODE_AUTOREGRESSIVE, decoding_pb2.MODE_DIFFUSION, decoding_pb2.MODE_SELF_SPECULATION)
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 0, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
CITY = {
    "type": "object",
    "properties": {"city": {"enum": ["Oslo", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
Check, Choice = router_pb2.Check, chat_pb2.ToolChoice


@pytest.fixture(scope="module")
def structured(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("structured")
    (folder / "policy.yaml").write_text(POLICY)
    service = Running(replace(settings, policy=folder / "policy.yaml", records=folder / "records.sqlite"))
    yield service
    service.close()


def ask(*tags: str, schema: object = None, most: int = 60, prompt: str = "Who are you?") -> router_pb2.GenerateRequest:
    shape = chat_pb2.ResponseFormat(json_schema=json.dumps(schema)) if schema else None
    return router_pb2.GenerateRequest(
        chat=chat_pb2.Chat(messages=[chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content=prompt)]),
        response_format=shape,
        sampling=chat_pb2.Sampling(max_tokens=most),
        tags=tags,
    )


def call(kind: Choice.Kind.ValueType, *, name: str = "", one_call: bool = False) -> router_pb2.GenerateRequest:
    asked = ask(prompt="What is the weather in Rome?")
    asked.tools.add(name="weather", description="The weather of a city.", parameters_json=json.dumps(CITY))
    asked.tools.add(name="now", description="The time.")
    asked.tool_choice.CopyFrom(Choice(kind=kind, name=name, one_call=one_call))
    return asked


def content(events: list[router_pb2.GenerateEvent]) -> str:
    assert all(event.delta.HasField("content") for event in events if event.HasField("delta"))
    return "".join(event.delta.content for event in events)


def said(events: list[router_pb2.GenerateEvent]) -> str:
    return "".join(event.delta.text for event in events)


@pytest.mark.parametrize("mode", MODES)
def test_what_is_finished_is_valid(structured: Running, mode: decoding_pb2.Mode.ValueType) -> None:
    asked = ask(schema=PERSON)
    asked.hints.mode = mode
    events = list(structured.stub.Generate(asked))
    jsonschema.validate(json.loads(said(events)), PERSON)
    assert events[-1].finish.check.result == Check.RESULT_VALID
    assert not events[-1].finish.escalations


def test_what_is_cut_says_so(structured: Running) -> None:
    finish = list(structured.stub.Generate(ask(schema=PERSON, most=3)))[-1].finish
    assert finish.reason == decoding_pb2.FINISH_REASON_LENGTH
    assert (finish.check.result, finish.check.path) == (Check.RESULT_NOT_CHECKED, "$")


def test_free_text_is_not_checked(structured: Running) -> None:
    assert not list(structured.stub.Generate(ask()))[-1].finish.HasField("check")


def test_what_is_wrong_is_said(structured: Running) -> None:
    events = list(structured.stub.Generate(ask("loose-for-good", schema=PERSON, prompt="Say hi, and no more.")))
    check = events[-1].finish.check
    assert (check.result, check.path) == (Check.RESULT_INVALID, "$")
    assert check.problem.startswith("is not JSON")
    assert said(events)


def test_wrong_output_is_written_again_and_nobody_sees_it(structured: Running) -> None:
    events = list(structured.stub.Generate(ask("loose", schema=PERSON, prompt="Say hi, and no more.")))
    finish = events[-1].finish
    jsonschema.validate(json.loads(said(events)), PERSON)
    assert finish.check.result == Check.RESULT_VALID
    (escalation,) = finish.escalations
    assert escalation.check.problem.startswith("is not JSON")
    assert escalation.plan.mode == decoding_pb2.MODE_AUTOREGRESSIVE
    assert escalation.token_ids
    assert escalation.passes
    record = structured.stub.GetRecord(router_pb2.GetRecordRequest(id=events[0].decision.request_id))
    escalation.check.problem = "is not JSON"  # what follows quotes, and records don't
    assert record.finish == finish
    assert list(record.token_ids) == [token for event in events for token in event.delta.token_ids]
    assert set(escalation.token_ids) <= set(record.token_text)
    assert sum(segment.tokens for segment in finish.segments) == len(record.token_ids)


def test_what_no_grammar_holds_is_named_first_and_escalates_from_where_it_is_wrong(structured: Running) -> None:
    schema = {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 8, "maxLength": 16},
            "tags": {
                "type": "array",
                "items": {"enum": ["a", "b", "c"]},
                "minItems": 2,
                "maxItems": 2,
                "uniqueItems": True,
            },
        },
        "required": ["title", "tags"],
        "additionalProperties": False,
    }
    results = []
    for seed in range(8):
        asked = ask("again", schema=schema)
        asked.sampling.seed, asked.sampling.temperature = seed, 1.5
        events = list(structured.stub.Generate(asked))
        assert list(events[1].warning.unenforced) == ["uniqueItems"]
        finish = events[-1].finish
        jsonschema.validate(json.loads(said(events)), schema)
        for escalation in finish.escalations:
            assert escalation.check.path == "$.tags"
            assert escalation.kept_tokens > 3
        results.append(len(finish.escalations))
    assert any(results)


@pytest.mark.parametrize("mode", MODES)
def test_a_call_is_required(structured: Running, mode: decoding_pb2.Mode.ValueType) -> None:
    asked = call(Choice.KIND_REQUIRED, one_call=True)
    asked.hints.mode = mode
    events = list(structured.stub.Generate(asked))
    record = structured.stub.GetRecord(router_pb2.GetRecordRequest(id=events[0].decision.request_id))
    (written,) = record.calls
    assert record.finish.check.result == Check.RESULT_VALID
    pieces = [event.tool_call for event in events if event.HasField("tool_call")]
    assert {(piece.id, piece.index) for piece in pieces} == {(written.id, 0)}
    assert "".join(piece.name for piece in pieces) == written.name
    assert "".join(piece.arguments_json for piece in pieces) == written.arguments_json
    (told,) = record.finish.tool_calls
    assert (told.id, told.name, told.arguments_json) == (written.id, written.name, written.arguments_json)
    arguments = json.loads(written.arguments_json)
    jsonschema.validate(arguments, CITY if written.name == "weather" else {"maxProperties": 0})


def test_a_call_is_named(structured: Running) -> None:
    events = list(structured.stub.Generate(call(Choice.KIND_NAMED, name="now", one_call=True)))
    assert said(events) == '<tool_call>[{"name": "now", "arguments": {}}]</tool_call>'


def forced(text: str, parameters: object, *tags: str) -> router_pb2.GenerateRequest:
    """A step whose output is this text, with a tool `run`."""
    asked = ask(*tags, most=200)
    asked.response_format.regex = re.sub(r"([^\w\s<>\"/`:,])", r"\\\1", text).replace("\n", "\\n")
    asked.tools.add(name="run", parameters_json=json.dumps(parameters))
    return asked


NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}}
RUN = '<tool_call>[{"name": "run", "arguments": {"n": %s}}]</tool_call>'
BAD = '<tool_call>[{"name": "\\q", "arguments": {"n": 1}}]</tool_call>'


@pytest.mark.parametrize(
    ("text", "calls", "outside"),
    [
        (f"<think>maybe {RUN % 1}</think>{RUN % 12345}", ['{"n": 12345}'], f"<think>maybe {RUN % 1}</think>"),
        (f"```\n{RUN % 1}\n```\n", [], f"```\n{RUN % 1}\n```\n"),
        (f"{RUN % 1} and {RUN % 2}", ['{"n": 1}', '{"n": 2}'], " and "),
        (f"<tool_call>\n{(RUN % 1)[12:-13]}\n</tool_call>", ['{"n": 1}'], ""),
        ('<tool_call>[{"name": "run", "arguments": {"n"</tool_call>' + RUN % 2, ['{"n": 2}'], ""),
        (BAD, [], BAD),  # it is no call
        ('<tool_call>[{"name": "\\ud800", "arguments": {"n": 1}}]</tool_call>', ['{"n": 1}'], ""),
    ],
)
def test_calls_are_streamed_as_they_are_finished(
    structured: Running, text: str, calls: list[str], outside: str
) -> None:
    events = list(structured.stub.Generate(forced(text, NUMBER)))
    finish = events[-1].finish
    assert (said(events), content(events)) == (text, outside)
    assert [call.arguments_json for call in finish.tool_calls] == calls
    pieces = [event.tool_call for event in events if event.HasField("tool_call")]
    for call in finish.tool_calls:
        own = [piece for piece in pieces if piece.id == call.id]
        assert "".join(piece.name for piece in own) == call.name
        assert "".join(piece.arguments_json for piece in own) == call.arguments_json
    known = {call.id for call in finish.tool_calls}
    assert {piece.id for piece in pieces} - known == ({f"{min(known)[:-1]}0"} if '{"n"<' in text else set())


def test_a_call_that_can_not_be_read_is_invalid(structured: Running) -> None:
    text = RUN % 1 + '<tool_call>[{"name": "run", "argum</tool_call>'
    check = list(structured.stub.Generate(forced(text, NUMBER)))[-1].finish.check
    assert (check.result, check.path) == (Check.RESULT_INVALID, "tool_calls")


def test_parameters_in_tags_have_the_types_of_the_tool(structured: Running) -> None:
    text = "<function=run><parameter=city>123</parameter></function>"
    cities = {"type": "object", "properties": {"city": {"type": "string"}}}
    finish = list(structured.stub.Generate(forced(text, cities)))[-1].finish
    assert [call.arguments_json for call in finish.tool_calls] == ['{"city": "123"}']
    assert finish.check.result == Check.RESULT_VALID


@pytest.mark.parametrize(
    ("tag", "regex", "kind", "told"),
    [
        ("otherwise", False, Choice.KIND_AUTO, ["strict, in calls without an opening"]),
        ("otherwise", True, Choice.KIND_AUTO, ["strict"]),
        ("otherwise", False, Choice.KIND_REQUIRED, []),
        ("loose-for-good", False, Choice.KIND_AUTO, ["strict"]),
        ("loose-for-good", False, Choice.KIND_NONE, []),
    ],
)
def test_where_a_strict_tool_is_not_held_is_said_first(
    structured: Running, tag: str, *, regex: bool, kind: Choice.Kind.ValueType, told: list[str]
) -> None:
    asked = call(kind)
    asked.tags.append(tag)
    asked.tools[0].strict = True
    asked.sampling.max_tokens = 40
    if regex:
        asked.response_format.regex = r'\{"name": "weather", "arguments": \{"city": 5\}\}'
    events = list(structured.stub.Generate(asked))
    assert list(events[1].warning.unenforced) == list(events[-1].finish.unenforced) == told
    if regex:
        assert events[-1].finish.check.path == "tool_calls[0].arguments.city"


def test_the_command_line_asks_for_strict_tools_and_tells_their_check(structured: Running, tmp_path: Path) -> None:
    parameters = {"type": "object", "properties": {"a": {"type": "array", "uniqueItems": True}}}
    command = [sys.executable, "-m", "triroute.router", "generate", "hi", "--max-tokens", "60", "--json"]
    command += ["--address", structured.service.address, "--tools", str(tmp_path / "tools.json"), "--tag", "x"]
    for strict, said_of_it in ((True, "which a strict tool can't have"), (False, '"unenforced": ["uniqueItems"]')):
        tool = {"type": "function", "function": {"name": "f", "strict": strict, "parameters": parameters}}
        (tmp_path / "tools.json").write_text(json.dumps([tool]))
        done = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)
        assert said_of_it in done.stdout


@pytest.mark.parametrize("stop", ["Bern", 'rn"}}', '"city"'])
def test_a_stop_in_a_call_stops_its_pieces_as_well(structured: Running, stop: str) -> None:
    text = '<tool_call>[{"name": "run", "arguments": {"city": "Bern"}}]</tool_call> more'
    asked = forced(text, {"type": "object"})
    asked.sampling.stop.append(stop)
    events = list(structured.stub.Generate(asked))
    assert said(events) == text[: text.index(stop)]
    arguments = "".join(event.tool_call.arguments_json for event in events)
    assert text[text.index('{"city') :].startswith(arguments)
    assert stop not in arguments
    assert (len(events[-1].finish.tool_calls), events[-1].finish.check.path) == (0, "tool_calls")


@pytest.mark.parametrize(
    ("stop", "calls", "path", "outside"),
    [("</tool_call>", 1, "", ""), ('"n"', 0, "tool_calls", ""), (" more", 1, "", ""), ("more <", 1, "", " ")],
)
def test_what_a_stop_cuts_off_is_no_call(structured: Running, stop: str, calls: int, path: str, outside: str) -> None:
    """All of the text comes with one commit, so that the reader of calls has seen what is cut off."""
    asked = forced(f"{RUN % 1} more {RUN % 2}", NUMBER)
    asked.sampling.stop.append(stop)
    events = list(structured.stub.Generate(asked))
    finish = events[-1].finish
    assert (len(finish.tool_calls), finish.check.path, content(events)) == (calls, path, outside)


def test_what_was_given_up_is_not_told(structured: Running) -> None:
    """A wrong call is written again by a policy that says so, and what is around it with it."""
    asked = call(Choice.KIND_AUTO)
    asked.tags.append("again")
    asked.tools[0].strict = True
    asked.response_format.regex = (
        r'Well, <tool_call>\{"name": "weather", "arguments": \{"city": [1-9]{4}\}\}</tool_call>, yes'
    )
    events = list(structured.stub.Generate(asked))
    assert {escalation.check.path for escalation in events[-1].finish.escalations} == {"tool_calls[0].arguments.city"}
    assert content(events) == "Well, , yes"
