"""Every command that reads records reads them from PostgreSQL as from a file, by an option or the environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triroute.proto import router_pb2
from triroute.router.audit.entries import read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.store import Kind
from triroute.router.audit.writer import RecordWriter
from triroute.router.capture.content import Captured, ContentStore, content_file
from triroute.router.cli.app import app
from triroute.router.policy import parse

from ..policy.traffic.synthetic import Known
from .test_policy_traffic import POLICY

ID = f"{1:032x}"


@pytest.fixture
def places(tmp_path: Path, postgres_place: Place) -> list[Place]:
    """The same steps in a file and in a database, the second of them captured."""
    known, ours = Known(chance=0.4), parse(POLICY, "ours")
    described = known.description().SerializeToString()
    records = [known.step(ours, "code" if number % 2 else "prose", number).record for number in range(50)]
    found = [tmp_path / "r.sqlite", postgres_place]
    for place in found:
        writer = RecordWriter(place)
        writer.keep(Kind.ENGINE, known.digest, described)
        writer.keep(Kind.POLICY, ours.revision, ours.canonical.encode())
        for record in records:
            writer.add(record)
        writer.close()
        ContentStore(content_file(place)).put(ID, Captured(router_pb2.GenerateRequest(text="go on"), b"salt"))
    (tmp_path / "ours.yaml").write_text(POLICY)
    (tmp_path / "other.yaml").write_text(POLICY.replace("16}", "4}"))
    return found


@pytest.mark.parametrize(
    "command",
    [
        f"trace {ID}",
        "audit list",
        f"audit show {ID} --json",
        "audit stats --json",
        f"policy explain {ID}",
        "policy diff ours.yaml other.yaml",
        "policy simulate other.yaml",
        "policy tune ours.yaml",
        f"audit redact {ID} --reason asked --author me",
    ],
)
def test_the_same_is_said(places: list[Place], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    wide = {"COLUMNS": "200", "NO_COLOR": "1"}
    by_option = [CliRunner().invoke(app, [*command.split(), "--records", str(place)], env=wide) for place in places]
    said = [done.output.replace(str(place), "PLACE") for done, place in zip(by_option, places, strict=True)]
    assert [done.exit_code for done in by_option] == [0, 0], said
    assert unlike(said[1]) == unlike(said[0])
    if "redact" in command:
        assert said[1].strip().endswith(": removed")
        assert next(read_entries(places[1], newest=1)).kind == "content.redacted"
    else:
        by_environment = CliRunner().invoke(app, command.split(), env=wide | {"TRIROUTE_RECORDS": str(places[1])})
        assert unlike(by_environment.output.replace(str(places[1]), "PLACE")) == unlike(said[1])


def unlike(said: str) -> list[str]:
    """Without what differs by chance: the frame of a title, and times."""
    return [re.sub(r"\d\d:\d\d:\d\d", "", line).strip(" ") for line in said.splitlines() if "PLACE" not in line]
