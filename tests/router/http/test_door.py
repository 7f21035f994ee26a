"""What every route of a real listener holds to: bounded bodies, one set of headers, and no failure by what is asked."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

import pytest
from prometheus_client import CollectorRegistry
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from triroute.router.http.door import LONGEST_BODY
from triroute.router.http.health import health
from triroute.router.http.listener import MOST_CONNECTIONS, HttpListener
from triroute.router.http.metrics import metrics_page

_HEAD = b"Host: 127.0.0.1\r\nConnection: close\r\n"


async def echo(request: Request) -> Response:
    body = await request.body()
    if body == b"fail":
        raise LookupError("a bug")
    return PlainTextResponse(body)


@pytest.fixture
async def listener() -> AsyncIterator[HttpListener]:
    one = HttpListener("127.0.0.1:0", 0)
    one.bind()
    await one.start([health(lambda: True), metrics_page(CollectorRegistry()), Route("/echo", echo, methods=["POST"])])
    yield one
    await one.stop()


async def ask(listener: HttpListener, raw: bytes) -> str:
    """The answer to bytes, as far as it came before the connection ended."""
    host, port = listener.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(raw)
    answer = b""
    try:
        async with asyncio.timeout(20):
            while piece := await reader.read(65_536):
                answer += piece
    except ConnectionResetError:
        pass
    writer.close()
    return answer.decode("latin-1")


def post(path: bytes, body: bytes) -> bytes:
    return b"POST %s HTTP/1.1\r\n%sContent-Length: %d\r\n\r\n%s" % (path, _HEAD, len(body), body)


async def test_bodies_are_whole_and_bounded(listener: HttpListener) -> None:
    assert (await ask(listener, post(b"/echo", b"x" * LONGEST_BODY))).endswith("\r\n\r\n" + "x" * LONGEST_BODY)
    chunked = (
        b"POST /echo HTTP/1.1\r\n" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n"
    )
    assert (await ask(listener, chunked)).endswith("abcdef")


@pytest.mark.parametrize("path", [b"/echo", b"/healthz", b"/nothing"])
@pytest.mark.parametrize("head", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"])
async def test_a_body_that_does_not_end_is_cut_off(listener: HttpListener, path: bytes, head: bytes) -> None:
    """It would go on for as long as it is taken: that there is an answer says that it was not."""
    host, port = listener.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST " + path + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n" + head + b"\r\n\r\n")
    piece = b"x" * 1000
    writer.write((b"3e8\r\n" + piece + b"\r\n" if b"chunked" in head else piece) * 20)
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"connection: close" in answer.lower()


async def test_connections_are_bounded(listener: HttpListener) -> None:
    host, port = listener.address.split(":")
    idle = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_CONNECTIONS)]
    asked = b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"\r\n"
    assert await ask(listener, asked) == ""
    for _, writer in idle:
        writer.close()
        await writer.wait_closed()
    async with asyncio.timeout(20):
        while not await ask(listener, asked):  # until the listener knows, too
            pass


async def test_connections_that_say_nothing_are_closed(listener: HttpListener, monkeypatch: pytest.MonkeyPatch) -> None:
    assert listener._server is not None
    monkeypatch.setattr(listener._server.config, "timeout_keep_alive", 0.05)
    host, port = listener.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    async with asyncio.timeout(20):
        assert await reader.read() == b""
    writer.close()


async def test_callers_that_leave_in_the_middle_are_no_failure(
    listener: HttpListener, caplog: pytest.LogCaptureFixture
) -> None:
    host, port = listener.address.split(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"POST /echo HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 500\r\n\r\nabc")
    await writer.drain()
    writer.close()
    broken = b"POST /echo HTTP/1.1\r\n" + _HEAD + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"
    assert (await ask(listener, broken)).startswith("HTTP/1.1 400 ")
    assert (await ask(listener, post(b"/echo", b"still there"))).endswith("still there")
    assert [entry.message for entry in caplog.records if entry.levelno >= logging.ERROR] == []


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n" + _HEAD + b"\r\n", 200),
        (b"GET /metrics HTTP/1.1\r\n" + _HEAD + b"\r\n", 200),
        (b"GET /nothing HTTP/1.1\r\n" + _HEAD + b"\r\n", 404),
        (b"PUT /healthz HTTP/1.1\r\n" + _HEAD + b"\r\n", 405),
        (post(b"/echo", b"fail"), 500),
        (post(b"/echo", b"x" * 20_000), 413),
    ],
)
async def test_every_answer_has_the_headers(listener: HttpListener, raw: bytes, status: int) -> None:
    head = (await ask(listener, raw)).partition("\r\n\r\n")[0]
    assert head.startswith(f"HTTP/1.1 {status} ")
    for name in ("content-security-policy: default-src 'none'", "x-content-type-options: nosniff", "cache-control:"):
        assert head.count(name) == 1


async def test_no_answer_leads_to_a_host_that_the_caller_names(listener: HttpListener) -> None:
    told = await ask(listener, b"GET /healthz/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
    assert "evil" not in told


@pytest.mark.parametrize(
    "accept",
    ["application/openmetrics-text;version=x", "text/plain;version=1.a.0;escaping=dots", ";;,=", "\xff", "a" * 60_000],
)
async def test_metrics_for_whoever_asks_oddly(listener: HttpListener, accept: str) -> None:
    asked = b"GET /metrics HTTP/1.1\r\n" + _HEAD + b"Accept: " + accept.encode("latin-1") + b"\r\n\r\n"
    assert (await ask(listener, asked)).startswith("HTTP/1.1 200 ")
