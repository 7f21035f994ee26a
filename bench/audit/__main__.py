"""`python -m triroute.bench.audit`: sizes, speeds and kills of the audit log, as a table, and JSON with --json FILE."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from triroute.bench.audit import cost, kills, sizes, speed
from triroute.bench.policy.result import finish


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m triroute.bench.audit", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--long", type=int, default=400, help="tokens of a long answer")
    parser.add_argument("--records", type=int, default=20_000, help="records to append and verify")
    parser.add_argument("--kills", type=int, default=100, help="kills of a router under load")
    parser.add_argument("--rounds", type=int, default=15, help="rounds with and without records and traces")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    parser.add_argument("--postgres", action="store_true", help="only what a log in PostgreSQL costs beside SQLite")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folder = Path(name)
        if asked.postgres:
            from triroute.bench.audit import postgres  # its driver is optional

            results = postgres.measure(folder, sizes.demo(folder), asked.records)
            finish(results, "python -m triroute.bench.audit --postgres", asked.json, must_meet=asked.check)
            return
        results, source = sizes.measure(folder, asked.long)
        results += speed.measure(folder, source, asked.records)
        results += cost.measure(folder, asked.rounds, asked.long // 2) if asked.rounds else []
        results += kills.measure(folder, asked.kills, print) if asked.kills else []
    finish(results, "python -m triroute.bench.audit", asked.json, must_meet=asked.check)


if __name__ == "__main__":
    main()
