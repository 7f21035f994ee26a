"""Prompts: files with mistakes are named by line, templates give many, and nothing to measure on is trained on."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.engine.errors import TrainingError
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.training.prompts import HELD_OUT, WORKLOADS, read_prompts
from triroute.engine.training.templates import make_prompts

GOOD = '{"workload": "plan", "user": "Plan a picnic."}\n\n'


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"prompts.jsonl:3: "),
        ("[]", r":3: a prompt is a JSON object"),
        ('{"workload": "poem", "user": "x"}', r":3: workload is 'poem'"),
        ('{"workload": "plan"}', r":3: exactly one of user and raw"),
        ('{"workload": "plan", "user": "x", "raw": "y"}', r":3: exactly one of user and raw"),
        ('{"workload": "plan", "user": 5}', r":3: user must be text"),
        ('{"workload": "plan", "user": "x", "usr": "y"}', r":3: unknown key 'usr'"),
        ('{"workload": "plan", "user": "x", "tools": [{}]}', r":3: tools must be"),
    ],
)
def test_mistakes_have_a_line(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text(GOOD + line)
    with pytest.raises(TrainingError, match=message):
        read_prompts(path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="can't be read"):
        read_prompts(tmp_path / "none.jsonl")


def test_templates_give_thousands_in_all_workloads() -> None:
    prompts = make_prompts(3000, seed=0)
    assert len(set(prompts)) == len(prompts) == 3000
    assert {prompt.workload for prompt in prompts} == set(WORKLOADS)
    assert prompts == make_prompts(3000, seed=0) != make_prompts(3000, seed=1)
    assert not [p for p in prompts if "{" in p.user.replace("{}", "") and p.workload != "code"]


def test_held_out_prompts_are_others() -> None:
    held_out = read_prompts(HELD_OUT)
    assert {prompt.workload for prompt in held_out} == set(WORKLOADS)
    asked = {prompt.user for prompt in make_prompts(3000, seed=0)}
    assert not [prompt for prompt in held_out if prompt.user and prompt.user in asked]


def test_prompts_encode_as_requests_would() -> None:
    tokenizer = tiny_tokenizer()
    raw, tool = (
        next(p for p in make_prompts(400, seed=0) if wanted(p)) for wanted in (lambda p: p.raw, lambda p: p.tools)
    )
    assert raw.encode(None, tokenizer) == tuple(tokenizer.encode(raw.raw))
    assert b"<tools>" in b"".join(tokenizer.token_bytes(token) for token in tool.encode(None, tokenizer))
