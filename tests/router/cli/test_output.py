"""What commands write never takes the place of the log that they read."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from triroute.router.audit.schema import beside
from triroute.router.capture.content import content_file
from triroute.router.cli.app import app
from triroute.router.cli.output import output
from triroute.router.errors import NotFound

from ..audit.logs import write


@pytest.fixture
def log(tmp_path: Path) -> Path:
    place = tmp_path / "r.sqlite"
    write(place, 0x100000)
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    "name",
    [
        "r.sqlite",
        "r.sqlite-wal",
        "r.sqlite.key",
        "r.sqlite.pub",
        "r.sqlite.checkpoint",
        "r.sqlite.checkpoint.lost-1",
        "r.sqlite.pub.lost-1",
        "r.sqlite.content",
        "r.sqlite.content-journal",
        "link",
        "hard",
        "sub/../r.sqlite",
    ],
)
def test_no_file_of_the_log(log: Path, name: str) -> None:
    (log.parent / "link").symlink_to(log)
    os.link(log, log.parent / "hard")
    for what in ("checkpoint", "pub"):
        (log.parent / f"r.sqlite.{what}.lost-1").write_text("evidence")
    before = contents(log.parent)
    with pytest.raises(typer.BadParameter, match="belongs to the log"), output(log.parent / name, log, "OUT") as file:
        file.write_text("gone")
    assert contents(log.parent) == before


@pytest.mark.parametrize("command", ["audit export {}", "audit prove 1 --out {}", "audit stats --plot {}"])
def test_commands_keep_to_it(log: Path, command: str) -> None:
    before = log.read_bytes()
    done = CliRunner().invoke(app, [*command.format(log).split(), "--records", str(log)])
    assert done.exit_code == 2
    assert "belongs to the log" in " ".join(done.output.replace("│", " ").split())
    assert log.read_bytes() == before


def test_what_was_there_stays_where_there_is_no_log(tmp_path: Path) -> None:
    keep = tmp_path / "keep.jsonl"
    keep.write_text("something\n")
    done = CliRunner().invoke(app, ["audit", "export", str(keep), "--records", str(tmp_path / "none")])
    assert isinstance(done.exception, NotFound)
    assert contents(tmp_path) == {"keep.jsonl": b"something\n"}


def test_written_whole_or_not_at_all(log: Path) -> None:
    out, link = log.parent / "r.sqlite.jsonl", log.parent / "other"
    out.write_text("before")
    link.symlink_to(out)

    def fail() -> None:
        with output(out, log, "OUT") as file:
            file.write_text("half")
            raise NotFound("of it")

    with pytest.raises(NotFound):
        fail()
    assert out.read_text() == "before"
    with output(link, log, "OUT") as file:
        file.write_text("all")
    assert (out.read_text(), link.is_symlink()) == ("all", True)
    (log.parent / "file").write_text("")
    with pytest.raises(typer.BadParameter, match="can't be written"), output(log.parent / "file" / "x", log, "OUT"):
        pass


def mode(path: Path) -> str:
    return f"{stat.S_IMODE(path.stat().st_mode):o}"


def test_who_could_not_read_a_file_still_can_not(log: Path) -> None:
    out = log.parent / "private.jsonl"
    for before in (0o600, 0o640, 0o664, 0o444):
        out.write_text("before")
        out.chmod(before)
        for private in (True, False):
            with output(out, log, "OUT", private=private) as file:
                file.write_text("all")
            assert (out.read_text(), mode(out)) == ("all", f"{before:o}")
        out.unlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_owner_and_group_stay(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = log.parent / "theirs"
    out.write_text("before")
    out.chmod(0o640)
    os.chown(out, 1234, 4321)
    with output(out, log, "OUT") as file:
        file.write_text("all")
    told = out.stat()
    assert (told.st_uid, told.st_gid, mode(out)) == (1234, 4321, "640")

    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "chown", refuse)  # as for anybody but root
    with output(out, log, "OUT") as file:
        file.write_text("again")
    assert (out.stat().st_gid != 4321, mode(out)) == (True, "600")


@pytest.mark.parametrize(
    ("command", "wanted"),
    [("audit export {}", 0o600), ("audit prove 1 --out {}", 0o600), ("audit stats --plot {}", 0o644)],
)
def test_what_holds_records_is_for_its_owner_alone(log: Path, command: str, wanted: int) -> None:
    if "--plot" in command:
        pytest.importorskip("matplotlib")
    out = log.parent / "new.svg"
    before = os.umask(0o022)
    try:
        done = CliRunner().invoke(app, [*command.format(out).split(), "--records", str(log)])
    finally:
        os.umask(before)
    assert (done.exit_code, mode(out)) == (0, f"{wanted:o}")


def test_a_pipe_is_written_as_it_is(log: Path) -> None:
    reading, writing = os.pipe()
    with output(Path(f"/dev/fd/{writing}"), log, "OUT") as file:
        file.write_text("all")
    os.close(writing)
    with os.fdopen(reading) as read:
        assert read.read() == "all"


def test_content_of_a_log_that_has_none_yet(log: Path) -> None:
    assert not content_file(log).exists()
    done = CliRunner().invoke(app, ["audit", "export", str(beside(log, "content")), "--records", str(log)])
    assert done.exit_code == 2
    assert not content_file(log).exists()


def test_export_of_everything(log: Path) -> None:
    out = log.parent / "new" / "log.jsonl"
    assert CliRunner().invoke(app, ["audit", "export", str(out), "--records", str(log)]).exit_code == 0
    assert [json.loads(line)["number"] for line in out.read_text().splitlines()] == [0, 1]
