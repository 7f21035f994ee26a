"""Lines of a service's log: JSON with traces, and nobody's text in any of them."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from triroute.proto import chat_pb2, router_pb2, router_pb2_grpc
from triroute.router.classifier.cascade import Classifier
from triroute.router.prompts import build
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.telemetry import names
from triroute.router.telemetry.logs import Steps, handler_of_json, heard
from triroute.router.telemetry.page import of

from .. import fake_engine

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = (("traceparent", f"00-{TRACE}-b7ad6b7169203331-01"),)
SECRET = "zanzibar"
TOOL = {"name": f"find_{SECRET}", "description": SECRET, "parameters": {"type": "object", "title": SECRET}}
SCHEMA = {"type": "object", "properties": {SECRET: {"const": SECRET}}, "required": [SECRET]}
ASKED: list[dict[str, Any]] = [
    {"prompt": SECRET},
    {"messages": [{"role": "system", "content": SECRET}, {"role": "user", "content": SECRET}], "tools": [TOOL]},
    {"prompt": SECRET, "json_schema": SCHEMA},
    {"prompt": SECRET, "json_schema": {"type": SECRET}},
    {"prompt": SECRET, "stop": [SECRET], "session_id": SECRET, "tenant": SECRET, "tags": [SECRET]},
    {"prompt": SECRET, "temperature": -1},
    {"prompt": json.dumps({"end": "failed", "says": "it broke"}), "raw": True},
    {"prompt": json.dumps({"end": "invalid"}), "raw": True, "stop": [SECRET]},
    {"prompt": json.dumps({"kill_at": [2]}), "raw": True, "max_tokens": 5},
]


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    """What a service writes where its log is JSON, down to what it would tell a debugger."""
    handler, written = handler_of_json(), io.StringIO()
    assert isinstance(handler, logging.StreamHandler)
    handler.setStream(written)
    handler.addFilter(Steps())
    root, ours = logging.getLogger(), logging.getLogger("triroute")
    before = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG)
    yield written
    root.removeHandler(handler)
    ours.setLevel(before)


def parsed(lines: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.getvalue().splitlines()]


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[router_pb2_grpc.RouterStub]:
    settings = Settings(listen="127.0.0.1:0", records=folder / "r.sqlite", engine=fake_engine.command())
    async with Service(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        yield router_pb2_grpc.RouterStub(channel)


async def ask(stub: router_pb2_grpc.RouterStub, message: router_pb2.GenerateRequest) -> grpc.StatusCode:
    try:
        [event async for event in stub.Generate(message, metadata=TRACEPARENT)]
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


async def test_steps_are_told_with_their_trace_and_without_their_text(tmp_path: Path, lines: io.StringIO) -> None:
    async with serving(tmp_path) as stub:
        codes = [await ask(stub, build({"max_tokens": 3, **asked}, "a step")) for asked in ASKED]
    assert {code.name for code in codes} >= {"OK", "INVALID_ARGUMENT", "INTERNAL"}
    told = parsed(lines)
    steps = [line for line in told if line["logger"] == "triroute.steps"]
    assert {line["trace_id"] for line in steps} == {TRACE}
    assert {line.get(names.ERROR) for line in steps} >= {None, "ENGINE_FAILED", "INVALID_REQUEST"}
    ended = next(line for line in steps if names.FINISH_REASONS in line)
    assert (ended["level"], ended[names.OUTPUT_TOKENS]) == ("INFO", 3)
    assert ended["message"].startswith("step of ")
    assert any("the engine ended" in line["message"] for line in told)
    assert SECRET not in lines.getvalue()
    known = {str(name) for name in of(names.Attribute)}
    assert {field for line in told for field in line} <= known


async def test_engine_speaks_of_the_trace_that_it_was_given(tmp_path: Path, lines: io.StringIO) -> None:
    async with serving(tmp_path) as stub:
        await ask(stub, router_pb2.GenerateRequest(text=json.dumps({"says": "a pass failed"})))
    (line,) = [line for line in parsed(lines) if line["logger"] == "triroute.engine"]
    assert (line["level"], line["message"]) == ("ERROR", "engine: a pass failed")
    (told,) = line[names.TRACE_IDS]
    step = next(line for line in parsed(lines) if line["logger"] == "triroute.steps")
    assert told == f"00-{TRACE}-{step['span_id']}-01"


async def test_bug_is_logged_by_its_place(tmp_path: Path, lines: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Classifier, request: object) -> None:
        raise KeyError(SECRET)

    async with serving(tmp_path) as stub:
        monkeypatch.setattr(Classifier, "classify", broken)
        message = router_pb2.GenerateRequest(text=SECRET, sampling=chat_pb2.Sampling(max_tokens=1))
        assert await ask(stub, message) is grpc.StatusCode.INTERNAL
        with pytest.raises(grpc.aio.AioRpcError, match="INTERNAL"):
            await stub.Decide(message)
    bugs = [line for line in parsed(lines) if line["level"] == "ERROR"]
    assert len(bugs) == 2
    assert bugs[0]["trace_id"] == TRACE
    for line in bugs:
        assert line["exception"].endswith("KeyError")
        assert "in broken" in line["exception"]
    assert SECRET not in lines.getvalue()


@pytest.mark.parametrize("line", ["plain words", "[1]", '{"level": "LOUD", "message": "x"}', '"text"', "{}"])
def test_an_engine_may_say_anything(line: str, lines: io.StringIO) -> None:
    assert heard(line + "\n") == line
    (told,) = parsed(lines)
    assert (told["level"], told["message"]) == ("WARNING", f"engine: {line}")
