"""Policy files: what is wrong is said with its line and column."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from triroute.router.errors import InvalidPolicy
from triroute.router.policy import DEFAULT, load, parse

TEXT = DEFAULT.read_text(encoding="utf-8")


def test_default_loads() -> None:
    assert load(DEFAULT).name == "default"


def test_revision_is_of_the_meaning() -> None:
    revision = load(DEFAULT).revision
    assert parse("# another comment\n" + TEXT, "p").revision == revision
    assert parse(yaml.safe_dump(yaml.safe_load(TEXT), sort_keys=True), "p").revision == revision
    assert parse(TEXT.replace("max_steps: 32", "max_steps: 31"), "p").revision != revision


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        ("step: tool_call", "step: toolcall", "p:39:18: rules.when.step: .*did you mean 'tool_call'.*rule tool-call"),
        ("use: {mode: auto", "use: {mod: auto", "p:48:11: rules.use.mod: unknown key 'mod'; did you mean 'mode'"),
        ("block_length: auto}", "block_length: four}", "p:40:66: rules.use.block_length: .*'four'"),
        ("block_length: auto}", "block_length: '8'}", "expected a whole number or 'auto', found '8' .rule"),
        ("step: tool_call", "step: {in: [plan]}", "^p:39:18: rules.when.step: .* is not one of 'plan'[^\\n]*$"),
        ("step: tool_call", "tenant: 5", "^p:39:20: rules.when.tenant: expected text or a list, found 5 .rule"),
        ("step: tool_call", "any: []", "any: expected at least 1 in the list, found 0"),
        ("when: {step: tool_call}", "when: []", "rules.when: expected keys with values, found a list"),
        ("id: tool-call", "id: Tool call", "'Tool call' is not a name of up to 64 lower-case letters"),
        ("version: 1", "version: 2", "p:3:10: version: expected 1, found 2"),
        ("version: 1\n", "", "p:1:1|p:3:1: .*'version' is missing"),
        ("[0.5, 0.99]", "[0.9, 0.5]", "confidence_threshold: .least, most. must be positive and in order"),
        ("[0.5, 0.99]", "[0.5, .nan]", "p:17:31: limits.confidence_threshold"),
        ("id: tool-call", "id: otherwise", "p:47:9: rule id 'otherwise' is used twice"),
        ("variant: linear", "variant: cubic", "p:40:44: rules.use.variant: 'cubic' is not one of"),
        ("{mode: autoregressive}", "{mode: autoregressive, variant: linear}", "variant belongs to mode"),
        ("  - id: otherwise\n", "  - id: otherwise\n    when: {tools: true}\n", "p:47:5: the last rule"),
        ("rules:", "rules: [", "p:27:3: not valid YAML"),
        ("lt: 8", "less: 8", "p:33:24: .*unknown key 'less'; did you mean 'lte'"),
        ("lt: 8, resume_at: 6", "", "p:33:23: .*give at least one of lt"),
        ("  owner: inference-ops", "  owner: a\n  owner: b", "p:7:3: 'owner' is given twice"),
        ("  name: default", "  name: 1.5", "p:5:9: metadata.name"),
        ("  name: default", "  name: !!python/object:os.system x", "p:5:9: could not determine a constructor"),
    ],
)
def test_errors_have_a_place(old: str, new: str, error: str) -> None:
    assert old in TEXT
    with pytest.raises(InvalidPolicy, match=error):
        parse(TEXT.replace(old, new, 1), "p")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "found 0"),
        ("a: 1\n---\nb: 2", "found 2"),
        ("[]", "p:1:1: "),
        ("{1: 2}", "keys are words"),
        (
            "a: &a [x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\n"
            "d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e,*e,*e,*e,*e]",
            "too large",
        ),
        ("a: &a [*a]", "too large"),
        ("[" * 3000, "not valid YAML"),
    ],
    ids=["empty", "two", "list", "number key", "alias bomb", "cycle", "deep"],
)
def test_hostile_files(text: str, error: str) -> None:
    with pytest.raises(InvalidPolicy, match=error):
        parse(text, "p")


def test_unreadable(tmp_path: Path) -> None:
    with pytest.raises(InvalidPolicy, match="No such file"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\xfe\xfa")
    with pytest.raises(InvalidPolicy, match="not UTF-8"):
        load(tmp_path / "latin.yaml")
