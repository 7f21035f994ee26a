"""`triroute policy` as people run it: output and exit codes."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import jsonschema
import pytest
from typer.testing import CliRunner, Result

from triroute.router.cli.policy import policy
from triroute.router.policy import DEFAULT

GOOD = """version: 1
metadata: {name: t}
rules:
  - {id: calls, when: {step: tool_call}, use: {mode: self_speculation}}
  - {id: rest, use: {mode: autoregressive}}
"""
DEAD = GOOD.replace("  - {id: rest", "  - {id: dead, when: {step: tool_call, tools: true}, use: {}}\n  - {id: rest")
FLAPS = GOOD.replace("step: tool_call", "load: {running: {lt: 3}}")
INVALID = GOOD.replace("tool_call", "tool_cal")
CASES = """version: 1
cases:
  - {name: a call, step: tool_call, expect: {rule: calls}}
  - {name: a text, step: prose, expect: {rule: rest}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(policy, arguments, input=stdin, env={"COLUMNS": "200", "NO_COLOR": "1"})


@pytest.mark.parametrize(
    ("text", "options", "code", "says"),
    [
        (GOOD, (), 0, "0 errors, 0 warnings, 1 notes"),
        (GOOD, ("--fail-on", "note"), 5, "p.yaml:1:1: note: the policy has no tests; write p_test.yaml"),
        (DEAD, (), 5, "p.yaml:5:10: error: never decides: 'calls' before it takes every step that it matches; move it"),
        (FLAPS, (), 0, "p.yaml:4:40: warning: load.running has a bound and no `resume_at`"),
        (FLAPS, ("--fail-on", "warning"), 5, "[flapping-load]"),
        (INVALID, (), 3, "did you mean 'tool_call'? (rule calls) [unknown-name]"),
        (GOOD, ("--format", "xml"), 2, ""),
    ],
)
def test_lint(folder: Path, text: str, options: tuple[str, ...], code: int, says: str) -> None:
    (folder / "p.yaml").write_text(text)
    done = _run("lint", "p.yaml", *options)
    assert done.exit_code == code
    assert says in done.stdout


def test_lint_formats(folder: Path) -> None:
    (folder / "p.yaml").write_text(DEAD)
    (folder / "p_test.yaml").write_text(CASES)
    dead, untested = json.loads(_run("lint", "p.yaml", "--format", "json").stdout)
    assert set(dead) == {"code", "severity", "file", "line", "column", "rule", "message", "hint"}
    assert (dead["code"], dead["severity"], dead["line"], dead["column"]) == ("shadowed-rule", "error", 5, 10)
    assert (untested["code"], untested["severity"], untested["rule"]) == ("untested-rule", "warning", "dead")
    report = json.loads(_run("lint", "p.yaml", "--format", "sarif").stdout)
    (run,) = report["runs"]
    assert [result["ruleId"] for result in run["results"]] == ["shadowed-rule", "untested-rule"]
    place = run["results"][0]["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "p.yaml"}, "region": {"startLine": 5, "startColumn": 10}}
    first = _run("lint", "p.yaml", "--format", "github").stdout.splitlines()[0]
    assert first.startswith("::error file=p.yaml,line=5,col=10,title=shadowed-rule::never decides: 'calls'")


def test_lint_of_nothing(folder: Path) -> None:
    assert _run("lint").exit_code == 2


@pytest.mark.parametrize("bad", [None, b"\xff\xfe"])
def test_lint_of_what_can_not_be_read(folder: Path, bad: bytes | None) -> None:
    """It is a finding like others: in the format that a program reads, and not in the way of other files."""
    if bad is not None:
        (folder / "bad.yaml").write_bytes(bad)
    (folder / "p.yaml").write_text(DEAD)
    done = _run("lint", "bad.yaml", "p.yaml", "--format", "json")
    assert done.exit_code == 3
    codes = [(one["file"], one["code"]) for one in json.loads(done.stdout)]
    assert ("bad.yaml", "unreadable") in codes
    assert ("p.yaml", "shadowed-rule") in codes


@pytest.mark.parametrize(
    ("text", "cases", "options", "code", "says"),
    [
        (GOOD, CASES, (), 0, "p.yaml: 2 passed, 0 failed; 2 of 2 rules reached"),
        (GOOD, CASES, ("-v",), 0, "✓ a call  calls"),
        (GOOD, CASES.replace("rule: rest", "rule: calls"), (), 4, "rule is rest, expected calls: step is prose"),
        (GOOD, "version: 1\ncases: []", (), 4, "no test ran"),
        (GOOD, CASES, ("--only", "nothing"), 4, "no test ran"),
        (GOOD, CASES, ("--only", "call"), 0, "1 passed"),
        (DEAD, CASES, (), 5, "2 of 3 rules reached (not dead)"),
        (DEAD, CASES, ("--coverage", "0.6"), 0, "2 of 3"),
        (DEAD, f"coverage: 0.5\n{CASES}", (), 0, "2 of 3"),
    ],
)
def test_test(folder: Path, text: str, cases: str, options: tuple[str, ...], code: int, says: str) -> None:
    (folder / "p.yaml").write_text(text)
    (folder / "p_test.yaml").write_text(cases)
    done = _run("test", "p.yaml", *options)
    assert done.exit_code == code, done.output
    assert says in done.output
    assert _run("test", ".", *options).exit_code == code


def test_junit(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD)
    (folder / "p_test.yaml").write_text(CASES.replace("rule: rest", "rule: calls"))
    assert _run("test", "p_test.yaml", "--junit", "j.xml").exit_code == 4
    (suite,) = ElementTree.parse(folder / "j.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [len(case) for case in suite] == [0, 1]
    assert "expected calls" in (suite[1][0].get("message") or "")


def test_junit_can_not_be_written(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD)
    (folder / "p_test.yaml").write_text(CASES)
    done = _run("test", "p.yaml", "--junit", "nowhere/j.xml")
    assert done.exit_code == 2
    assert "nowhere/j.xml: No such file or directory" in done.stderr


def test_missing_test_file(folder: Path) -> None:
    (folder / "p.yaml").write_text(GOOD)
    assert "p_test.yaml:1:1: there is no such test file" in str(_run("test", "p.yaml").exception)


def test_explain() -> None:
    asked = json.dumps({"prompt": "Sketch a parser.", "tags": ["draft"], "step": "code", "mode": "autoregressive"})
    done = _run("explain", "-", "--running", "9", stdin=asked)
    for words in (
        *("step  code, confidence 1.00", "the caller's hint", 'tags ["draft"]', "hint mode followed"),
        *("✗ editable-draft  load.running is 9, wanted less than 8", "✓ structured-text  decides", "· otherwise"),
        *("nearest miss: editable-draft", "runs  rule structured-text, mode autoregressive"),
    ):
        assert words in done.stdout
    told = json.loads(_run("explain", "-", "--json", stdin=asked).stdout)
    assert (told["rule"], told["decision"]["mode"], told["facts"]["load.running"]) == (
        *("editable-draft", "autoregressive", 0),
    )
    assert [rule["outcome"] for rule in told["rules"]] == ["decides", *["not looked at"] * 3]


@pytest.mark.parametrize(
    ("asked", "says"),
    [("{", "not JSON"), ('{"promp": 1}', "did you mean 'prompt'"), ('{"prompt": "x", "max_tokens": 0}', "max_tokens")],
)
def test_explain_mistakes(asked: str, says: str) -> None:
    done = _run("explain", "-", stdin=asked)
    assert done.exit_code == 2
    assert says in done.output


def test_diff(folder: Path) -> None:
    (folder / "a.yaml").write_text(GOOD)
    (folder / "a_test.yaml").write_text(CASES)
    changed = GOOD.replace("rest, use: {mode: autoregressive}", "rest, use: {mode: diffusion}")
    (folder / "b.yaml").write_text(changed.replace("id: calls", "id: tools").replace("{name: t}", "{name: u}"))
    done = _run("diff", "a.yaml", "b.yaml").stdout
    for words in (
        *("~ metadata.name: t → u", "- rule calls", "+ rule tools"),
        *("~ rule rest: use.mode: autoregressive → diffusion", "2 of 2 decisions change: "),
        *("calls (self_speculation) → tools (self_speculation) 1", "a text  mode autoregressive → diffusion"),
    ):
        assert words in done
    same = _run("diff", "a.yaml", "a.yaml").stdout
    assert "the policies mean the same" in same
    assert "0 of 2 decisions change" in same
    told = json.loads(_run("diff", "a.yaml", "b.yaml", "--json").stdout)
    assert (told["decisions"], len(told["changed"]), len(told["changes"])) == (2, 2, 4)


def test_auto_is_said(folder: Path) -> None:
    """In plans it is a block length of 0."""
    (folder / "a.yaml").write_text(GOOD)
    (folder / "b.yaml").write_text(
        GOOD.replace("{mode: self_speculation}", "{mode: self_speculation, block_length: 4}")
    )
    (folder / "a_test.yaml").write_text(CASES)
    assert "a call  block_length auto → 4" in _run("diff", "a.yaml", "b.yaml").stdout
    asked = json.dumps({"prompt": "Call it.", "step": "tool_call"})
    allowed = GOOD.replace("rules:", "hints: {allow: [step]}\nrules:")
    (folder / "a.yaml").write_text(allowed)
    assert "block_length auto," in _run("explain", "-", "--policy", "a.yaml", stdin=asked).stdout


def test_diff_of_order(folder: Path) -> None:
    (folder / "a.yaml").write_text(DEAD)
    lines = DEAD.splitlines()
    (folder / "b.yaml").write_text("\n".join([*lines[:3], lines[4], lines[3], *lines[5:]]))
    assert "~ rule calls: place: 1 → 2" in _run("diff", "a.yaml", "b.yaml").stdout


def test_check() -> None:
    assert "tool-call" in _run("check").stdout
    assert (
        jsonschema.Draft202012Validator.check_schema(json.loads((DEFAULT.parent / "schema/policy.v1.json").read_text()))
        is None
    )
