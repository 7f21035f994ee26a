"""What the records of passes cost: time on the way to the client, bytes on the wire."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from triroute.bench.jobs import Job
from triroute.engine.ledger import Ledger
from triroute.engine.server import convert
from triroute.engine.types import PassRecord

if TYPE_CHECKING:
    from triroute.bench.engines.ours import Ours


def record_cost(ours: Ours, job: Job) -> dict[str, float]:
    """Run a job; the bytes of its records as sent, and the time that making and converting them took.

    Records are made in the engine's loop and timed there. The server converts them on another thread; that is timed
    after the run.
    """
    make, clock = Ledger.record, time.perf_counter
    records: list[PassRecord] = []
    making_s = 0.0

    def timed(*arguments: Any) -> PassRecord:
        nonlocal making_s
        began = clock()
        record = make(*arguments)
        making_s += clock() - began
        records.append(record)
        return record

    with patch.object(Ledger, "record", timed):
        began = clock()
        result = ours.start(job)()
        loop_s = clock() - began
    began = clock()
    sent = [convert._pass(record).SerializeToString() for record in records]
    converting_s = clock() - began
    return {
        "tokens": result.tokens,
        "passes": len(records),
        "bytes_per_token": sum(map(len, sent)) / result.tokens,
        "making_ms": 1000 * making_s,
        "converting_ms": 1000 * converting_s,
        "loop_ms": 1000 * loop_s,
    }
