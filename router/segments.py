"""Segments of a running step: which there were, what each ran as, and in which of them each tool call was written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from triroute.proto import decoding_pb2, engine_pb2, router_pb2

LONGEST_ACCEPT_PATH = 4_096
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyz"
_CALL_ID = re.compile(r"call_([0-9a-f]{24})_\d+")

Passes = Sequence[decoding_pb2.PassRecord]


@dataclass(slots=True)
class Segments:
    """Numbers go on when the engine is restarted: the segment that it resumes in is the last, if it is the same."""

    known: list[tuple[decoding_pb2.SegmentKind.ValueType, int]] = field(
        default_factory=list
    )  # kind, number of the plan
    _offset: int | None = None  # ours less the engine's

    def number(self, commit: engine_pb2.Commit) -> int:
        """The segment of a commit, from 0."""
        own = (commit.kind, commit.plan)
        if self._offset is None:
            same = bool(self.known) and self.known[-1] == own
            self._offset = len(self.known) - same - commit.segment
        number = commit.segment + self._offset
        if number == len(self.known):
            self.known.append(own)
        return number

    def interrupt(self) -> None:
        """The engine that comes next counts from 0 again."""
        self._offset = None

    def cut(self, count: int) -> None:
        """Only the first `count` stay; the engine is asked to go on from there."""
        del self.known[count:]
        self.interrupt()

    def summaries(self, plans: Sequence[decoding_pb2.DecodePlan], passes: Passes) -> list[router_pb2.SegmentSummary]:
        """What each segment ran as, of those in which `passes` decoded."""
        numbers = sorted({record.segment for record in passes})
        return [self._summary(n, plans, [record for record in passes if record.segment == n]) for n in numbers]

    def _summary(
        self, number: int, plans: Sequence[decoding_pb2.DecodePlan], passes: Passes
    ) -> router_pb2.SegmentSummary:
        kind, chosen = self.known[number]
        plan = plans[chosen]
        drafted = sum(len(r.sources) for r in passes)
        accepted = sum(min(r.accepted, len(r.committed_ids)) for r in passes)
        committed = [len(r.committed_ids) for r in passes]
        return router_pb2.SegmentSummary(
            index=number,
            mode=plan.mode,
            variant=plan.variant,
            tokens=sum(committed),
            passes=sum(ran(record) for record in passes),
            drafted=drafted,
            accepted=accepted,
            rejected=drafted - accepted,
            accept_path="".join(_DIGITS[min(count, 35)] for count in committed[:LONGEST_ACCEPT_PATH]),
            kind=kind,
            plan=plan,
        )


def ran(record: decoding_pb2.PassRecord) -> bool:
    """Whether there was a pass at all."""
    return record.kind != decoding_pb2.PassRecord.KIND_FORCED


def call_records(
    request_id: str, calls: Sequence[engine_pb2.WrittenCall], passes: Passes
) -> list[router_pb2.CallRecord]:
    """Each tool call with an id, and the segments that its tokens came in. `passes`: all of the output's."""
    segments = [record.segment for record in passes for _ in record.committed_ids]
    return [
        router_pb2.CallRecord(
            id=call_id(request_id, call.number),
            name=call.name,
            arguments_json=call.arguments_json,
            segments=sorted(set(segments[call.first_token : call.end_token])),
            first_token=call.first_token,
            end_token=call.end_token,
        )
        for call in calls
    ]


def call_id(request_id: str, number: int) -> str:
    """Names a tool call of a step, from 0."""
    return f"call_{request_id[:24]}_{number}"


def step_of_call(wanted: str) -> str:
    """The beginning of the request id that the id of a tool call names; anything else as it is."""
    found = _CALL_ID.fullmatch(wanted)
    return found[1] if found else wanted
