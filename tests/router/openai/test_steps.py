"""Steps by OpenAI's client against a real service: told whole, told in chunks, refused, and left early."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest

from triroute.proto import router_pb2
from triroute.router.http.door import LONGEST_BODY
from triroute.router.http.listener import MOST_CONNECTIONS
from triroute.router.service import Service
from triroute.router.telemetry.logs import Steps

from .. import fake_engine
from .conftest import client_of, settings_in, user

pytestmark = pytest.mark.asyncio(loop_scope="module")

MODEL = fake_engine.MODEL
TEXT = fake_engine.text(fake_engine.output(3, 6))
QUOTED = "zanzibar"
JSON = b"Content-Type: application/json\r\n"


async def post(service: Service, body: bytes, path: str = "/v1/chat/completions") -> asyncio.StreamReader:
    """What comes back for a body, on a connection that stays open."""
    return (await opened(service, body, path))[0]


async def opened(
    service: Service, body: bytes, path: str = "/v1/chat/completions", head: bytes = JSON, method: bytes = b"POST"
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = service.http.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    size = b"Content-Length: %d\r\n" % len(body)
    writer.write(method + b" " + path.encode() + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + size + b"\r\n" + body)
    return reader, writer


async def answer(
    service: Service, body: bytes, path: str = "/v1/chat/completions", head: bytes = JSON, method: bytes = b"POST"
) -> tuple[int, str, Any]:
    """Status, headers and body."""
    reader, writer = await opened(service, body, path, head + b"Connection: close\r\n", method)
    async with asyncio.timeout(20):
        told = (await reader.read()).decode()
    writer.close()
    head_, _, rest = told.partition("\r\n\r\n")
    return int(told.split()[1]), head_, json.loads(rest) if rest.startswith("{") else rest


def asked(**keys: Any) -> bytes:
    return json.dumps({"messages": user(), **keys}).encode()


async def record(service: Service) -> router_pb2.Record:
    await service.pipeline.idle.wait()
    await service.pipeline.settle()
    await asyncio.to_thread(service.pipeline.records.flush)
    (found,) = service.records.latest(1)
    return found


async def test_completion(client: openai.AsyncOpenAI) -> None:
    told = await client.chat.completions.with_raw_response.create(
        model=MODEL, messages=user(), max_tokens=6, seed=3, extra_body={"triroute": {"mode": "self_speculation"}}
    )
    done = told.parse()
    (choice,) = done.choices
    assert (choice.message.role, choice.message.content, choice.message.tool_calls) == ("assistant", TEXT, None)
    assert (choice.finish_reason, choice.logprobs, done.model) == ("length", None, MODEL)
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens, done.usage.total_tokens) == (7, 6, 13)
    assert done.usage.completion_tokens_details is not None
    assert done.usage.completion_tokens_details.accepted_prediction_tokens == 3
    assert done.usage.completion_tokens_details.rejected_prediction_tokens == 3
    triroute = done.model_extra["triroute"]  # type: ignore[index]
    assert triroute["request_id"] == told.headers["x-request-id"]
    assert done.id == f"chatcmpl-{triroute['request_id']}"
    assert (triroute["mode"], triroute["reason"], triroute["check"]) == ("self_speculation", "length", None)


async def test_stream(client: openai.AsyncOpenAI) -> None:
    stream = await client.chat.completions.create(
        model=MODEL, messages=user(), max_tokens=6, seed=3, stream=True, stream_options={"include_usage": True}
    )
    chunks = [chunk async for chunk in stream]
    first, *middle, last, usage = chunks
    assert {(chunk.id, chunk.created, chunk.object) for chunk in chunks} == {
        (first.id, first.created, "chat.completion.chunk")
    }
    assert first.choices[0].delta.role == "assistant"
    assert "".join(chunk.choices[0].delta.content or "" for chunk in middle) == TEXT
    assert len(middle) > 2
    assert (last.choices[0].finish_reason, last.choices[0].delta.content) == ("length", None)
    assert (usage.choices, usage.usage and usage.usage.total_tokens) == ([], 13)
    assert {chunk.usage for chunk in chunks[:-1]} == {None}
    assert first.model_extra["triroute"]["rule_id"]  # type: ignore[index]
    assert last.model_extra["triroute"]["reason"] == "length"  # type: ignore[index]


async def test_raw_text(client: openai.AsyncOpenAI) -> None:
    done = await client.completions.create(model=MODEL, prompt="go on", max_tokens=6, seed=3)
    assert (done.choices[0].text, done.choices[0].finish_reason, done.object) == (TEXT, "length", "text_completion")
    stream = await client.completions.create(model=MODEL, prompt="go on", max_tokens=6, seed=3, stream=True)
    chunks = [chunk async for chunk in stream]
    assert "".join(chunk.choices[0].text for chunk in chunks) == TEXT
    assert chunks[-1].choices[0].finish_reason == "length"


async def test_a_stream_ends_with_done_and_an_answer_says_what_it_is(service: Service) -> None:
    status, head, body = await answer(service, asked(stream=True, max_tokens=2))
    assert (status, "content-type: text/event-stream" in head, "cache-control: no-store" in head) == (200, True, True)
    assert body.rstrip("0\r\n").endswith("data: [DONE]")
    assert body.count("[DONE]") == 1


async def test_models(client: openai.AsyncOpenAI) -> None:
    (served,) = (await client.models.list()).data
    assert (served.id, served.object) == (MODEL, "model")
    assert (await client.models.retrieve(MODEL)).id == MODEL
    with pytest.raises(openai.NotFoundError, match="there is no model 'gpt-9' here; 'fake-1' is served"):
        await client.models.retrieve("gpt-9")
    with pytest.raises(openai.NotFoundError) as caught:
        await client.chat.completions.create(model="gpt-9", messages=user())
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("stream", [False, True])
async def test_what_the_service_and_the_engine_refuse(client: openai.AsyncOpenAI, stream: bool) -> None:
    extra: dict[str, Any] = {"triroute": {"top_k": 2_000_000, "tags": [""]}}
    with pytest.raises(openai.BadRequestError) as caught:
        await client.chat.completions.create(
            model=MODEL, messages=user(""), max_completion_tokens=0, stream=stream, extra_body=extra
        )
    assert (caught.value.param, caught.value.code, caught.value.type) == (
        "messages[0].content",
        "invalid_request",
        "invalid_request_error",
    )
    for path in ("messages[0].content: is empty", "max_completion_tokens: 0", "triroute.top_k: 2", "triroute.tags: at"):
        assert path in caught.value.message
    with pytest.raises(openai.BadRequestError) as late:
        await client.chat.completions.create(model=MODEL, messages=user(end="invalid"), stream=stream)
    assert (late.value.param, "shorten the prompt" in late.value.message) == ("max_tokens", True)


@pytest.mark.parametrize("stream", [False, True])
async def test_engine_that_fails_late(client: openai.AsyncOpenAI, service: Service, stream: bool) -> None:
    """In a stream that has begun it is an event, and no [DONE] follows."""
    body = asked(messages=user(end="failed"), stream=stream, max_tokens=2)
    status, head, told = await answer(service, body)
    assert "x-request-id: " in head
    if not stream:
        assert (status, told["error"]["type"], told["error"]["code"]) == (500, "server_error", "engine_failed")
        return
    assert (status, "[DONE]" in told) == (200, False)
    with pytest.raises(openai.APIError, match="a tensor went missing"):
        async for _ in await client.chat.completions.create(model=MODEL, messages=user(end="failed"), stream=True):
            pass


@pytest.mark.parametrize("place", ["telling.Telling._entry", "routes.requests.chat"])
async def test_a_bug_is_told_without_its_words(
    client: openai.AsyncOpenAI, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def broken(given: object) -> None:
        raise LookupError(QUOTED)

    monkeypatch.setattr(f"triroute.router.openai.{place}", broken)
    with caplog.filtering(Steps()), pytest.raises(openai.InternalServerError) as caught:
        await client.chat.completions.create(model=MODEL, messages=user())
    assert (caught.value.code, "its log says why" in caught.value.message) == ("internal", True)
    assert QUOTED not in caught.value.message
    assert "failed by a bug of ours" in caplog.text
    assert "LookupError" in caplog.text
    assert QUOTED not in caplog.text


async def test_overload(tmp_path: Path) -> None:
    async with Service(replace(settings_in(tmp_path), most_in_flight=0)) as service:
        status, head, told = await answer(service, asked())
    assert (status, told["error"]["type"], told["error"]["code"]) == (429, "rate_limit_error", "overloaded")
    assert ("retry-after: 1\r\n" in head, "retry-after-ms: 250" in head) == (True, True)


@pytest.mark.parametrize("stream", [False, True])
async def test_leaving_early_ends_the_work(service: Service, stream: bool) -> None:
    body = asked(messages=user(delay=0.02), max_tokens=100_000, stream=stream)
    reader, writer = await opened(service, body)
    if stream:
        await reader.readuntil(b"data: ")
    await fake_engine.until(lambda: service.supervisor.client.load.running == 1)
    writer.transport.abort()
    await fake_engine.until(lambda: not service.pipeline.running and not service.supervisor.client.load.running)
    assert (await record(service)).error.startswith("CANCELLED")


async def test_a_step_that_says_nothing_for_long_is_waited_for(
    service: Service, client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert service.http._server is not None
    monkeypatch.setattr(service.http._server.config, "timeout_keep_alive", 0.05)
    slow = user(slow_start=0.5)
    done = await client.chat.completions.create(model=MODEL, messages=slow, max_tokens=6, seed=3)
    assert done.choices[0].message.content == TEXT
    pauses = user(delay=0.15)
    stream = await client.chat.completions.create(model=MODEL, messages=pauses, max_tokens=6, seed=3, stream=True)
    assert "".join([chunk.choices[0].delta.content or "" async for chunk in stream]) == TEXT


async def test_steps_do_not_take_the_connections_of_others(tmp_path: Path) -> None:
    async with Service(replace(settings_in(tmp_path), most_in_flight=8)) as service:
        assert service.http._server is not None
        assert service.http._server.config.most_connections == MOST_CONNECTIONS + 8  # type: ignore[attr-defined]


@asynccontextmanager
async def streaming(service: Service, tokens: int) -> AsyncIterator[asyncio.StreamReader]:
    body = asked(messages=user(delay=0.02), max_tokens=tokens, seed=3, stream=True)
    reader, writer = await opened(service, body)
    await reader.readuntil(b"data: ")
    yield reader
    writer.close()


async def test_drain_lets_steps_finish_and_takes_no_more(tmp_path: Path) -> None:
    async with Service(settings_in(tmp_path)) as service, streaming(service, 60) as reader:
        draining = asyncio.create_task(service.drain())
        await asyncio.sleep(0)
        status, head, told = await answer(service, asked())
        assert (status, told["error"]["code"], "retry-after: 1" in head) == (503, "stopping", True)
        async with asyncio.timeout(service.settings.drain_seconds / 2):
            await draining
        assert not service.pipeline.running
        assert (await reader.readuntil(b"[DONE]")).count(b'"finish_reason":"length"') == 1


async def test_stopping_breaks_streams_off_with_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with Service(settings_in(tmp_path)) as service, streaming(service, 100_000) as reader:
        await service.__aexit__(None, None, None)
        told = (await reader.read()).decode()
        assert '"code":"stopping"' in told
        assert "[DONE]" not in told
        assert "Exception in ASGI" not in caplog.text
        service._stack = type(service._stack)()


@pytest.mark.parametrize(
    ("method", "path", "head", "status", "code"),
    [
        (b"GET", "/v1/chat/completions", JSON, 405, "method_not_allowed"),
        (b"PUT", "/v1/completions", JSON, 405, "method_not_allowed"),
        (b"POST", "/v1/models", JSON, 405, "method_not_allowed"),
        (b"ODD", "/v1/chat/completions", JSON, 405, "method_not_allowed"),
        (b"OPTIONS", "/v1/chat/completions", b"Origin: http://evil.example\r\n", 405, "method_not_allowed"),
        (b"POST", "/v1/embeddings", JSON, 404, "not_found"),
        (b"POST", "/v1/chat/completions/", JSON, 404, "not_found"),
        (b"POST", "/v1/chat/completions", b"", 415, "unsupported_media_type"),
        (b"POST", "/v1/chat/completions", b"Content-Type: text/plain\r\n", 415, "unsupported_media_type"),
        (b"POST", "/v1/chat/completions", b"Content-Type: application/jsonp\r\n", 415, "unsupported_media_type"),
        (b"POST", "/v1/chat/completions", b"Content-Type: Application/JSON; charset=utf-8\r\n", 400, "invalid_request"),
    ],
)
async def test_requests_that_are_none(
    service: Service, method: bytes, path: str, head: bytes, status: int, code: str
) -> None:
    got, told_head, told = await answer(service, b"{", path, head, method)
    assert (got, told["error"]["code"]) == (status, code)
    assert set(told["error"]) == {"message", "type", "param", "code"}
    assert ("allow: " in told_head) == (status == 405)
    assert "access-control" not in told_head


async def test_long_bodies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as messages by gRPC; by a thread of their own where they are long; and elsewhere none."""
    size = 600_000
    async with Service(replace(settings_in(tmp_path), message_bytes=size)) as service:
        fits = asked(max_tokens=2)
        fits += b" " * (size - len(fits))
        by: list[object] = []
        to_thread = asyncio.to_thread

        async def noted(function: Any, *arguments: Any) -> Any:
            by.append(function.__name__)
            return await to_thread(function, *arguments)

        monkeypatch.setattr("triroute.router.openai.routes.asyncio.to_thread", noted)
        assert (await answer(service, fits))[0] == 200
        assert "chat" in by
        status, _, told = await answer(service, fits + b" ")
        assert (status, told["error"]["code"]) == (413, "body_too_long")
        assert f"at most {size} bytes" in told["error"]["message"]
        assert (await answer(service, b"x" * (LONGEST_BODY + 1), "/ui/login"))[0] == 413


