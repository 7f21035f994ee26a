"""`triroute audit`, as people run it."""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from triroute.router.audit.export import ParquetMissing
from triroute.router.audit.place import Place
from triroute.router.audit.schema import SEGMENT, beside
from triroute.router.audit.writer import RecordWriter
from triroute.router.cli.audit import audit
from triroute.router.errors import Damaged, NotFound

from ..audit.logs import record, tamper, write

ID = f"{0x100001:032x}"


@pytest.fixture
def log(place: Place) -> Place:
    write(place, *range(0x100000, 0x100003))
    return place


def run(log: Place, *arguments: str) -> Result:
    return CliRunner().invoke(audit, [*arguments, "--records", str(log)], env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_list(log: Place) -> None:
    lines = run(log, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["#", "3", "2", "1", "0"]
    assert "step" in lines[1]
    assert "service.started  version 1, host here" in lines[4]
    assert len(run(log, "list", "-n", "2").stdout.splitlines()) == 3
    (plain,) = [
        json.loads(line) for line in run(log, "list", "--kind", "service.started", "--json").stdout.splitlines()
    ]
    assert plain["detail"] == {"version": "1", "host": "here"}
    steps = [json.loads(line) for line in run(log, "list", "--kind", "step", "--json").stdout.splitlines()]
    assert [step["number"] for step in steps] == [3, 2, 1]
    assert steps[1]["request_id"] == ID


def test_show(log: Place) -> None:
    for wanted in (ID, "2"):
        assert "output" in run(log, "show", wanted).stdout
        assert json.loads(run(log, "show", wanted, "--json").stdout)["request_id"] == ID
    assert "service.started  entry 0" in run(log, "show", "0").stdout
    assert json.loads(run(log, "show", "0", "--json").stdout)["detail"]["host"] == "here"
    for wanted, why in (("9", "no entry 9"), ("abcdef", "no record abcdef")):
        error = run(log, "show", wanted).exception
        assert isinstance(error, NotFound)
        assert why in str(error)


def test_verify(log: Place, tmp_path: Path) -> None:
    done = run(log, "verify", "--key", str(beside(log, "pub")), "--checkpoint", str(beside(log, "checkpoint")))
    assert done.exit_code == 0
    assert "ok" in done.stdout
    assert "4 entries (3 steps, 1 events)" in done.stdout
    assert "signed by" not in done.stdout
    if isinstance(log, Path):
        assert "which only files beside the log vouch for" in run(log, "verify").stdout
    write(tmp_path / "other.sqlite", 1)
    done = run(log, "verify", "--key", beside(tmp_path / "other.sqlite", "pub").read_text())
    assert done.exit_code == 1
    assert "which is not the key that is trusted" in done.stdout
    assert run(log, "verify", "--key", "nonsense").exit_code == 2
    tamper(log, "UPDATE entry SET at_us = 5 WHERE number = 2")
    done = run(log, "verify")
    assert done.exit_code == 1
    assert "entry 2: it is to be found by" in done.stdout
    told = json.loads(run(log, "verify", "--json").stdout)
    assert not told["ok"]
    assert told["problems"][0]["where"] == "entry 2"
    assert isinstance(run(tmp_path / "none", "verify").exception, NotFound)


def test_prove(log: Place, tmp_path: Path) -> None:
    assert json.loads(run(log, "prove", ID).stdout)["index"] == 2
    assert "wrote" in run(log, "prove", "2", "--out", str(tmp_path / "p.json")).stdout
    assert json.loads((tmp_path / "p.json").read_text())["shown"]["record"]["request_id"] == ID
    (tmp_path / "file").write_text("")
    assert run(log, "prove", "2", "--out", str(tmp_path / "file" / "p.json")).exit_code == 2


@pytest.mark.parametrize(("wanted", "says"), [("2", "output"), ("0", "service.started  entry 0")])
def test_show_what_a_proof_proves(log: Place, tmp_path: Path, wanted: str, says: str) -> None:
    """By the entry's own bytes, not by what is readable beside them, and without the log."""
    proof = json.loads(run(log, "prove", wanted).stdout)
    proof["shown"] = {"record": {"request_id": "forged"}}
    file = tmp_path / "p.json"
    file.write_text(json.dumps(proof))

    def shown(*options: str) -> Result:
        return run(tmp_path / "none", "show", "--proof", str(file), *options)

    done = shown()
    assert says in done.stdout
    assert "forged" not in done.stdout
    assert f"proved: entry {wanted} is one of the 4 of the log" in done.stdout
    assert "the key is the proof's own" in done.stdout
    assert "the key is the proof's own" not in shown("--key", str(beside(log, "pub"))).stdout
    assert run(log, "show", wanted, "--proof", str(file)).exit_code == 2
    assert run(log, "show", wanted, "--key", "x").exit_code == 2
    assert run(log, "show").exit_code == 2
    file.write_text(json.dumps(proof | {"entry": "AAAA"}))
    assert isinstance(shown().exception, Damaged)
    file.unlink()
    assert isinstance(shown().exception, NotFound)


def test_export(log: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(log, "export", str(tmp_path / "log.jsonl"))
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["kind"] for line in lines] == ["service.started", "step", "step", "step"]
    assert len(lines[1]["record"]["passes"]) == len(lines[1]["record"]["token_ids"]) == 6
    run(log, "export", str(tmp_path / "log.parquet"))
    rows = pq.read_table(tmp_path / "log.parquet").to_pylist()
    assert [row["number"] for row in rows] == [1, 2, 3]
    assert rows[1]["request_id"] == ID
    assert run(log, "export", str(tmp_path / "log.jsonl" / "other")).exit_code == 2
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    error = run(log, "export", str(tmp_path / "other"), "--format", "parquet").exception
    assert isinstance(error, ParquetMissing)
    assert "triroute[parquet]" in str(error)


def test_prune(log: Place, tmp_path: Path) -> None:
    for wrong in ((), ("--keep", "1", "--before", "1d"), ("--before", "soon")):
        assert run(log, "prune", *wrong).exit_code == 2
    assert "nothing to remove" in run(log, "prune", "--keep", "0").stdout
    writer = RecordWriter(log)
    for number in range(SEGMENT):
        writer.add(record(number))
    writer.close()
    assert f"removed the bodies of {SEGMENT} entries" in run(log, "prune", "--keep", "4").stdout
    assert run(log, "verify").exit_code == 0
    assert "removed" in run(log, "list", "-n", str(SEGMENT + 9)).stdout
    assert isinstance(run(log, "show", "5").exception, NotFound)
    assert run(log, "prune", "--before", "12h").exit_code == 0
    assert "nothing to remove" in run(log, "prune", "--before", "99999999999d").stdout


@pytest.mark.parametrize(
    ("command", "wrong", "value"),
    [
        ("prune", "--before", "soon"),
        ("prune", "--before", "0001-01-01T00:00:00+14:00"),
        ("prune", "--before", "9" * 5_000 + "d"),
        ("list", "--last", "9" * 20),
        ("replay", "--last", "9" * 20),
        ("stats", "--second-look", "9" * 20),
        ("stats", "--since", "30x"),
        ("stats", "--price-per-hour", "inf"),
        ("stats", "--price-per-hour", "nan"),
        ("stats", "--price-per-hour", "1e300"),
    ],
)
def test_values_that_are_none(log: Path, command: str, wrong: str, value: str) -> None:
    done = run(log, command, wrong, value)
    assert done.exit_code == 2
    assert f"Invalid value for '{wrong}'" in done.output


def test_stats_since(log: Path) -> None:
    """The steps of this log are from 1970."""
    for since, steps in (("99999999999d", 3), ("1970-01-02", 0), ("30d", 0)):
        groups = json.loads(run(log, "stats", "--since", since, "--json").stdout)["groups"]
        assert sum(group["steps"] for group in groups) == steps


def test_stats_as_json_are_json_alone(log: Place, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    plot = tmp_path / "stats.svg"
    done = run(log, "stats", "--json", "--plot", str(plot))
    assert json.loads(done.stdout)["groups"][0]["steps"] == 3
    assert done.stderr == f"plots: {plot}\n"
    assert plot.exists()


@pytest.mark.parametrize("command", ["list", "stats", "export FILE", "export FILE.parquet"])
def test_damaged_entries_are_told_of(
    log: Place, tmp_path: Path, command: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As errors, which commands show, beside what there is of others."""
    tamper(log, "UPDATE entry SET packing = 9 WHERE number = 2")
    assert run(log, *command.replace("FILE", str(tmp_path / "file")).split()).exit_code == 0
    (told,) = [one for one in caplog.records if one.levelno >= logging.ERROR]
    assert "1 entries of" in told.getMessage()
    assert "are damaged and are left out" in told.getMessage()
