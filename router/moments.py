"""The few moments of a step that a trace names: where drafts were thrown away, blocks ended, work began again.

Bounded, whatever the length of the output; the record has all of it. Texts of tokens are not among the attributes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from triroute.proto import decoding_pb2
from triroute.router.run import Run

REJECTION, BLOCK = "triroute.rejection", "triroute.block"
ESCALATION, RESUME, PREEMPTION = "triroute.escalation", "triroute.resume", "triroute.preemption"
PASS, COUNT, TOKEN_IDS, STEPS = "triroute.pass", "triroute.count", "triroute.token_ids", "triroute.refinement_steps"
WHY = "triroute.why"

_MOST, _MOST_TOKENS = 8, 16  # events of a kind in a span, and tokens that one names
_VERIFY, _DENOISE = decoding_pb2.PassRecord.KIND_VERIFY, decoding_pb2.PassRecord.KIND_DENOISE
_REFRESH = decoding_pb2.PassRecord.KIND_REFRESH


class Moment(NamedTuple):
    """An event: its name, attributes, and time in nanoseconds since 1970."""

    name: str
    attributes: dict[str, int | str | list[int]]
    at: int


def moments(passes: Sequence[decoding_pb2.PassRecord], admitted: int) -> list[Moment]:
    """Of a segment: the verifications that threw away most, and the diffusion blocks that took most steps, in order.

    `admitted` is when the engine began with the step, in nanoseconds since 1970.
    """
    found = [*_most(_rejections(passes, admitted)), *_most(_blocks(passes, admitted))]
    return sorted(found, key=lambda moment: moment.at)


def rare(run: Run) -> Iterator[Moment]:
    """Of a whole step: outputs written again, engines lost, caches lost."""
    for number, told in enumerate(run.escalations[:_MOST], start=1):
        why = f"{told.check.path}: {told.check.problem}"
        yield Moment(ESCALATION, {COUNT: number, WHY: why[:200]}, run.ended_ns)
    if run.resumes:
        yield Moment(RESUME, {COUNT: run.resumes}, run.ended_ns)
    if run.finish is not None and run.finish.usage.preemptions:
        yield Moment(PREEMPTION, {COUNT: run.finish.usage.preemptions}, run.ended_ns)


def _rejections(passes: Sequence[decoding_pb2.PassRecord], admitted: int) -> list[tuple[int, Moment]]:
    return [
        (
            len(one.rejected_ids),
            Moment(
                REJECTION,
                {PASS: one.index, COUNT: len(one.rejected_ids), TOKEN_IDS: list(one.rejected_ids[:_MOST_TOKENS])},
                _end(one, admitted),
            ),
        )
        for one in passes
        if one.kind == _VERIFY and one.rejected_ids
    ]


def _blocks(passes: Sequence[decoding_pb2.PassRecord], admitted: int) -> list[tuple[int, Moment]]:
    found, steps = [], 0
    for one in passes:
        steps += one.kind == _DENOISE
        if one.kind == _REFRESH:
            told: dict[str, int | str | list[int]] = {PASS: one.index, COUNT: len(one.committed_ids), STEPS: steps}
            found.append((steps, Moment(BLOCK, told, _end(one, admitted))))
            steps = 0
    return found


def _most(weighed: list[tuple[int, Moment]]) -> list[Moment]:
    return [moment for _, moment in sorted(weighed, key=lambda one: -one[0])[:_MOST]]


def _end(one: decoding_pb2.PassRecord, admitted: int) -> int:
    return int(admitted + (one.start_us + one.duration_us) * 1000)
