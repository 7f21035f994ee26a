"""How long a decision takes: the policy that ships, and policies of 20 and 500 rules of which only the last matches.

Run with: python -m triroute.bench.decide. Times are wall time, and processor time, which neighbours do not disturb.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import yaml

from triroute.bench.engines.base import quantile
from triroute.router.classifier import classify
from triroute.router.policy import DEFAULT, Policy, decide, load, parse
from triroute.router.types import Load, Message, Request, Role, Tool

_TIMES = 5_000
_ASK = Request(
    (Message(Role.SYSTEM, "You are a careful assistant. " * 40), Message(Role.USER, "What is the weather in Lisbon?")),
    tools=tuple(Tool(f"get_{number}", "Gets something.") for number in range(8)),
    tenant="acme",
    tags=frozenset({"a", "b"}),
)


def rules(count: int) -> Policy:
    """Rules of five shapes, none of which matches, and a last one that does."""
    shapes: list[Callable[[int], dict[str, Any]]] = [
        lambda n: {"step": "tool_call", "tags": {"any": [f"tag{n}"]}},
        lambda n: {"tenant": f"tenant-{n}-*", "confidence": {"gte": 0.5}},
        lambda n: {"load": {"running": {"gte": 900 + n, "resume_at": 800}}},
        lambda n: {"any": [{"step": "plan", "max_tokens": {"gt": 4_000}}, {"tool": f"put_{n}"}]},
        lambda n: {"turn": {"tool_loop": {"gt": 5 + n}}, "schema": True},
    ]
    listed: list[dict[str, Any]] = [
        {"id": f"rule-{n}", "when": shapes[n % len(shapes)](n), "use": {}} for n in range(count - 1)
    ]
    file = {"version": 1, "metadata": {"name": f"rules-{count}"}, "rules": [*listed, {"id": "rest", "use": {}}]}
    return parse(yaml.safe_dump(file), "bench")


def measure(policy: Policy, clock: Callable[[], int]) -> tuple[float, float]:
    """Median and 99th percentile of a decision, ms."""
    step, took = classify(_ASK), []
    for _ in range(_TIMES):
        start = clock()
        decide(policy, _ASK, step, Load(3))
        took.append((clock() - start) / 1e6)
    took.sort()
    return quantile(took, 0.5), quantile(took, 0.99)


def main() -> None:
    """Print a line a policy."""
    for policy in (load(DEFAULT), rules(20), rules(500)):
        wall, cpu = measure(policy, time.perf_counter_ns), measure(policy, time.thread_time_ns)
        print(
            f"{policy.name:10} {len(policy.file.rules):4} rules   "
            f"wall p50 {wall[0]:.4f} p99 {wall[1]:.4f} ms   processor p50 {cpu[0]:.4f} p99 {cpu[1]:.4f} ms"
        )


if __name__ == "__main__":
    main()
