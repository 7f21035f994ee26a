"""What passes cost: the engine's own table, corrected by how long recorded passes took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TypeAlias

from triroute.proto import decoding_pb2, engine_pb2
from triroute.router.policy.traffic.recorded import Recorded

Kind: TypeAlias = "decoding_pb2.PassRecord.Kind.ValueType"
_TRUST = 20.0  # passes of a kind that outweigh what all kinds say together


@dataclass(frozen=True, slots=True)
class Costs:
    """`table[rows]` seconds of a pass, `key_seconds` more a row and key, `draft_seconds` a draft drawn after it.

    Recorded passes take `fixed` seconds and `factor` times the table's, in which is what the table can't know: other
    work of the machine, and the time between passes. `kinds`: how much longer again each kind of pass takes.
    """

    table: tuple[float, ...]
    key_seconds: float
    draft_seconds: float
    fixed: float = 0.0
    factor: float = 1.0
    kinds: Mapping[Kind, float] = field(default_factory=dict)

    @classmethod
    def of(cls, told: engine_pb2.Costs, steps: Iterable[Recorded] = ()) -> Costs:
        """The engine's table, corrected by the passes of `steps`."""
        plain = cls(tuple(told.pass_seconds), told.key_seconds, told.draft_seconds)
        timed = [
            (made.kind, seconds, plain.seconds(made.kind, width, drafts, step.keys, made.batch - 1, width))
            for step in steps
            for made, seconds in _timed(step)
            for width, drafts in ((made.width, len(made.proposed_ids)),)
        ]
        timed = [one for one in timed if one[-1] > 0]
        if not timed:
            return plain
        fixed, factor = _line([(said, real) for _, real, said in timed])
        sums: dict[Kind, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for kind, real, said in timed:
            sums[kind] = [sums[kind][0] + real, sums[kind][1] + fixed + factor * said, sums[kind][2] + 1]
        kinds = {
            kind: (real + _TRUST * fit / count) / (fit + _TRUST * fit / count)
            for kind, (real, fit, count) in sums.items()
        }
        return replace(plain, fixed=fixed, factor=factor, kinds=kinds)

    def seconds(
        self, kind: Kind, own: float, drafts: float = 0, keys: float = 0, others: float = 0, width: float = 1
    ) -> float:
        """A pass with `own` rows and `drafts` to draw, which `others` share, each with so many rows (`width`)."""
        rows = self._rows(own + others * width) + own * keys * self.key_seconds
        return (self.fixed + self.factor * (rows + drafts * self.draft_seconds)) * self.kinds.get(kind, 1.0)

    def _rows(self, rows: float) -> float:
        last = len(self.table) - 1
        if rows >= last:
            return self.table[last] * rows / last
        low = int(rows)
        return self.table[low] + (rows - low) * (self.table[low + 1] - self.table[low])


def _timed(step: Recorded) -> Iterable[tuple[decoding_pb2.PassRecord, float]]:
    """Each pass, and the time to the next."""
    passes = step.decoding
    for made, after in pairwise(passes):
        yield made, (after.start_us - made.start_us) / 1e6
    for made in passes[-1:]:
        yield made, made.duration_us / 1e6


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope, neither negative, through (x, y): least squares, in which a point weighs 1/x."""
    weight = sum(1 / x for x, _ in points)
    x_mean, y_mean = len(points) / weight, sum(y / x for x, y in points) / weight
    spread = sum((x - x_mean) ** 2 / x for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) / x for x, y in points) / spread if spread > 0 else 0.0
    if slope <= 0 or y_mean < slope * x_mean:  # passes of one width, or a line that begins under zero
        return 0.0, sum(y for _, y in points) / sum(x for x, _ in points)
    return y_mean - slope * x_mean, slope
