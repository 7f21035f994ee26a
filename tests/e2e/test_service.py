"""The whole service over gRPC: streams, records, spans, bad input, and an engine that is killed."""

from __future__ import annotations

import json
import os
import signal
import time
from concurrent import futures
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.errors import InvalidPolicy, StartFailed
from triroute.router.service import Service
from triroute.router.settings import Settings

from .conftest import Receiver, Running

USER = chat_pb2.ROLE_USER
AR, DIFFUSION, SPECULATION = (
    decoding_pb2.MODE_AUTOREGRESSIVE,
    decoding_pb2.MODE_DIFFUSION,
    decoding_pb2.MODE_SELF_SPECULATION,
)


def _ask(text: str = "Write a Python function that adds two numbers.", **fields: Any) -> router_pb2.GenerateRequest:
    sampling = fields.pop("sampling", chat_pb2.Sampling(max_tokens=24, temperature=0.7, seed=5))
    chat = chat_pb2.Chat(messages=[chat_pb2.ChatMessage(role=USER, content=text)])
    return router_pb2.GenerateRequest(chat=chat, sampling=sampling, **fields)


def _run(running: Running, request: router_pb2.GenerateRequest, **call: Any) -> list[router_pb2.GenerateEvent]:
    return list(running.stub.Generate(request, **call))


def _text(events: list[router_pb2.GenerateEvent]) -> str:
    return "".join(event.delta.text for event in events)


def _tokens(events: list[router_pb2.GenerateEvent]) -> list[int]:
    return [token for event in events for token in event.delta.token_ids]


def test_stream_and_record(running: Running) -> None:
    events = _run(running, _ask())
    kinds = [event.WhichOneof("event") for event in events]
    assert (kinds[0], kinds[-1]) == ("decision", "finish")
    assert set(kinds[1:-1]) == {"delta"}
    decision, finish = events[0].decision, events[-1].finish
    assert decision.rule_id == "structured-text"
    assert [rule.rule_id for rule in decision.passed_over] == ["editable-draft", "tool-call"]
    usage = finish.usage
    assert usage.completion_tokens == len(_tokens(events))
    assert usage.drafted_tokens == usage.accepted_prediction_tokens + usage.rejected_prediction_tokens > 0
    record = running.stub.GetRecord(router_pb2.GetRecordRequest(id=decision.trace_id))
    assert list(record.token_ids) == _tokens(events)
    assert [token for made in record.passes for token in made.committed_ids] == _tokens(events)
    assert record.decision == decision
    assert record.finish == finish
    assert set(record.token_ids) <= set(record.token_text)
    assert "".join(record.token_text[token] for token in record.token_ids) == _text(events)


def test_exact_modes_agree_and_neighbours_do_not_matter(running: Running) -> None:
    hints = [router_pb2.DecodeHints(mode=AR), router_pb2.DecodeHints(mode=SPECULATION, block_length=6), None]
    plain = _run(running, _ask(hints=hints[0]))
    crowd = [_ask("Tell me a story.", hints=router_pb2.DecodeHints(mode=DIFFUSION)), *[_ask(hints=h) for h in hints]]
    with futures.ThreadPoolExecutor(4) as pool:
        diffused, *exact = pool.map(lambda request: _run(running, request), crowd)
    assert diffused[-1].WhichOneof("event") == "finish"
    for events in exact:
        assert (_text(events), _tokens(events)) == (_text(plain), _tokens(plain))


