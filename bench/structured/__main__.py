"""`python -m triroute.bench.structured`: outputs against their schemas in every mode, and what grammars cost."""

from __future__ import annotations

import argparse
import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from triroute.bench.machine import this_machine
from triroute.bench.structured.run import compile_all, in_folder, run_mode, spread, test_suite
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.types import ModeName

_RATIO = 1.5


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(prog="python -m triroute.bench.structured", description=__doc__)
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--every", type=int, default=5, help="take every so manieth schema of the test suite")
    parser.add_argument("--schemas", type=Path, help="a folder of more schemas, such as JSONSchemaBench's data/")
    parser.add_argument("--tokens", type=int, default=96, help="most tokens an output")
    parser.add_argument("--threads", type=int, default=2, help="threads of a pass")
    asked = parser.parse_args()
    given = [*test_suite()[:: asked.every], *(in_folder(asked.schemas) if asked.schemas else ())]
    engine = Engine.load(None, EngineConfig(threads=asked.threads))
    corpus = compile_all(given, engine)
    modes = {mode.value: run_mode(mode, corpus.cases, engine, asked.tokens) for mode in ModeName}
    engine.close()
    plain = modes[ModeName.AUTOREGRESSIVE.value]["tokens_per_pass"]
    best = max(modes[m.value]["tokens_per_pass"] for m in (ModeName.LINEAR_SPECULATION, ModeName.QUADRATIC_SPECULATION))
    told = {
        "machine": asdict(this_machine(asked.threads)),
        "schemas": dict(Counter(case.source for case in given)),
        "compiled": len(corpus.cases),
        "not_wholly_enforced": sum(bool(case.unenforced) for case in corpus.cases),
        "refused": Counter(why[:60] for _, why in corpus.refused).most_common(12),
        "compile_ms": spread(corpus.compile_ms),
        "compiled_again_ms": spread(corpus.again_ms),
        "modes": modes,
        "speculation_over_autoregression": round(best / plain, 3),
        "targets": {
            "all that finished is valid": all(not m["invalid"] and not m["failed"] for m in modes.values()),
            f"speculation has {_RATIO} times the tokens a pass": best / plain >= _RATIO,
        },
    }
    _show(told)
    if asked.json:
        asked.json.write_text(json.dumps(told, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _show(told: dict[str, object]) -> None:
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    modes: dict[str, dict[str, object]] = told["modes"]  # type: ignore[assignment]
    for name in next(iter(modes.values())):
        if name != "wrong":
            table.add_column(name)
    for one in modes.values():
        table.add_row(*(str(value) for name, value in one.items() if name != "wrong"))
    console = Console(width=180)
    console.print(table)
    for name, value in told.items():
        if name != "modes":
            console.print(f"{name}: {value}")
    for one in modes.values():
        for line in one["wrong"]:  # type: ignore[attr-defined]
            console.print(f"{one['mode']}: {line}", markup=False)


if __name__ == "__main__":
    main()