async def test_the_token_is_the_key(tmp_path: Path) -> None:
    async with Service(replace(settings_in(tmp_path), http_token="open sesame")) as service:
        async with client_of(service, "open sesame") as client:
            assert (await client.models.list()).data
        async with client_of(service, "wrong") as client:
            with pytest.raises(openai.AuthenticationError) as caught:
                await client.chat.completions.create(model=MODEL, messages=user())
            assert (caught.value.code, caught.value.type) == ("invalid_api_key", "authentication_error")
            with pytest.raises(openai.AuthenticationError):
                await client.get("/nothing", cast_to=object)
        long = await answer(service, asked(messages=user("x" * LONGEST_BODY)))
        assert (long[0], long[2]["error"]["code"]) == (401, "invalid_api_key")


async def test_beyond_this_machine_it_needs_a_token(tmp_path: Path) -> None:
    async with Service(replace(settings_in(tmp_path), http="0.0.0.0:0")) as service:
        for path in ("/v1/chat/completions", "/v1/nothing"):
            status, _, told = await answer(service, asked(), path)
            assert (status, told["error"]["type"], "--http-token" in told["error"]["message"]) == (
                403,
                "permission_error",
                True,
            )


async def get(service: Service, host: bytes, path: str, head: bytes = b"") -> tuple[int, Any]:
    address, port = service.http.address.split(":")
    reader, writer = await asyncio.open_connection(address, int(port))
    writer.write(b"GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n" % (path.encode(), host, head))
    told = (await reader.read()).decode()
    writer.close()
    return int(told.split()[1]), json.loads(told.partition("\r\n\r\n")[2])["error"]["code"]


async def test_names_that_others_pointed_here_get_nothing(service: Service) -> None:
    for path in ("/v1/models", "/v1/nothing"):
        for host in (b"evil.example", b"[", b""):
            assert await get(service, host, path) == (421, "misdirected_request")


async def test_no_host_is_a_failure(tmp_path: Path) -> None:
    async with Service(replace(settings_in(tmp_path), http="0.0.0.0:0", http_token="k")) as service:
        for host in (b"[", b"a@b", b"\xff", b""):
            for path, told in (("completions", (405, "method_not_allowed")), ("nothing", (404, "not_found"))):
                assert await get(service, host, f"/v1/{path}", b"Authorization: Bearer k\r\n") == told


async def test_concurrent_steps_answer_their_own_callers(client: openai.AsyncOpenAI) -> None:
    async def one(seed: int) -> None:
        done = await client.chat.completions.create(model=MODEL, messages=user(), max_tokens=6, seed=seed)
        assert done.choices[0].message.content == fake_engine.text(fake_engine.output(seed, 6))

    await asyncio.gather(*(one(seed) for seed in range(16)))