def test_spans_reach_a_real_receiver(running: Running, receiver: Receiver) -> None:
    trace_id, parent_id = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    events = _run(running, _ask(), metadata=[("traceparent", f"00-{trace_id}-{parent_id}-01")])
    assert events[0].decision.trace_id == trace_id

    def mine() -> dict[str, Any]:
        return {span.name: span for span in receiver.spans if span.trace_id.hex() == trace_id}

    deadline = time.monotonic() + 20
    while len(mine()) < 6 and time.monotonic() < deadline:
        time.sleep(0.05)
    spans = mine()
    server, route = spans["triroute.v1.Router/Generate"], spans["route"]
    chat, decode = spans["chat SmolLM2-135M-Instruct.Q4_1"], spans["decode self_speculation"]
    assert decode.start_time_unix_nano >= spans["prefill"].end_time_unix_nano  # although its first pass read the prompt
    assert server.parent_span_id.hex() == parent_id
    assert {span.parent_span_id for span in (route, chat)} == {server.span_id}
    assert {spans[name].parent_span_id for name in ("queue", "prefill")} | {decode.parent_span_id} == {chat.span_id}
    usage = events[-1].finish.usage
    tags = {tag.key: tag.value for tag in decode.attributes}
    assert tags["triroute.mode"].string_value == "self_speculation"
    assert tags["triroute.drafted"].int_value == usage.drafted_tokens
    assert tags["triroute.accepted"].int_value == usage.accepted_prediction_tokens
    assert tags["triroute.rejected"].int_value == usage.rejected_prediction_tokens
    assert tags["triroute.passes"].int_value == usage.passes
    assert tags["triroute.accept_path"].string_value == events[-1].finish.segments[0].accept_path
    asked = {tag.key: tag.value for tag in chat.attributes}
    assert asked["gen_ai.usage.output_tokens"].int_value == usage.completion_tokens
    assert asked["gen_ai.usage.cache_read.input_tokens"].int_value == usage.cached_prompt_tokens
    assert {tag.key: tag.value for tag in route.attributes}["triroute.policy.rule"].string_value == "structured-text"
    assert receiver.services == {"triroute-router"}
    assert all(b"adds two numbers" not in span.SerializeToString() for span in receiver.spans)


def test_killed_engine_is_not_the_clients_problem(running: Running) -> None:
    request = _ask("Tell me about the sea.", sampling=chat_pb2.Sampling(max_tokens=60, temperature=0.8, seed=9))
    whole = _run(running, request)
    stream = running.stub.Generate(request)
    events = [next(stream) for _ in range(9)]
    os.kill(running.engine_pid, signal.SIGKILL)
    events += list(stream)
    assert events[-1].finish.resumes == 1
    assert (_text(events), _tokens(events)) == (_text(whole), _tokens(whole))
    record = running.stub.GetRecord(router_pb2.GetRecordRequest(id=events[0].decision.request_id))
    assert [token for made in record.passes for token in made.committed_ids] == _tokens(whole)


def test_cancel_and_deadline_free_the_engine(running: Running) -> None:
    long = chat_pb2.Sampling(max_tokens=2000, temperature=1.5, seed=1)
    stream = running.stub.Generate(_ask("Count to a million.", sampling=long))
    request_id = next(stream).decision.request_id
    stream.cancel()
    with pytest.raises(grpc.RpcError) as caught:
        _run(running, _ask("Count to a million.", sampling=long), timeout=0.4)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    deadline = time.monotonic() + 10
    while running.service.pipeline.engine.load.running and time.monotonic() < deadline:
        time.sleep(0.05)
    assert running.service.pipeline.engine.load.running == 0
    record = running.stub.GetRecord(router_pb2.GetRecordRequest(id=request_id))
    assert record.error.startswith("CANCELLED")


def test_abort(running: Running) -> None:
    endless = chat_pb2.ResponseFormat(regex="[a-z ]{9000}")
    sampling = chat_pb2.Sampling(max_tokens=2000)
    stream = running.stub.Generate(_ask("Count.", sampling=sampling, response_format=endless))
    request_id = next(stream).decision.request_id
    next(stream)
    assert running.stub.Abort(router_pb2.AbortRequest(request_id=request_id)).found
    assert list(stream)[-1].finish.reason == decoding_pb2.FINISH_REASON_ABORTED
    assert not running.stub.Abort(router_pb2.AbortRequest(request_id=request_id)).found


