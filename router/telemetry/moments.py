"""The few moments of a step that a trace names: where drafts were thrown away, blocks ended, work began again.

Bounded, whatever the length of the output; the record has all of it. Drafts that may quote the request, and the text of
any, are told only where content is captured.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from triroute.proto import decoding_pb2
from triroute.router.capture.drafts import HIDDEN, own_rejected
from triroute.router.run import Run
from triroute.router.structured.check import unquoted
from triroute.router.telemetry import names

_MOST, _MOST_TOKENS = 8, 16  # events of a kind in a span, and tokens that one names
_VERIFY, _DENOISE = decoding_pb2.PassRecord.KIND_VERIFY, decoding_pb2.PassRecord.KIND_DENOISE
_REFRESH = decoding_pb2.PassRecord.KIND_REFRESH


class Moment(NamedTuple):
    """An event: its name, attributes, and time in nanoseconds since 1970."""

    name: str
    attributes: dict[str, int | str | list[int]]
    at: int


def moments(
    passes: Sequence[decoding_pb2.PassRecord], admitted: int, words: Mapping[int, str] | None = None
) -> list[Moment]:
    """Of a segment: the verifications that threw away most, and the diffusion blocks that took most steps, in order.

    `admitted` is when the engine began with the step, in nanoseconds since 1970; `words` the text of tokens, None where
    content is not captured.
    """
    found = [*_most(_rejections(passes, admitted, words)), *_most(_blocks(passes, admitted))]
    return sorted(found, key=lambda moment: moment.at)


def rare(run: Run) -> Iterator[Moment]:
    """Of a whole step: outputs written again, engines lost, caches lost."""
    for number, told in enumerate(run.escalations[:_MOST], start=1):
        check = unquoted(told.check)
        why = f"{check.path}: {check.problem}"
        yield Moment(names.ESCALATION, {names.COUNT: number, names.WHY: why[:200]}, run.ended_ns)
    if run.resumes:
        yield Moment(names.RESUME, {names.COUNT: run.resumes}, run.ended_ns)
    if run.finish is not None and run.finish.usage.preemptions:
        yield Moment(names.PREEMPTION, {names.COUNT: run.finish.usage.preemptions}, run.ended_ns)


def _rejections(
    passes: Sequence[decoding_pb2.PassRecord], admitted: int, words: Mapping[int, str] | None
) -> list[tuple[int, Moment]]:
    found = []
    for one in passes:
        if one.kind == _VERIFY and one.rejected_ids:
            told: dict[str, int | str | list[int]] = {names.PASS: one.index, names.COUNT: len(one.rejected_ids)}
            rejected = own_rejected(one) if words is None else one.rejected_ids
            first = [token for token in rejected if token != HIDDEN][:_MOST_TOKENS]
            if first:
                told[names.TOKEN_IDS] = first
            if words:
                told[names.TEXT] = "".join(words.get(token, "") for token in first)
            found.append((len(one.rejected_ids), Moment(names.REJECTION, told, _end(one, admitted))))
    return found


def _blocks(passes: Sequence[decoding_pb2.PassRecord], admitted: int) -> list[tuple[int, Moment]]:
    found, steps = [], 0
    for one in passes:
        steps += one.kind == _DENOISE
        if one.kind == _REFRESH:
            told: dict[str, int | str | list[int]] = {
                names.PASS: one.index,
                names.COUNT: len(one.committed_ids),
                names.STEPS: steps,
            }
            found.append((steps, Moment(names.BLOCK, told, _end(one, admitted))))
            steps = 0
    return found


def _most(weighed: list[tuple[int, Moment]]) -> list[Moment]:
    return [moment for _, moment in sorted(weighed, key=lambda one: -one[0])[:_MOST]]


def _end(one: decoding_pb2.PassRecord, admitted: int) -> int:
    return int(admitted + (one.start_us + one.duration_us) * 1000)
