"""The passes of a step in columns, and back. Confidences are kept in steps of 1/1,000; all else is kept as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, pairwise
from typing import Any, TypeVar

from triroute.proto import decoding_pb2, path_pb2
from triroute.router.audit.open_slots import OpenSlots

SCALE = 1_000  # steps of a confidence
_FIRST_SCALE = 10_000  # where a path does not say
_Pass = decoding_pb2.PassRecord
T = TypeVar("T")


def fits(passes: Sequence[decoding_pb2.PassRecord]) -> bool:
    """Whether columns can hold these passes: they are numbered from 0, and each proposal has a confidence."""
    return all(one.index == index and len(one.proposed_ids) == len(one.confidences) for index, one in enumerate(passes))


def to_path(passes: Sequence[decoding_pb2.PassRecord], output: Sequence[int]) -> path_pb2.Path:
    """Of passes that wrote these output tokens."""
    committed = [list(one.committed_ids) for one in passes]
    proposed = [list(one.proposed_ids) for one in passes]
    flat = _flat(committed)
    tokens = list(output)
    starts, durations = [one.start_us for one in passes], [one.duration_us for one in passes]
    ends = [0, *(start + duration for start, duration in zip(starts, durations, strict=True))]
    path = path_pb2.Path(
        kinds=bytes(one.kind for one in passes),
        segments=_unless_zero([one.segment for one in passes]),
        widths=[one.width for one in passes],
        gaps_us=[start - end for start, end in zip(starts, ends, strict=False)],
        durations_us=durations,
        batches=[one.batch for one in passes],
        accepted=_unless_zero([one.accepted for one in passes]),
        committed_counts=[len(one) for one in committed],
        committed_ids=[] if flat == tokens else flat,
        other_rows=_unless_zero([one.other_rows for one in passes]),
    )
    fixed, behind = [list(one.fixed_slots) for one in passes], [list(one.proposed_behind) for one in passes]
    _put(path.fixed_counts, path.fixed, fixed)
    _put(path.behind_counts, path.behind, behind)
    if any(proposed):
        path.proposed_counts.extend(map(len, proposed))
        path.confidence_steps = SCALE
        path.confidences.extend(round(sure * SCALE) for one in passes for sure in one.confidences)
        for made, where in zip(proposed, _places(path, fixed, behind), strict=True):
            path.proposed.extend(_differing(made, [_at(flat, place) for place in where]))
    if any(one.rejected_ids for one in passes):
        path.rejected_counts.extend(len(one.rejected_ids) for one in passes)
        checked: list[int] = []
        for one, made in zip(passes, proposed, strict=True):
            expected = [_at(checked, one.accepted + offset) for offset in range(len(one.rejected_ids))]
            path.rejected.extend(_differing(one.rejected_ids, expected))
            checked = made or checked
    if any(one.sources for one in passes):
        path.source_counts.extend(len(one.sources) for one in passes)
        path.sources = bytes(source for one in passes for source in one.sources)
    _put(path.forced_counts, path.forced, [list(one.forced) for one in passes])
    _put(path.lossy_counts, path.lossy, [list(one.lossy) for one in passes])
    return path


def from_path(path: path_pb2.Path, output: Sequence[int]) -> list[decoding_pb2.PassRecord]:
    """The passes again. Raises ValueError for columns that do not belong together."""
    count = len(path.kinds)
    flat = list(path.committed_ids) or (list(output) if any(path.committed_counts) else [])
    committed = _cut(flat, path.committed_counts, count)
    fixed, behind = _cut(path.fixed, path.fixed_counts, count), _cut(path.behind, path.behind_counts, count)
    accepted = list(path.accepted) or [0] * count
    scale = path.confidence_steps or _FIRST_SCALE
    present: dict[str, list[Any]] = {  # columns that most paths lack
        "segment": list(path.segments),
        "other_rows": list(path.other_rows),
        "accepted": list(path.accepted),
        "fixed_slots": fixed if path.fixed_counts else [],
        "proposed_behind": behind if path.behind_counts else [],
        "sources": _cut(path.sources, path.source_counts, count) if path.source_counts else [],
        "lossy": _cut(path.lossy, path.lossy_counts, count) if path.lossy_counts else [],
        "forced": _cut(path.forced, path.forced_counts, count) if path.forced_counts else [],
        "proposed_ids": _proposed(path, flat, fixed, behind) if path.proposed_counts else [],
        "confidences": _cut([sure / scale for sure in path.confidences], path.proposed_counts, count),
    }
    if path.rejected_counts:
        present["rejected_ids"] = _rejected(path, present["proposed_ids"], accepted)
    others = [(name, column) for name, column in present.items() if any(column)]
    passes, end = [], 0
    columns = (path.kinds, path.widths, path.gaps_us, path.durations_us, path.batches, committed)
    for index, (kind, width, gap, duration, batch, tokens) in enumerate(zip(*columns, strict=True)):
        rest = {name: column[index] for name, column in others if column[index]}
        start, end = end + gap, end + gap + duration
        passes.append(
            _Pass(
                index=index,
                kind=kind,
                width=width,
                committed_ids=tokens,
                start_us=start,
                duration_us=duration,
                batch=batch,
                **rest,
            )
        )
    return passes


def _proposed(path: path_pb2.Path, flat: list[int], fixed: list[list[int]], behind: list[list[int]]) -> list[list[int]]:
    told = _cut(path.proposed, path.proposed_counts, len(path.kinds))
    places = _places(path, fixed, behind)
    return [
        _agreeing(numbers, [_at(flat, place) for place in where]) if numbers else []
        for numbers, where in zip(told, places, strict=True)
    ]


def _rejected(path: path_pb2.Path, proposed: list[list[int]], accepted: list[int]) -> list[list[int]]:
    told, found, checked = _cut(path.rejected, path.rejected_counts, len(path.kinds)), list[list[int]](), list[int]()
    for index, numbers in enumerate(told):
        expected = [_at(checked, accepted[index] + offset) for offset in range(len(numbers))]
        found.append(_agreeing(numbers, expected))
        checked = (proposed[index] if proposed else []) or checked
    return found


def _places(path: path_pb2.Path, fixed: list[list[int]], behind: list[list[int]]) -> Iterator[list[int]]:
    """For each pass the places in the output that its proposals are for, as far as can be told."""
    done, block = 0, OpenSlots()
    plain = zip(path.kinds, path.committed_counts, path.proposed_counts, fixed, behind, strict=True)
    for kind, committed, proposed, slots, follows in plain:
        done += committed
        if kind == _Pass.KIND_DENOISE:
            yield [done + slot for slot in block.denoise(proposed, slots)]
            continue
        block.close()
        if follows:
            depths: list[int] = []
            for before in follows:
                depths.append(depths[before] + 1 if 0 <= before < len(depths) else 0)
            yield [done + depth for depth in depths]
        else:
            yield list(range(done, done + proposed))


def _differing(tokens: Sequence[int], expected: Sequence[int]) -> list[int]:
    """0 for a token that was expected, else the token and 1."""
    return [0 if token == other else token + 1 for token, other in zip(tokens, expected, strict=True)]


def _agreeing(told: Sequence[int], expected: Sequence[int]) -> list[int]:
    return [number - 1 if number else other for number, other in zip(told, expected, strict=True)]


def _at(tokens: Sequence[int], place: int) -> int:
    """-1, which is no token, outside."""
    return tokens[place] if place < len(tokens) else -1


def _flat(columns: list[list[int]]) -> list[int]:
    return [one for column in columns for one in column]


def _unless_zero(column: list[int]) -> list[int]:
    return column if any(column) else []


def _put(counts: object, values: object, columns: list[list[int]]) -> None:
    if any(columns):
        counts.extend(map(len, columns))  # type: ignore[attr-defined]
        values.extend(_flat(columns))  # type: ignore[attr-defined]


def _cut(values: Sequence[T], counts: Sequence[int], passes: int) -> list[list[T]]:
    """The values of each pass. Raises ValueError where they are not as many as the counts say."""
    if not counts:
        return [[] for _ in range(passes)]
    whole = list(values)
    ends = [0, *accumulate(counts)]
    if len(counts) != passes or ends[-1] != len(whole):
        raise ValueError(f"{len(whole)} values of {len(counts)} passes do not fit {ends[-1]} of {passes}")
    return [whole[start:end] for start, end in pairwise(ends)]
