"""The content store: what is sealed stays so, what is redacted is gone, and an outage fails nothing."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path

import pytest

from triroute.proto import audit_pb2
from triroute.router.audit.chronicle import Chronicle
from triroute.router.audit.entries import read_entries
from triroute.router.audit.writer import RecordWriter
from triroute.router.capture import keeper
from triroute.router.capture.content import Captured, ContentStore, Seal, content_file
from triroute.router.capture.keeper import Keeper
from triroute.router.errors import AuditUnavailable, NotFound, StartFailed
from triroute.router.prompts import build
from triroute.router.settings import Settings

from ..fake_engine import until

SECRET = "the marmalade is behind the clock"
ID = "0123456789abcdef0123456789abcdef"


def _request(text: str = SECRET) -> Captured:
    return Captured(build({"prompt": text}, "a step"), b"sixteen bytes ..")


def _key(folder: Path, name: str = "key", size: int = 32) -> Path:
    file = folder / name
    file.write_bytes(base64.b64encode(os.urandom(size)) + b"\n")
    return file


def _bytes(store: ContentStore) -> bytes:
    return b"".join(path.read_bytes() for path in store.path.parent.glob(f"{store.path.name}*"))


@pytest.fixture(params=["open", "sealed"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ContentStore:
    seal = Seal.of(_key(tmp_path)) if request.param == "sealed" else Seal()
    return ContentStore(content_file(tmp_path / "records.sqlite"), seal)


def test_comes_back(store: ContentStore) -> None:
    store.put(ID, _request())
    assert store.get(ID) == _request()
    assert store.path.stat().st_mode & 0o077 == 0
    with pytest.raises(NotFound, match="was not captured"):
        store.get("f" * 32)


def test_nothing_yet(store: ContentStore) -> None:
    with pytest.raises(NotFound):
        store.get(ID)
    with store.removing([ID]) as removed:
        assert removed == []
    assert not store.holds(ID)
    assert store.older(0, 9) == []
    assert not store.path.exists()


def test_redacted_is_gone_from_the_file(tmp_path: Path) -> None:
    store = ContentStore(tmp_path / "c")
    letters = "".join(chr(33 + byte % 90) for byte in os.urandom(3_000))  # what zlib leaves as it is, in part
    store.put(ID, _request(letters))
    with sqlite3.connect(store.path) as connection:
        (body,) = connection.execute("SELECT body FROM content").fetchone()
    connection.close()
    assert body[100:400] in _bytes(store)
    assert store.holds(ID)
    with store.removing([ID, "f" * 32, ID]) as removed:
        assert removed == [ID]
    assert body[100:140] not in _bytes(store)
    with pytest.raises(NotFound, match="redacted"):
        store.get(ID)


def test_what_fails_in_between_removes_nothing(store: ContentStore) -> None:
    store.put(ID, _request())

    def fail() -> None:
        with store.removing([ID]):
            raise OSError("the log is not to be written")

    with pytest.raises(OSError, match="not to be written"):
        fail()
    assert store.get(ID) == _request()


@pytest.mark.parametrize("days", [1e300, float("inf")])
def test_content_that_never_grows_old(store: ContentStore, days: float) -> None:
    store.put(ID, _request())
    assert store.older(days, 9) == []


def test_old_content_goes(store: ContentStore) -> None:
    store.put(ID, _request())
    assert store.older(1, 9) == []
    assert store.older(0, 9) == [ID]
    assert store.remove(store.older(0, 9)) == 1
    with pytest.raises(NotFound, match="grew old"):
        store.get(ID)


def test_seal_hides_and_holds(tmp_path: Path) -> None:
    key = _key(tmp_path)
    store = ContentStore(tmp_path / "c", Seal.of(key))
    store.put(ID, _request())
    assert SECRET.encode() not in _bytes(store)
    for other in (Seal(), Seal.of(_key(tmp_path, "other"))):
        with pytest.raises(NotFound, match="--capture-key"):
            ContentStore(store.path, other).get(ID)
    moved = "request_id = 'f' || substr(request_id, 2)"
    for change in (moved, "body = CAST(substr(body, 1, 20) || x'0001' || substr(body, 23) AS BLOB)"):
        copy = ContentStore(tmp_path / f"copy{len(change)}", Seal.of(key))
        copy.path.write_bytes(store.path.read_bytes())
        connection = sqlite3.connect(copy.path)
        connection.execute(f"UPDATE content SET {change}")
        connection.commit()
        connection.close()
        with pytest.raises(NotFound, match="altered"):
            copy.get("f" + ID[1:] if change == moved else ID)


@pytest.mark.parametrize(
    ("text", "says"), [(b"!", "not base64"), (base64.b64encode(b"short"), "has 5 bytes"), (None, "can't be read")]
)
def test_keys_that_are_none(tmp_path: Path, text: bytes | None, says: str) -> None:
    file = tmp_path / "key"
    if text is not None:
        file.write_bytes(text)
    with pytest.raises(StartFailed, match=says):
        Seal.of(file)


def test_many_at_once(store: ContentStore) -> None:
    several = [(f"{number:032x}", _request(str(number))) for number in range(16)]
    threads = [threading.Thread(target=store.put, args=one) for one in several]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(name, store.get(name)) for name, _ in several] == several


def test_file_of_something_else(tmp_path: Path) -> None:
    (tmp_path / "c").write_text("nothing of the kind, and long enough to be looked at" * 20)
    with pytest.raises(NotFound, match="can't be read as a content store"):
        ContentStore(tmp_path / "c").get(ID)
    with pytest.raises(OSError, match="not a database"):
        ContentStore(tmp_path / "c").put(ID, _request())


async def test_outage_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    one = Keeper(ContentStore(blocked / "c"), 1, lambda _: Future())
    with caplog.at_level(logging.WARNING):
        assert [await one.keep(ID, _request()) for _ in range(3)] == [False] * 3
        blocked.unlink()
        assert await one.keep(ID, _request())
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


@pytest.mark.parametrize("at_once", [1_000, 2])
async def test_old_content_goes_once_the_log_has_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(keeper, "_AT_ONCE", at_once)
    store, told = ContentStore(tmp_path / "c"), asyncio.Queue[tuple[Sequence[str], Future[None]]]()
    ids = [f"{number:032x}" for number in range(5)]
    for one in ids:
        store.put(one, _request())

    def tell(request_ids: Sequence[str]) -> Future[None]:
        written = Future[None]()
        told.put_nowait((request_ids, written))
        return written

    seen: list[str] = []
    async with Keeper(store, 0, tell):
        while len(seen) < len(ids):
            named, written = await told.get()
            assert len(named) <= at_once
            assert all(store.holds(one) for one in named)
            seen += named
            written.set_result(None)
        await until(lambda: not any(map(store.holds, ids)))
    assert seen == ids


async def test_old_content_stays_where_the_log_cannot_tell(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store, refused = ContentStore(tmp_path / "c"), Future[None]()
    store.put(ID, _request())
    refused.set_exception(AuditUnavailable("the log can't be written"))
    async with Keeper(store, 0, lambda _: refused):
        await until(lambda: "old content can't be removed yet: the log can't be written" in caplog.text)
    assert store.holds(ID)


async def test_the_log_names_what_grew_old(tmp_path: Path) -> None:
    """By a service's chronicle, in a real log."""
    log = tmp_path / "r.sqlite"
    store = ContentStore(content_file(log))
    store.put(ID, _request())
    writer = RecordWriter(log)
    async with Keeper(store, 0, Chronicle(writer, Settings()).purging):
        await until(lambda: not store.holds(ID))
    writer.close()
    (one,) = read_entries(log)
    told = audit_pb2.ContentRedacted()
    assert one.entry is not None
    assert one.entry.event.detail.Unpack(told)
    assert (list(told.request_ids), told.count, told.reason) == ([ID], 1, "older than content_days")
