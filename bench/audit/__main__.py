"""`python -m triroute.bench.audit`: sizes, speeds and kills of the audit log, as a table, and JSON with --json FILE."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

from rich.console import Console

from triroute.bench.audit import kills, sizes, speed
from triroute.bench.machine import this_machine
from triroute.bench.policy.result import table


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(prog="python -m triroute.bench.audit", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--long", type=int, default=400, help="tokens of a long answer")
    parser.add_argument("--records", type=int, default=20_000, help="records to append and verify")
    parser.add_argument("--kills", type=int, default=100, help="kills of a router under load")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a target is missed")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="audit-") as name:
        folder = Path(name)
        results, source = sizes.measure(folder, asked.long)
        results += speed.measure(folder, source, asked.records)
        results += kills.measure(folder, asked.kills, print) if asked.kills else []
    Console(width=180).print(table(results))
    if asked.json:
        told = {
            "command": "python -m triroute.bench.audit",
            "machine": asdict(this_machine(1)),
            "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "results": [one.as_dict() for one in results],
        }
        asked.json.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if asked.check and not all(one.met for one in results):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
