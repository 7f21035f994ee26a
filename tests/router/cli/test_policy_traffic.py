"""`triroute policy` on recorded traffic, as people run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from triroute.router.audit.store import Kind
from triroute.router.audit.writer import RecordWriter
from triroute.router.cli.policy import policy
from triroute.router.errors import HintRefused, NotFound
from triroute.router.policy import parse

from ..policy.traffic.synthetic import Known

POLICY = """version: 1
metadata: {name: ours}
defaults: {draft_sources: [diffusion]}
hints: {allow: [block_length]}
rules:
  - id: code
    when: {step: code}
    use: {mode: self_speculation, block_length: 16}  # a guess
  - {id: rest, use: {mode: autoregressive}}
"""
OTHER = POLICY.replace("block_length: 16}", "block_length: 4}").replace("name: ours", "name: other")
TESTS = """version: 1
cases:
  - {name: wide, step: code, expect: {rule: code, block_length: 16}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Policies and a store of 50 steps."""
    monkeypatch.chdir(tmp_path)
    known, ours = Known(chance=0.4), parse(POLICY, "ours")
    writer = RecordWriter(tmp_path / "r.sqlite")
    writer.keep(Kind.ENGINE, known.digest, known.description().SerializeToString())
    writer.keep(Kind.POLICY, ours.revision, ours.canonical.encode())
    for number in range(50):
        writer.add(known.step(ours, "code" if number % 2 else "prose", number).record)
    writer.close()
    for name, text in (("ours", POLICY), ("other", OTHER), ("ours_test", TESTS)):
        (tmp_path / f"{name}.yaml").write_text(text)
    return tmp_path


def _run(*arguments: str) -> Result:
    given = [*arguments, "--records", "r.sqlite"]
    return CliRunner().invoke(policy, given, env={"COLUMNS": "200", "NO_COLOR": "1"})


def test_explain_a_record(folder: Path) -> None:
    code = f"{1:032x}"
    done = _run("explain", code)
    for words in (f"record {code}, decided by policy", "✓ code  decides", "block_length 16", "the same as then"):
        assert words in done.stdout
    done = _run("explain", code, "--policy", "other.yaml")
    assert "then it was otherwise: block_length 16 → 4" in done.stdout
    told = json.loads(_run("explain", code, "--policy", "other.yaml", "--json").stdout)
    assert (told["decision"]["block_length"], told["recorded"]["decision"]["block_length"]) == (4, 16)
    assert told["recorded"]["request_id"] == code
    assert isinstance(_run("explain", "abcdef").exception, NotFound)


def test_explain_says_which_switches_it_does_not_know(folder: Path) -> None:
    text = POLICY.replace("when: {step: code}", "when: {load: {cache_used: {gte: 0.5, resume_at: 0}}}")
    (folder / "load.yaml").write_text(text.replace("resume_at: 0", "resume_at: -1"))
    done = _run("explain", f"{1:032x}", "--policy", "load.yaml")
    assert "how load.cache_used at 0.5 until -1 stood was not recorded; taken as not tripped" in done.stdout
    (folder / "fleet.yaml").write_text(
        text.replace("{cache_used", "{fleet: {waiting").replace("resume_at: 0}", "resume_at: -1}}")
    )
    assert "how load.fleet.waiting at 0.5" in _run("explain", f"{1:032x}", "--policy", "fleet.yaml").stdout


def test_explain_what_is_refused_or_not_at_hand(folder: Path) -> None:
    known = Known()
    step = known.step(parse(POLICY, "p"), "code", 77).record
    step.features.hints.block_length = 60
    step.decision.policy_revision = "9" * 64
    writer = RecordWriter(folder / "r.sqlite")
    writer.add(step)
    writer.close()
    assert "is not in r.sqlite; name one with --policy" in str(_run("explain", step.request_id).exception)
    (folder / "narrow.yaml").write_text(f"{POLICY}limits: {{block_length: [2, 8]}}\n")
    refused = _run("explain", step.request_id, "--policy", "narrow.yaml").exception
    assert isinstance(refused, HintRefused)


def test_diff(folder: Path) -> None:
    done = _run("diff", "ours.yaml", "other.yaml").stdout
    assert "1 of 1 decisions change: code (self_speculation) → code (self_speculation) 1" in done
    assert "25 of 50 recorded decisions change: code → code 25" in done
    assert f"25 × code → code  block_length 16 → 4; as in {1:032x}"[:40] in done
    told = json.loads(_run("diff", "ours.yaml", "other.yaml", "--json").stdout)["recorded"]
    assert (told["decisions"], told["changed"], told["otherwise"]) == (50, 25, 25)
    (group,) = told["groups"]
    assert group["parameters"] == [{"name": "block_length", "before": 16, "after": 4}]
    assert "0 of 50 recorded decisions change" in _run("diff", "ours.yaml", "ours.yaml").stdout
    assert "0 of 10 recorded" in _run("diff", "ours.yaml", "ours.yaml", "--last", "10").stdout


def test_simulate_in_a_narrow_terminal(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("triroute.router.cli.policy_simulate.console.width", 50)
    shown = _run("simulate", "ours.yaml").stdout
    assert "\nours.yaml: " in shown
    table = [row for row in shown.splitlines() if row.startswith(("┏", "┃", "│", "└", "┡"))]
    assert table
    assert max(map(len, table)) <= 50
    assert not any("modes" in row for row in table)


def test_simulate(folder: Path) -> None:
    done = _run("simulate", "ours.yaml", "other.yaml", "--plot", "p.png")
    assert done.exit_code == 0, done.output
    for words in ("50 recorded steps; 50 ran", "as recorded", "ours.yaml", "autoregressive 50%", "checked: each half"):
        assert words in done.stdout
    assert "other.yaml: 25 of 50 decisions rest on more than was recorded" in done.stdout
    assert "25 × code self_speculation linear block 4: from other block lengths" in done.stdout
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")
    told = json.loads(_run("simulate", "ours.yaml", "other.yaml", "--json").stdout)
    ours, other = told["policies"]
    assert other["tokens_per_second"] > ours["tokens_per_second"]
    assert ours["tokens_per_second"] == pytest.approx(told["recorded"]["tokens_per_second"], rel=0.1)
    assert other["unseen"][0]["rests_on"] == "other block lengths or thresholds"
    assert set(ours) >= {"p50_seconds", "p95_seconds", "modes", "rests", "refused", "steps"}


def test_tune(folder: Path) -> None:
    done = _run("tune", "ours.yaml")
    assert done.exit_code == 0, done.output
    assert "# rule code: block_length 16 → " in done.stdout
    assert "-    use: {mode: self_speculation, block_length: 16}  # a guess" in done.stdout
    assert "# test that would fail: wide" in done.stdout
    assert (folder / "ours.yaml").read_text() == POLICY
    told = json.loads(_run("tune", "ours.yaml", "--json").stdout)
    assert told["after"]["tokens_per_second"] > told["before"]["tokens_per_second"]
    assert told["failing_tests"] == ["wide"]
    nothing = _run("tune", "ours.yaml", "--only", "lod").exception
    assert "--only lod: no number of this policy has that in its name; there are " in str(nothing)
    few = _run("tune", "ours.yaml", "--least-steps", "40").stdout
    assert "nothing to propose that would gain 2%" in few
    assert "left alone: code, rest" in few


@pytest.mark.parametrize("verb", [("simulate",), ("tune",), ("diff", "ours.yaml")])
def test_without_records(folder: Path, verb: tuple[str, ...]) -> None:
    (folder / "r.sqlite").unlink()
    error = _run(*verb, "ours.yaml").exception
    assert isinstance(error, NotFound)
    assert "no records in r.sqlite that can be decided again; let a service take some traffic first" in error.message
