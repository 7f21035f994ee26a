"""Reports of recorded steps."""

from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from triroute.proto import router_pb2
from triroute.router.audit.writer import RecordWriter
from triroute.router.classifier.report import report
from triroute.router.cli.app import app
from triroute.router.errors import NotFound

CODE, PROSE = router_pb2.STEP_KIND_CODE, router_pb2.STEP_KIND_PROSE


def _records(count: int) -> list[router_pb2.Record]:
    """Every third step is not the code that it was taken for."""
    return [
        router_pb2.Record(
            request_id=f"id{number:04}",
            features=router_pb2.Features(step=CODE, confidence=0.95, classifier_revision="abc"),
            observed=PROSE if number % 3 == 0 else CODE,
            framework="crewai",
        )
        for number in range(count)
    ]


def test_report() -> None:
    found = report([*_records(150), router_pb2.Record(request_id="nothing")])
    assert len(found.steps["crewai"]) == 150
    assert found.drift.drifting == {"crewai": True}
    assert (found.revisions, found.unseen) == ({"abc"}, 1)


def test_command(tmp_path: Path) -> None:
    path = tmp_path / "r.sqlite"
    writer = RecordWriter(path)
    for record in _records(9):
        writer.add(record)
    writer.close()
    shown = CliRunner().invoke(app, ["classify", "report", "--records", str(path)])
    assert shown.exit_code == 0, shown.output
    assert "crewai: 9 steps, 6 right" in " ".join(shown.output.split())
    told = json.loads(CliRunner().invoke(app, ["classify", "report", "--records", str(path), "--json"]).stdout)
    assert told["frameworks"]["crewai"]["confusion"] == {"code": {"code": 6}, "prose": {"code": 3}}
    assert told["revisions"] == ["abc"]


def test_no_records(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["classify", "report", "--records", str(tmp_path / "none.sqlite")])
    assert isinstance(result.exception, NotFound)
