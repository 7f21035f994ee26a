"""Run cases through the classifier and the policy, as a live step is; no service, no model."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from triroute.router.classifier import classify
from triroute.router.convert.request import to_request
from triroute.router.errors import InvalidRequest
from triroute.router.policy.decide import decide
from triroute.router.policy.latches import Latches
from triroute.router.policy.load import Policy
from triroute.router.policy.testing.cases import Test
from triroute.router.policy.testing.vocabulary import Expect
from triroute.router.types import Decision, Held

_PLAN = (
    *("mode", "variant", "block_length", "confidence_threshold", "max_steps", "fixed_steps"),
    *("draft_sources", "draft_threshold"),
)
_EXTRAS = ("grammar", "capture", "audit")


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a case: `decision`, or why the request was refused; `problems` is empty where it passed."""

    test: Test
    decision: Decision | None
    refused: str
    problems: tuple[str, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """All results for one policy, and the rules that they reached: those that decided, or would have in shadow."""

    results: tuple[Result, ...]
    rules: tuple[str, ...]
    reached: frozenset[str]

    @property
    def failed(self) -> int:
        return sum(bool(result.problems) for result in self.results)

    @property
    def coverage(self) -> float:
        return len(self.reached) / len(self.rules)


def run(policy: Policy, tests: Sequence[Test]) -> Outcome:
    """Decide every case."""
    results = tuple(_run(policy, test) for test in tests)
    decisions = [result.decision for result in results if result.decision]
    reached = frozenset(rule for made in decisions for rule in _rules(made))
    return Outcome(results, tuple(rule.id for rule in policy.file.rules), reached)


def _rules(made: Decision) -> Iterator[str]:
    """Those that decided, for the whole answer or for parts of it, or would have in shadow."""
    yield made.rule_id
    yield from made.shadow
    yield from (rule for _, rule in made.segment_rules)


def decided(policy: Policy, test: Test) -> Decision:
    """What the policy decides. Raises InvalidRequest."""
    request, latches = to_request(test.message), Latches()
    step = test.step or classify(request)
    trips = policy.compiled.trips
    held = Held(Latches().see(test.held, trips), 0, "the test") if test.held and policy.file.session else None
    loads = [latches.see(load, trips) for load in test.loads]
    return decide(policy, request, step, loads[-1], held)


def _run(policy: Policy, test: Test) -> Result:
    start = time.perf_counter()
    try:
        decision = decided(policy, test)
    except InvalidRequest as error:
        wanted = test.expect.refused
        problems = () if wanted is not None and wanted in error.message else (f"refused: {error.message}",)
        return Result(test, None, error.message, problems, time.perf_counter() - start)
    seconds = time.perf_counter() - start
    return Result(test, decision, "", tuple(_problems(decision, test.expect)), seconds)


def _problems(decision: Decision, expect: Expect) -> Iterator[str]:
    actual = _actual(decision)
    for name in Expect.model_fields:
        if name not in expect.model_fields_set:
            continue
        wanted, found = getattr(expect, name), actual[name]
        if isinstance(wanted, list):
            wanted = sorted(wanted)
        if name == "segments":
            wanted = {kind: part.model_dump() for kind, part in (wanted or {}).items()}
        if not _equal(wanted, found):
            over = next((over for over in decision.passed_over if name == "rule" and over.rule_id == wanted), None)
            yield f"{name} is {found}, expected {wanted}{f': {over.why}' if over else ''}"


def _actual(decision: Decision) -> dict[str, Any]:
    """A decision in the words of `expect`."""
    plan = {name: getattr(decision.plan, name) for name in _PLAN}
    return {
        "step": decision.step.kind.value,
        "rule": decision.rule_id,
        **plan,
        "mode": decision.plan.mode.value,
        "variant": decision.plan.variant.value if decision.plan.variant else None,
        "block_length": decision.plan.block_length or "auto",
        "verification": decision.plan.verification.value,
        "draft_sources": sorted(source.value for source in decision.plan.draft_sources),
        **{name: getattr(decision.extras, name) for name in _EXTRAS},
        "clamps": {clamp.parameter: clamp.became for clamp in decision.clamps},
        "shadow": sorted(decision.shadow),
        "followed": sorted(hint.hint for hint in decision.hints if hint.accepted),
        "ignored": sorted(hint.hint for hint in decision.hints if not hint.accepted),
        "segments": _parts(decision),
        "refused": "nothing",
    }


def _parts(decision: Decision) -> dict[str, dict[str, Any]]:
    """By kind: the rule and the decoder of each part that has its own."""
    rules = dict(decision.segment_rules)
    return {
        kind.value: {"rule": rules.get(kind, decision.rule_id), "mode": plan.mode.value}
        for kind, plan in decision.extras.segments
    }


def _equal(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, float) and isinstance(found, float):
        return math.isclose(wanted, found, rel_tol=1e-6)  # hints travel as 32-bit floats
    return bool(wanted == found)
