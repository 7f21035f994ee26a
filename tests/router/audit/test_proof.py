"""Proofs, checked by the script that needs no Triroute."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from triroute.proto import audit_pb2
from triroute.router.audit.checkpoint import Verifier
from triroute.router.audit.entries import one_entry
from triroute.router.audit.place import Place
from triroute.router.audit.proof import prove, read_proof
from triroute.router.audit.schema import beside
from triroute.router.audit.writer import RecordWriter
from triroute.router.errors import Damaged, NotFound, TrirouteError

from .logs import record, tamper, write

SCRIPT = Path(__file__).parents[3] / "docs" / "check_proof.py"


@pytest.fixture
def log(place: Place) -> Place:
    writer = RecordWriter(place)
    writer.append_event("service.started", audit_pb2.ServiceStarted(version="1", host="here"))
    for number in range(0x100000, 0x10000C):
        writer.add(record(number))
    writer.close()
    return place


def check(proof: dict[str, Any], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """As a third party would, without Triroute on its path."""
    (folder / "p.json").write_text(json.dumps(proof))
    command = [sys.executable, "-I", str(SCRIPT), str(folder / "p.json"), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={})


def test_script_is_short_and_alone() -> None:
    text = SCRIPT.read_text()
    assert len(text.splitlines()) <= 50
    assert "triroute." not in text.replace("docs/", "")


@pytest.mark.parametrize("wanted", ["0", "5", "12", f"{0x100003:032x}"])
def test_proof_holds(log: Place, tmp_path: Path, wanted: str) -> None:
    proof = prove(log, wanted)
    done = check(proof, tmp_path, beside(log, "pub").read_text())
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"entry {proof['index']} is one of the 13 entries of triroute/")
    assert "what is `shown` beside it is not covered" in done.stdout
    proven = read_proof(json.dumps(proof | {"shown": {"record": {"request_id": "forged"}}}))
    assert (proven.logged, proven.size) == (replace(one_entry(log, proof["index"]), stored=proven.logged.stored), 13)
    assert str(proven.key) == proof["public_key"]


def altered(proof: dict[str, Any], name: str) -> dict[str, Any]:
    other = dict(proof)
    match name:
        case "entry":
            other["entry"] = "A" + other["entry"][1:] if other["entry"][0] != "A" else "B" + other["entry"][1:]
        case "index":
            other["index"] += 1
        case "too far":
            other["index"] = 13
        case "proof":
            other["proof"] = other["proof"][:-1]
        case "too long":
            other["proof"] = [*other["proof"], other["proof"][0]]
        case "size":
            other["checkpoint"] = other["checkpoint"].replace("\n13\n", "\n14\n")
        case "key":
            key = other["public_key"]
            other["public_key"] = key[:-6] + ("A" if key[-6] != "A" else "B") + key[-5:]
    return other


@pytest.mark.parametrize("name", ["entry", "index", "too far", "proof", "too long", "size", "key"])
def test_altered_proof_does_not(log: Place, tmp_path: Path, name: str) -> None:
    other = altered(prove(log, "5"), name)
    assert check(other, tmp_path).returncode != 0
    with pytest.raises(Damaged, match="the proof does not hold"):
        read_proof(json.dumps(other))


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 100_000, '{"entry": 5}', '{"entry": "§"}', "null"])
def test_what_is_no_proof(text: str) -> None:
    with pytest.raises(Damaged, match="it is no proof of"):
        read_proof(text)


def test_another_key_than_the_one_known(log: Place, tmp_path: Path) -> None:
    write(tmp_path / "other.sqlite", 0x100000)
    done = check(prove(log, "5"), tmp_path, beside(tmp_path / "other.sqlite", "pub").read_text())
    assert done.stderr == "the checkpoint is of another log\n"
    with pytest.raises(Damaged, match="it is of another log"):
        read_proof(json.dumps(prove(log, "5")), Verifier.parse(beside(tmp_path / "other.sqlite", "pub").read_text()))


@pytest.mark.parametrize("wanted", ["13", "99999", "abcdef12"])
def test_no_such_entry(log: Place, wanted: str) -> None:
    with pytest.raises(NotFound):
        prove(log, wanted)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE entry SET leaf = (SELECT leaf FROM entry WHERE number = 4) WHERE number = 9",
        "UPDATE entry SET body = (SELECT body FROM entry WHERE number = 4) WHERE number = 5",
        "DELETE FROM entry WHERE number = 12",
        "UPDATE checkpoint SET note = 'none'",
        "UPDATE log SET key = 'none'",
    ],
)
def test_no_proof_from_a_log_that_was_altered(log: Place, change: str) -> None:
    tamper(log, change)
    with pytest.raises(TrirouteError, match=r"do not lead to its checkpoint|is damaged|there is no entry"):
        prove(log, "5")
