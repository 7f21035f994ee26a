"""The viewer's routes of a real service: who may look, and what they see."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

import grpc
import pytest

from triroute.proto import chat_pb2, decoding_pb2, router_pb2, router_pb2_grpc
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.ui.access import Gate

from .. import fake_engine
from ..audit.logs import tamper


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(
        listen="127.0.0.1:0",
        http="127.0.0.1:0",
        records=tmp_path / "r.sqlite",
        engine=fake_engine.command(),
        otlp_endpoint="",
    )


@pytest.fixture
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with Service(settings) as running:
        yield running


async def run(
    service: Service, session: str = "", mode: Any = decoding_pb2.MODE_AUTOREGRESSIVE, text: str = "go on"
) -> str:
    asked = router_pb2.GenerateRequest(
        text=text,
        session_id=session,
        sampling=chat_pb2.Sampling(max_tokens=6),
        hints=router_pb2.DecodeHints(mode=mode),
    )
    async with grpc.aio.insecure_channel(service.address) as channel:
        stub = router_pb2_grpc.RouterStub(channel)
        events = [event async for event in stub.Generate(asked)]
        wanted = str(events[0].decision.request_id)
        await stub.GetRecord(router_pb2.GetRecordRequest(id=wanted))  # once it is written
    return wanted


def ask(service: Service, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str, Any]:
    url = f"http://{service.http.address}{path}"
    asked = urllib.request.Request(url, data, {name.replace("_", "-"): value for name, value in headers.items()})
    opener = urllib.request.build_opener(_Stay)
    try:
        with opener.open(asked, timeout=10) as answer:
            return answer.status, answer.read().decode(), answer.headers
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(), error.headers


class _Stay(urllib.request.HTTPRedirectHandler):
    """Follows nothing."""

    def redirect_request(self, *arguments: Any) -> None:
        return None


async def get(service: Service, path: str, data: bytes | None = None, **headers: str) -> tuple[int, str, Any]:
    return await asyncio.to_thread(ask, service, path, data, **headers)


async def test_page_and_its_files(service: Service) -> None:
    status, page, headers = await get(service, "/ui/")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    for name in ("app.js", "app.css", "icon.svg"):
        assert f"static/{name}" in page
        assert (await get(service, f"/ui/static/{name}"))[0] == 200
    assert (await get(service, "/ui/static/index.html"))[0] == 404
    assert (await get(service, "/ui/static/..%2fapi.py"))[0] == 404
    assert (await get(service, "/"))[2]["location"] == "/ui/"
    assert "http" not in page.replace("http://", "").replace("https://", "")


async def test_steps(service: Service) -> None:
    nothing = json.loads((await get(service, "/ui/api/steps"))[1])
    assert nothing == {"steps": [], "more": False, "next": None, "damaged": 0, "looked_at": 0}
    ids = [await run(service, session) for session in ("", "a", "a")]
    ids.append(await run(service, "b", decoding_pb2.MODE_DIFFUSION))
    told = json.loads((await get(service, "/ui/api/steps?limit=2"))[1])
    assert [one["id"] for one in told["steps"]] == ids[:1:-1]
    assert told["more"]
    rest = json.loads((await get(service, f"/ui/api/steps?limit=2&before={told['next']}"))[1])
    assert [one["id"] for one in rest["steps"]] == [ids[1], ids[0]]
    assert (rest["more"], rest["next"]) == (False, None)
    session = json.loads((await get(service, "/ui/api/steps?session=a"))[1])["steps"]
    assert [one["id"] for one in session] == [ids[2], ids[1]]
    diffusion = json.loads((await get(service, "/ui/api/steps?mode=diffusion"))[1])["steps"]
    assert [one["id"] for one in diffusion] == [ids[3]]
    for wrong in ("limit=many", "before=now", "before=-1", "before=9223372036854775808", "before=1.5"):
        assert (await get(service, f"/ui/api/steps?{wrong}"))[0] == 400
    live = json.loads((await get(service, "/ui/api/live"))[1])
    assert (live["running"], live["steps"], set(live["mix"])) == (0, 4, {"autoregressive", "diffusion"})


SEGMENTED = """
version: 1
metadata: {name: parts}
defaults: {mode: autoregressive, segments: {code: {mode: diffusion}}}
rules: [{id: all, use: {}}]
"""


async def test_modes_of_segments(settings: Settings, tmp_path: Path) -> None:
    """A step is of all modes that wrote of it, by their tokens."""
    (tmp_path / "p.yaml").write_text(SEGMENTED)
    async with Service(replace(settings, policy=tmp_path / "p.yaml")) as service:
        mixed, plain = [await run(service, text=text) for text in ('{"segments": [2]}', "go on")]
        live = json.loads((await get(service, "/ui/api/live"))[1])
        assert list(live["mix"].items()) == [("autoregressive", 8), ("diffusion", 4)]
        found = {
            mode: json.loads((await get(service, f"/ui/api/steps?mode={mode}"))[1])["steps"]
            for mode in ("diffusion", "autoregressive", "linear")
        }
        assert {mode: [one["id"] for one in steps] for mode, steps in found.items()} == {
            "diffusion": [mixed],
            "autoregressive": [plain, mixed],
            "linear": [],
        }
        (one,) = found["diffusion"]
        assert list(one["modes"].items()) == [("diffusion", 4), ("autoregressive", 2)]
        assert one["mode"] == "autoregressive"  # as decided


async def test_one_step(service: Service) -> None:
    wanted = await run(service, "s")
    told = json.loads((await get(service, f"/ui/api/steps/{wanted}"))[1])
    passes = told["passes_run"]
    tokens = [told["vocab"][number] for committed in passes["committed"] for number in committed]
    assert len(tokens) == told["tokens"] == 6
    assert {len(column) for column in passes.values()} == {len(passes["kind"])}
    assert told["decision"]["revision"] == service.policy.revision
    assert told["session"] == "s"
    status, text, _ = await get(service, "/ui/api/steps/abcdef12")
    assert (status, "no record abcdef12" in json.loads(text)["error"]) == (404, True)


async def test_names_that_others_pointed_here_see_nothing(service: Service) -> None:
    port = service.http.address.rpartition(":")[2]
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example"):
        assert (await get(service, "/ui/api/steps", host=host))[0] == 421
    assert (await get(service, "/ui/api/steps", host=f"localhost:{port}"))[0] == 200


async def test_beyond_this_machine_nobody_looks_without_the_token(settings: Settings) -> None:
    async with Service(replace(settings, http="0.0.0.0:0")) as service:
        status, page, _ = await get(service, "/ui/")
        assert (status, "--http-token" in page) == (403, True)
        assert (await get(service, "/ui/api/steps"))[0] == 403
        assert (await get(service, "/ui/login", b"token="))[0] == 401
        assert (await get(service, "/metrics"))[0] == 200
    async with Service(replace(settings, http="0.0.0.0:0", http_token="open sesame")) as service:
        status, page, _ = await get(service, "/ui/")
        assert (status, 'action="/ui/login"' in page) == (401, True)
        assert (await get(service, "/ui/api/steps"))[0] == 401
        assert (await get(service, "/ui/api/steps", authorization="Bearer open"))[0] == 401
        assert (await get(service, "/ui/api/steps", authorization="Bearer open sesame"))[0] == 200
        assert (await get(service, "/ui/login", b"token=wrong"))[0] == 401
        status, _, headers = await get(service, "/ui/login", b"token=open+sesame")
        assert (status, headers["location"]) == (303, "/ui/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert "sesame" not in cookie
        assert (await get(service, "/ui/api/steps", cookie=cookie.split(";")[0]))[0] == 200


async def raw(service: Service, line: str, *headers: bytes, body: bytes = b"") -> tuple[int, str]:
    """The status and the headers that a request made of bytes gets."""
    host, port = service.http.address.split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    head = [f"{line} HTTP/1.1".encode(), b"Connection: close", b"Content-Length: %d" % len(body), *headers]
    writer.write(b"\r\n".join(head) + b"\r\n\r\n" + body)
    async with asyncio.timeout(20):
        told = (await reader.read()).decode("latin-1")
    writer.close()
    return int(told.split()[1]), told.partition("\r\n\r\n")[0]


ODD_HOSTS = (b"[", b"[::1", b"[127.0.0.1]", b"::1", b"", b"\xff\xfe", b"a@127.0.0.1", b"127.0.0.1:x", b"localhost.")


async def test_no_host_is_a_failure(service: Service, caplog: pytest.LogCaptureFixture) -> None:
    for host in ODD_HOSTS:
        for path in ("/ui/", "/ui/api/live"):
            status, head = await raw(service, f"GET {path}", b"Host: " + host)
            assert (status, "content-security-policy" in head) == (421, True), host
    for host in (b"LOCALHOST", b"[::1]:80", b"127.0.0.1:"):
        assert (await raw(service, "GET /ui/api/live", b"Host: " + host))[0] == 200
    assert "Traceback" not in caplog.text


TOKEN = "öffne dich, Sesam \udce4"  # its last byte is in no encoding: a command line may hold such
TOKEN_BYTES = TOKEN.encode(errors="surrogateescape")


async def test_tokens_of_any_bytes(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    local = b"Host: 127.0.0.1"
    async with Service(replace(settings, http_token=TOKEN)) as service:
        for kind in (b"Bearer ", b"bearer ", b"BEARER  "):
            asked = (local, b"Authorization: " + kind + TOKEN_BYTES)
            assert (await raw(service, "GET /ui/api/live", *asked))[0] == 200
        for kind in (b"", b"Basic ", b"Bearer"):
            asked = (local, b"Authorization: " + kind + TOKEN_BYTES)
            assert (await raw(service, "GET /ui/api/live", *asked))[0] == 401
        for cookie in (b"triroute_ui=\xc3\xa4", b'triroute_ui="\\377"', b"triroute_ui", b"=;=,\xff"):
            assert (await raw(service, "GET /ui/api/live", local, b"Cookie: " + cookie))[0] == 401
        for given in (quote_from_bytes(TOKEN_BYTES).encode(), TOKEN_BYTES.replace(b" ", b"+")):
            many = b"&".join(b"f%d=1" % number for number in range(99))
            assert (await raw(service, "POST /ui/login", local, body=many + b"&token=" + given))[0] == 303
        for form in (b"", b"token", b"\xff\xfe\xfd", b"token=%ff%", b"&" * 9_000, b"token=x&token=y"):
            assert (await raw(service, "POST /ui/login", local, body=form))[0] == 401
        assert (await raw(service, "POST /ui/login", local, body=b"x" * 20_000))[0] == 413
    async with Service(replace(settings, http_token="Schlüssel")) as service:
        for encoding in ("utf-8", "latin-1"):
            asked = (local, b"Authorization: Bearer " + "Schlüssel".encode(encoding))
            assert (await raw(service, "GET /ui/api/live", *asked))[0] == 200
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("address", "local"),
    [("127.0.0.1:80", True), ("[::1]:80", True), ("0.0.0.0:80", False), ("[::]:80", False), ("10.0.0.1:80", False)],
)
def test_what_is_local(address: str, local: bool) -> None:
    assert Gate.of(address, "").local is local


async def test_records_that_are_damaged(service: Service, settings: Settings) -> None:
    """They hide no others, and the page says how many there are."""
    first, second = [await run(service) for _ in range(2)]
    tamper(settings.records, f"UPDATE entry SET packing = NULL WHERE request_id = '{first}'")
    told = json.loads((await get(service, "/ui/api/steps"))[1])
    assert ([one["id"] for one in told["steps"]], told["damaged"]) == ([second], 1)
    live = json.loads((await get(service, "/ui/api/live"))[1])
    assert (live["steps"], live["damaged"]) == (1, 1)
    status, answer, _ = await get(service, f"/ui/api/steps/{first}")
    assert status == 500
    assert "is damaged: its body is damaged" in json.loads(answer)["error"]


async def test_store_that_can_not_be_read(service: Service, settings: Settings) -> None:
    await run(service)
    tamper(settings.records, "DROP TABLE dictionary")
    for path in ("steps", "live", f"steps/{'a' * 32}"):
        status, answer, _ = await get(service, f"/ui/api/{path}")
        assert (status, "can't be read as a record store" in json.loads(answer)["error"]) == (404, True)
