"""Records to traffic, and decisions made again in its order."""

from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from triroute.proto import engine_pb2, router_pb2
from triroute.router.audit.store import Kind, RecordStore
from triroute.router.audit.writer import RecordWriter
from triroute.router.features import written
from triroute.router.policy import Latches, decide, parse
from triroute.router.policy.traffic import Recorded, read_traffic, replay
from triroute.router.policy.traffic.changes import changes
from triroute.router.policy.traffic.recorded import kept_policy
from triroute.router.types import Hints, Load, Request, Step, StepKind, Trip

from .synthetic import Known

BUSY = """version: 1
metadata: {name: busy}
limits: {block_length: [2, 8]}
hints: {allow: [block_length]}
rules:
  - {id: busy, when: {load: {running: {gte: 8, resume_at: 4}}}, use: {mode: autoregressive}}
  - {id: rest, use: {mode: self_speculation, block_length: 4}}
"""
TRIP = Trip("running", 8, True, 4)


def _recorded(number: int, load: Load, hints: router_pb2.DecodeHints | None = None) -> Recorded:
    features = written(Request(text="x"), hints or router_pb2.DecodeHints(), Step(StepKind.PROSE, 0.9), load)
    found = Recorded.of(router_pb2.Record(request_id=f"{number:032x}", arrived_us=number, features=features))
    assert found is not None
    return found


def test_read_from_a_store(tmp_path: Path) -> None:
    known, policy = Known(), parse(BUSY, "p")
    steps = [known.step(policy, "prose", number) for number in range(4)]
    other = engine_pb2.Description(checkpoint_sha256="another").SerializeToString()
    steps[2].record.engine_sha256 = hashlib.sha256(other).hexdigest()
    steps[3].record.finish.resumes = 1
    writer = RecordWriter(tmp_path / "r.sqlite")
    writer.keep(Kind.ENGINE, known.digest, known.description().SerializeToString())
    writer.keep(Kind.ENGINE, steps[2].record.engine_sha256, other)
    writer.keep(Kind.POLICY, policy.revision, policy.canonical.encode())
    for step in reversed(steps):
        writer.add(step.record)
    writer.add(router_pb2.Record(request_id="f" * 32))
    writer.close()
    store = RecordStore(tmp_path / "r.sqlite")
    traffic = read_traffic(store, 100)
    assert [step.id for step in traffic.steps] == [step.id for step in steps]
    assert traffic.left_out == 1
    assert [step.id for step in traffic.ran] == [step.id for step in steps[:2]]
    assert traffic.engine == known.description()
    assert kept_policy(store, policy.revision) == policy
    assert kept_policy(store, "none") is None
    assert len(read_traffic(store, 2).steps) == 1
    assert read_traffic(RecordStore(tmp_path / "none.sqlite"), 2).steps == ()


def test_switches_stand_as_recorded_and_else_follow_the_loads() -> None:
    policy = parse(BUSY, "p")
    loads = [Load(9), Load(6), Load(3), Load(6), Load(6, watched=(TRIP,), tripped=frozenset({TRIP})), Load(6)]
    made = replay(policy, [_recorded(number, load) for number, load in enumerate(loads)])
    rules = [one.decision.rule_id for one in made if one.decision]
    assert rules == ["busy", "busy", "rest", "rest", "busy", "busy"]


@given(
    series=st.lists(st.builds(Load, st.integers(0, 12), st.integers(0, 1), st.floats(0, 1)), min_size=1, max_size=12),
    start=st.integers(0, 11),
)
def test_any_part_of_the_traffic_is_decided_as_it_was(series: list[Load], start: int) -> None:
    policy, latches = parse(BUSY, "p"), Latches()
    seen = [latches.see(load, policy.compiled.trips) for load in series]
    steps = [_recorded(number, load) for number, load in enumerate(seen)]
    live = [decide(policy, Request(text="x"), Step(StepKind.PROSE, 0.9), load) for load in seen]
    assert [made.decision for made in replay(policy, steps[start:])] == live[start:]


def test_changes_are_gathered() -> None:
    before = parse(BUSY, "p")
    after = parse(BUSY.replace("block_length: 4}", "block_length: 6}").replace("gte: 8", "gte: 10"), "q")
    wide = router_pb2.DecodeHints(block_length=9)
    steps = [_recorded(0, Load(9)), _recorded(1, Load(1)), _recorded(2, Load(2)), _recorded(3, Load(0), wide)]
    assert steps[3].features.hints == Hints(block_length=9)
    found = changes(before, after, steps)
    assert (found.decisions, found.changed, found.otherwise) == (4, 3, 3)
    largest, other = found.groups
    assert (largest.before, largest.after, largest.count) == ("rest", "rest", 2)
    assert largest.parameters == (("block_length", 4, 6),)
    assert (other.before, other.after) == ("busy", "rest")
    assert other.examples == (steps[0].id,)
    stricter = parse(BUSY.replace("[2, 8]", "[2, 9]"), "r")
    (group,) = changes(before, stricter, steps).groups
    assert (group.before, group.after, group.parameters) == ("refused", "rest", ())
    unused = changes(before, parse(BUSY.replace("autoregressive}", "autoregressive, max_steps: 3}"), "t"), steps)
    assert (unused.changed, unused.otherwise) == (1, 0)
    renamed = changes(before, parse(BUSY.replace("id: rest", "id: other"), "s"), steps)
    assert (renamed.changed, renamed.otherwise) == (2, 0)
