"""The HTTP listener: addresses, answers, errors, and signals that stay the service's."""

from __future__ import annotations

import asyncio
import signal
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from triroute.router.errors import StartFailed
from triroute.router.http.health import health
from triroute.router.http.listener import MOST_CONNECTIONS, HttpListener


def _get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


@pytest.mark.asyncio
async def test_serves_and_gives_the_address_back() -> None:
    ready = True
    before = signal.getsignal(signal.SIGINT)
    listener = HttpListener("127.0.0.1:0", 0)
    listener.bind()
    await listener.start([health(lambda: ready)])
    try:
        url = f"http://{listener.address}/healthz"
        assert await asyncio.to_thread(_get, url) == (200, "ok\n")
        ready = False
        assert (await asyncio.to_thread(_get, url))[0] == 503
        assert (await asyncio.to_thread(_get, f"http://{listener.address}/nothing"))[0] == 404
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        await listener.stop()
    host, port = listener.address.split(":")
    socket.create_server((host, int(port))).close()


def test_auto_is_the_port_behind_the_services_or_a_free_one() -> None:
    first = HttpListener("auto", 50_651)
    first.bind()
    second = HttpListener("auto", int(first.address.rpartition(":")[2]) - 1)
    second.bind()
    assert first.address != second.address
    for listener in (first, second):
        asyncio.run(listener.stop())


@pytest.mark.parametrize("address", ["8080", "localhost:", "localhost:http", "127.0.0.1:99999", "256.0.0.1:80"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(StartFailed, match="--http"):
        HttpListener(address, 0).bind()


def test_taken_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(StartFailed, match="choose another address"):
        HttpListener(f"127.0.0.1:{taken.getsockname()[1]}", 0).bind()


@pytest.mark.asyncio
async def test_none_at_all() -> None:
    listener = HttpListener("", 0)
    listener.bind()
    await listener.start([])
    await listener.stop()
    assert listener.address == ""


@asynccontextmanager
async def _answering(request_seconds: float) -> AsyncIterator[HttpListener]:
    listener = HttpListener("127.0.0.1:0", 0)
    listener.request_seconds = request_seconds
    listener.bind()
    await listener.start([health(lambda: True)])
    try:
        yield listener
    finally:
        await listener.stop()


@pytest.mark.asyncio
@pytest.mark.parametrize("sent", [b"", b"G", b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n1"])
async def test_a_request_that_does_not_come_to_its_end_makes_room(sent: bytes) -> None:
    async with _answering(0.3) as listener:
        host, port = listener.address.split(":")
        opened = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_CONNECTIONS)]
        for _, writer in opened:
            writer.write(sent)
        async with asyncio.timeout(30):
            for reader, _ in opened:
                assert await reader.read() == b""
        assert await asyncio.to_thread(_get, f"http://{listener.address}/healthz") == (200, "ok\n")
        for _, writer in opened:
            writer.close()


@pytest.mark.asyncio
async def test_requests_that_come_in_pieces_one_after_the_other_are_answered() -> None:
    async with _answering(0.5) as listener:
        host, port = listener.address.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        for _ in range(4):  # longer than one may take
            for piece in (b"GET /healthz HTTP/1.1\r\n", b"Host: x\r\n\r\n"):
                writer.write(piece)
                await asyncio.sleep(0.1)
            assert (await reader.readuntil(b"ok\n")).startswith(b"HTTP/1.1 200")
        writer.close()
