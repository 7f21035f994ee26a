"""What commands write never takes the place of the log that they read."""

from __future__ import annotations

import json
import os
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
