"""`python -m triroute.bench.policy`: every figure of a policy's cost, as a table, and as JSON with --json FILE."""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from triroute.bench import decide
from triroute.bench.machine import this_machine
from triroute.bench.policy import calls, fleet
from triroute.bench.policy.result import Result, table


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
    Console(width=180).print(table(results))
    if asked.json:
        told = {
            "command": "python -m triroute.bench.policy",
            "machine": asdict(this_machine(1)),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "results": [one.as_dict() for one in results],
        }
        asked.json.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if asked.check and not all(one.met for one in results):
        raise SystemExit(1)


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
