"""`kill -9` of a real writer, again and again: what it acknowledged is in the log, and the log verifies."""

from __future__ import annotations

import os
import subprocess
import sys

from triroute.router.audit.entries import read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.verify import verify

KILLS = 3
ENOUGH = 25  # acknowledged records, before it is killed

WRITER = """
import sys
from concurrent.futures import Future
from triroute.proto import router_pb2
from triroute.router.audit.place import to_place
from triroute.router.audit.writer import RecordWriter

writer, number = RecordWriter(to_place(sys.argv[1])), int(sys.argv[2])
def tell(name):
    return lambda done: (done.result(), print(name, flush=True))
while True:
    for _ in range(5):
        number += 1
        name = f"{number:032x}"
        done = writer.add_durably(router_pb2.Record(request_id=name, arrived_us=number, token_ids=range(50)))
        done.add_done_callback(tell(name))
    done.result()
"""


def test_acknowledged_records_outlive_the_writer(place: Place) -> None:
    acknowledged = set[str]()
    for kill in range(KILLS):
        command = [sys.executable, "-c", WRITER, str(place), str(kill * 1_000_000)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as writer:
            assert writer.stdout is not None
            for _ in range(ENOUGH):
                acknowledged.add(writer.stdout.readline().strip())
            writer.kill()
            acknowledged |= {line.strip() for line in writer.stdout if line.endswith("\n")}
    there = {one.entry.record.request_id for one in read_entries(place) if one.entry is not None}
    assert len(acknowledged) >= KILLS * ENOUGH
    assert acknowledged <= there
    assert verify(place).problems == []
