"""What a log in PostgreSQL costs, beside one in SQLite of the same run, on the same disk."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from triroute.bench.audit.postgres_server import PostgresServer
from triroute.bench.audit.speed import Rates, rates
from triroute.bench.policy.result import Result
from triroute.router.audit.place import to_place
from triroute.router.audit.store import RecordStore

_TURNS = 4


def measure(folder: Path, source: RecordStore, count: int) -> list[Result]:
    """Of copies of real records, in turns; the server is a fresh one, and is reached by a Unix socket."""
    os.environ["TRIROUTE_HOME"] = str(folder)
    file, found = list[Rates](), list[Rates]()
    with tempfile.TemporaryDirectory(prefix="pg-") as name:
        server = PostgresServer(Path(name))
        server.start()
        try:
            for turn in range(_TURNS):
                file.append(rates(folder / f"beside{turn}.sqlite", source, count // _TURNS))
                found.append(rates(to_place(server.url(f"turn{turn}")), source, count // _TURNS))
        finally:
            server.close()
    return _results(_least(found), _least(file))


def _least(found: list[Rates]) -> Rates:
    """Of each figure: others are at work on the machine, too. All problems count."""
    return Rates(
        appended=min(one.appended for one in found),
        alone=min(one.alone for one in found),
        together=min(one.together for one in found),
        verified=min(one.verified for one in found),
        entries=found[0].entries,
        problems=sum(one.problems for one in found),
    )


def _results(found: Rates, file: Rates) -> list[Result]:
    def beside(seconds: float, unit: str) -> str:
        return f"SQLite: {seconds * (1e6 if unit == 'µs' else 1e3):.3g} {unit}"

    rate = f"{1 / found.verified:,.0f} a second"
    return [
        Result("PostgreSQL: verify, a record", beside(file.verified, "µs"), found.verified * 1e6, 50, "µs", rate),
        Result(
            "PostgreSQL: append, a record",
            beside(file.appended, "µs"),
            found.appended * 1e6,
            2_000,
            "µs",
            f"least of {_TURNS} turns",
        ),
        Result(
            "PostgreSQL: append, required, alone",
            beside(file.alone, "ms"),
            found.alone * 1e3,
            50,
            "ms",
            "median, on the same disk",
        ),
        Result(
            "PostgreSQL: append, required, 64 at once", beside(file.together, "ms"), found.together * 1e3, 200, "ms"
        ),
        Result("PostgreSQL: verify, problems", "", found.problems, 0, ""),
    ]