def test_structured_output(running: Running) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 99}}, "required": ["n"]}
    shape = chat_pb2.ResponseFormat(json_schema=json.dumps(schema | {"additionalProperties": False}))
    for hints in (router_pb2.DecodeHints(mode=AR), router_pb2.DecodeHints(mode=SPECULATION)):
        request = _ask("A number?", response_format=shape, hints=hints, sampling=chat_pb2.Sampling(max_tokens=60))
        assert isinstance(json.loads(_text(_run(running, request)))["n"], int)


def test_relaxed_verification_is_named_as_lossy(running: Running) -> None:
    relaxed = router_pb2.DecodeHints(mode=SPECULATION, block_length=4, verification=decoding_pb2.VERIFICATION_RELAXED)
    sampling = chat_pb2.Sampling(max_tokens=60, temperature=0.9, seed=11)
    events = _run(running, _ask("Tell me a short story about a lighthouse.", hints=relaxed, sampling=sampling))
    usage = events[-1].finish.usage
    assert usage.lossy_tokens > 0
    record = running.stub.GetRecord(router_pb2.GetRecordRequest(id=events[0].decision.request_id))
    assert record.finish.segments[0].plan.verification == decoding_pb2.VERIFICATION_RELAXED
    assert sum(len(made.lossy) for made in record.passes) == usage.lossy_tokens


def _bad(**changes: Any) -> router_pb2.GenerateRequest:
    request = _ask()
    for name, change in changes.items():
        request.ClearField(name)  # type: ignore[arg-type]
        if change is not None:
            getattr(request, name).CopyFrom(change)
    return request


Hints, Sampling, Shape = router_pb2.DecodeHints, chat_pb2.Sampling, chat_pb2.ResponseFormat


