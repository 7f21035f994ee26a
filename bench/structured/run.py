"""Schemas through the embedded model, in every mode, and what their outputs are."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import track

from triroute.engine.chat import Message, Role, encode_chat
from triroute.engine.engine import Engine
from triroute.engine.errors import InvalidRequest
from triroute.engine.grammar import compile_format
from triroute.engine.testing import Answer, run_all
from triroute.engine.types import FinishReason, FormatKind, ModeName, Plan, Request, ResponseFormat, Sampling
from triroute.router.schemas import Schema, schema_problem
from triroute.router.structured.schema import Unjudged, wrong_in

_SHOWN = 1_200  # characters of a schema in its prompt
_TOGETHER = 8
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Case:
    """A schema, its source's name and its own; `unenforced`: keywords that no grammar holds outputs to."""

    source: str
    name: str
    schema: str
    unenforced: tuple[str, ...] = ()


@dataclass(slots=True)
class Corpus:
    """The schemas of a source that compile, what was refused and why, and milliseconds of each compilation."""

    cases: list[Case] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)
    compile_ms: list[float] = field(default_factory=list)
    again_ms: list[float] = field(default_factory=list)


def compile_all(cases: Sequence[Case], engine: Engine) -> Corpus:
    """Compile each twice: the second time from what was kept."""
    corpus = Corpus()
    for case in cases:
        problem = schema_problem(Schema(case.schema))
        shape = ResponseFormat(FormatKind.JSON_SCHEMA, case.schema)
        began = time.perf_counter()
        try:
            if problem:
                raise InvalidRequest("schema", problem)
            constraint = compile_format(shape, engine.tokenizer)
        except InvalidRequest as error:
            corpus.refused.append((f"{case.source}: {case.name}", error.description))
            continue
        finally:
            corpus.compile_ms.append((time.perf_counter() - began) * 1e3)
        began = time.perf_counter()
        compile_format(shape, engine.tokenizer)
        corpus.again_ms.append((time.perf_counter() - began) * 1e3)
        corpus.cases.append(Case(case.source, case.name, case.schema, constraint.unenforced))
    return corpus


def run_mode(mode: ModeName, cases: Sequence[Case], engine: Engine, most: int) -> dict[str, Any]:
    """Counts of one mode over all cases, and what is wrong with the first that are."""
    counts = {"finished": 0, "length": 0, "valid": 0, "invalid": 0, "unjudged": 0}
    partly = {"finished": 0, "valid": 0}
    failed, wrong = list[str](), list[str]()
    tokens = passes = 0
    for start in track(range(0, len(cases), _TOGETHER), mode.value, console=Console(stderr=True)):
        part = cases[start : start + _TOGETHER]
        answers = run_all(engine, [_request(mode, n, case, engine, most) for n, case in enumerate(part)])
        for number, case in enumerate(part):
            answer: Answer = answers[str(number)]
            if answer.finished is None:
                failed.append(f"{case.source}: {case.name}: {answer.failed.message if answer.failed else ''}")
                continue
            tokens += answer.finished.usage.completion_tokens
            passes += answer.finished.usage.passes
            if answer.finished.reason is FinishReason.LENGTH:
                counts["length"] += 1
                continue
            verdict = _verdict(answer.text, case.schema)
            if case.unenforced:
                partly["finished"] += 1
                partly["valid"] += not verdict
                continue
            counts["finished"] += 1
            counts["unjudged" if verdict.startswith("unjudged") else "invalid" if verdict else "valid"] += 1
            if verdict:
                wrong.append(f"{case.source}: {case.name}: {verdict}: {answer.text[:120]!r}")
    return {
        "mode": mode.value,
        **counts,
        "finished_with_keywords_that_are_not_enforced": partly["finished"],
        "of_them_valid": partly["valid"],
        "failed": len(failed),
        "tokens_per_pass": round(tokens / max(passes, 1), 3),
        "tokens": tokens,
        "passes": passes,
        "wrong": [*failed, *wrong][:_NAMED],
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Of milliseconds."""
    ordered = sorted(values)
    return {
        "p50": round(statistics.median(ordered), 3),
        "p99": round(ordered[int(0.99 * (len(ordered) - 1))], 3),
        "most": round(ordered[-1], 3),
    }


def test_suite() -> list[Case]:
    """The sample that ships."""
    lines = (Path(__file__).parent / "test_suite.jsonl").read_text(encoding="utf-8").splitlines()
    found = [json.loads(line) for line in lines]
    return [Case("test suite", one["name"], json.dumps(one["schema"])) for one in found]


def in_folder(folder: Path) -> list[Case]:
    """Every .json file under a folder, as a schema."""
    return [
        Case(path.parent.name, path.stem, path.read_text(encoding="utf-8")) for path in sorted(folder.rglob("*.json"))
    ]


def _request(mode: ModeName, number: int, case: Case, engine: Engine, most: int) -> Request:
    said = Message(Role.USER, f"Write an example, short, in JSON, that fits this JSON Schema:\n{case.schema[:_SHOWN]}")
    prompt = encode_chat((said,), (), engine.chat_template, engine.tokenizer)
    shape = ResponseFormat(FormatKind.JSON_SCHEMA, case.schema)
    return Request(str(number), prompt, Plan(mode), Sampling(max_tokens=most), shape)


def _verdict(text: str, schema: str) -> str:
    try:
        wrong = wrong_in(text, schema)
    except Unjudged as unjudged:
        return f"unjudged: {unjudged}"
    return f"{wrong.path} {wrong.problem}" if wrong else ""
