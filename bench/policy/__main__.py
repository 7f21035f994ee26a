"""`python -m triroute.bench.policy`: every figure of a policy's cost, as a table, and as JSON with --json FILE."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from triroute.bench import decide
from triroute.bench.policy import calls, fleet
from triroute.bench.policy.result import Result, finish


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m triroute.bench.policy", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--pairs", type=int, default=3_000, help="pairs of a Decide and an echo, for each step")
    parser.add_argument("--rounds", type=int, default=7, help="outages of each kind")
    parser.add_argument("--seconds", type=float, default=2.0, help="of each phase of a round")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    asked = parser.parse_args()
    results = [*_decisions(), *calls.measure(asked.pairs), *fleet.measure(asked.rounds, asked.seconds)]
    finish(results, "python -m triroute.bench.policy", asked.json, must_meet=asked.check)


def _decisions() -> list[Result]:
    """In processor time, which neighbours do not disturb; by the clock on the wall in the note."""
    found = []
    for count, p50_target, p99_target in ((20, 0.03, 0.1), (500, None, 0.5)):
        policy = decide.rules(count)
        p50, p99 = decide.measure(policy, time.thread_time_ns)
        wall50, wall99 = decide.measure(policy, time.perf_counter_ns)
        reference = "vLLM Semantic Router < 0.1 / 0.5 ms" if count == 20 else ""
        if p50_target:
            found.append(
                Result(f"decide, {count} rules, p50", reference, p50, p50_target, "ms", f"wall {wall50:.4f} ms")
            )
        found.append(Result(f"decide, {count} rules, p99", reference, p99, p99_target, "ms", f"wall {wall99:.4f} ms"))
    return found


if __name__ == "__main__":
    main()