@pytest.mark.parametrize(
    ("request_", "field", "says"),
    [
        (_bad(chat=None), "prompt", "send chat or text"),
        (_bad(chat=chat_pb2.Chat()), "chat.messages", "at least one message"),
        (router_pb2.GenerateRequest(text=""), "text", "is empty"),
        (
            _bad(chat=chat_pb2.Chat(messages=[chat_pb2.ChatMessage(role=9, content="x")])),  # type: ignore[arg-type]
            "chat.messages[0].role",
            "use system, user, assistant or tool",
        ),
        (
            _bad(chat=chat_pb2.Chat(messages=[chat_pb2.ChatMessage(role=USER)])),
            "chat.messages[0].content",
            "is empty",
        ),
        (_bad(sampling=Sampling(max_tokens=0)), "sampling.max_tokens", "outside 1 to 131072"),
        (_bad(sampling=Sampling(max_tokens=4_000_000_000)), "sampling.max_tokens", "outside 1 to 131072"),
        (_bad(sampling=Sampling(max_tokens=9000)), "sampling.max_tokens", "pass the context of 8192"),
        (_bad(sampling=Sampling(temperature=float("nan"))), "sampling.temperature", "nan is outside 0 to 5"),
        (_bad(sampling=Sampling(temperature=-1)), "sampling.temperature", "-1 is outside 0 to 5"),
        (_bad(sampling=Sampling(top_p=0)), "sampling.top_p", "outside (0, 1]"),
        (_bad(sampling=Sampling(stop=[""])), "sampling.stop[0]", "1 to 256"),
        (_bad(hints=Hints(mode=17)), "hints.mode", "17 is unknown; known are 1 (autoregressive)"),  # type: ignore[arg-type]
        (_bad(hints=Hints(block_length=1000)), "hints.block_length", "use 2 to 32"),
        (_bad(hints=Hints(confidence_threshold=float("nan"))), "hints.confidence_threshold", "not a number"),
        (_bad(hints=Hints(draft_threshold=1.5)), "hints.draft_threshold", "1.5 is outside 0 to 1"),
        (_bad(hints=Hints(draft_sources=[3])), "hints.draft_sources", "known are 1 (diffusion), 2 (prompt_lookup)"),
        (_bad(response_format=Shape(json_schema="{")), "response_format.json_schema", "is not JSON"),
        (
            _bad(response_format=Shape(json_schema='{"type": 5}')),
            "response_format.json_schema",
            "not a valid JSON Schema",
        ),
        (
            _bad(response_format=Shape(json_schema='{"$ref": "http://x/y"}')),
            "response_format.json_schema",
            "only references inside",
        ),
        (_bad(response_format=Shape(json_schema='{"a":' * 5000)), "response_format.json_schema", "is"),
        (_bad(response_format=Shape(regex="([")), "response_format.regex", "can't be compiled"),
        (_bad(response_format=Shape(lark="start: nothing")), "response_format.lark", "can't be compiled"),
        (_bad(response_format=Shape(lark='start: "a" <[1]>')), "response_format.lark", "not for grammars"),
        (
            _bad(
                response_format=Shape(lark='start: /[ab]{20}/ lost\nlost: lost "c"'), sampling=Sampling(max_tokens=50)
            ),
            "response_format.lark",
            "can't be followed further",
        ),
        (router_pb2.GenerateRequest(text="word " * 500_000), "text", "longer than the context of 8192 tokens; shorten"),
        (_bad(tool_choice=chat_pb2.ToolChoice(kind=chat_pb2.ToolChoice.KIND_REQUIRED)), "tool_choice", "no tools"),
    ],
)
def test_bad_input(running: Running, request_: router_pb2.GenerateRequest, field: str, says: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _run(running, request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in caught.value.details()
    status = rpc_status.from_call(caught.value)
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status is not None
    assert any(detail.Unpack(info) for detail in status.details)
    assert any(detail.Unpack(bad) for detail in status.details)
    assert info.domain == "triroute"
    assert bad.field_violations[0].field == field
    assert _run(running, _ask())[-1].WhichOneof("event") == "finish"


def test_prompt_over_the_context(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        _run(running, _ask("word " * 9000))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "shorten the prompt" in caught.value.details()


def test_unknown_record(running: Running) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        running.stub.GetRecord(router_pb2.GetRecordRequest(id="nothing"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_decide_runs_nothing(running: Running) -> None:
    decision = running.stub.Decide(_ask("Explain rainbows."))
    assert (decision.step, decision.rule_id) == (router_pb2.STEP_KIND_PROSE, "otherwise")
    assert decision.policy_revision == running.service.policy.revision


def test_health_and_reflection(running: Running) -> None:
    health = health_pb2_grpc.HealthStub(running.channel)
    answer = health.Check(health_pb2.HealthCheckRequest(service="triroute.v1.Router"))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert "triroute.v1.Router" in ProtoReflectionDescriptorDatabase(running.channel).get_services()


def test_port_taken(running: Running) -> None:
    with pytest.raises(StartFailed, match="choose another with --listen"):
        Running(replace(running.settings, listen=running.service.address))


@pytest.mark.parametrize(
    ("content", "says"), [(None, "is not a file"), (b"GGUF" + b"\0" * 100, "damaged|readable|missing")]
)
def test_bad_checkpoint(settings: Settings, tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StartFailed, match=says):
        Running(replace(settings, checkpoint=path))


def test_bad_policy(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("version: 1\nrulez: []\n")
    with pytest.raises(InvalidPolicy, match=r"policy.yaml:2:1: rulez: unknown key 'rulez'; did you mean 'rules'"):
        Service(replace(settings, policy=path))


def test_overload(settings: Settings) -> None:
    tight = Running(replace(settings, most_in_flight=1))
    try:
        stream = tight.stub.Generate(_ask(sampling=Sampling(max_tokens=500, temperature=1.5)))
        next(stream)
        with pytest.raises(grpc.RpcError) as caught:
            _run(tight, _ask())
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        status, retry = rpc_status.from_call(caught.value), error_details_pb2.RetryInfo()
        assert status is not None
        assert any(detail.Unpack(retry) for detail in status.details)
        stream.cancel()
    finally:
        tight.close()


def test_records_that_can_not_be_written_fail_nothing(settings: Settings, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    service = Running(replace(settings, records=blocked / "records.sqlite", otlp_endpoint="http://127.0.0.1:9"))
    try:
        assert _run(service, _ask())[-1].WhichOneof("event") == "finish"
    finally:
        service.close()
