"""What passes cost: the engine's own table, corrected by how long recorded passes took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from triroute.proto import decoding_pb2, engine_pb2
from triroute.router.policy.traffic.recorded import Recorded

Kind: TypeAlias = "decoding_pb2.PassRecord.Kind.ValueType"
Cell: TypeAlias = tuple[int, ...]
_TRUST = 20.0  # passes of a kind that outweigh the more general


@dataclass(frozen=True, slots=True)
class Costs:
    """`table[rows]` seconds of a pass, `key_seconds` more a row and key, `draft_seconds` a draft drawn after it.

    Recorded passes take `fixed` seconds and `factor` times the table's, in which is what the table can't know: other
    work of the machine, and the time between passes. `longer`: how much longer again passes of a kind take, those of
    a width, and those in such company; the particular outweighs the general with its number of passes.
    """

    table: tuple[float, ...]
    key_seconds: float
    draft_seconds: float
    fixed: float = 0.0
    factor: float = 1.0
    longer: Mapping[Cell, float] = field(default_factory=dict)

    @classmethod
    def of(cls, told: engine_pb2.Costs, steps: Iterable[Recorded] = ()) -> Costs:
        """The engine's table, corrected by the passes of `steps`."""
        plain = cls(tuple(told.pass_seconds), told.key_seconds, told.draft_seconds)
        timed = [one for step in steps for one in _timed(step, plain) if one.said > 0]
        if not timed:
            return plain
        fixed, factor = _line([(one.said, one.took) for one in timed])
        sums: dict[Cell, list[float]] = defaultdict(lambda: [0.0, 0.0, 0.0])
        for one in timed:
            for cell in _cells(one.kind, one.own, one.others):
                count = sums[cell]
                count[0] += one.took
                count[1] += fixed + factor * one.said
                count[2] += 1
        longer: dict[Cell, float] = {}
        for cell in sorted(sums, key=len):  # the general first
            took, fit, number = sums[cell]
            general = longer.get(cell[:-1], 1.0)
            longer[cell] = (took + _TRUST * fit / number * general) / (fit + _TRUST * fit / number)
        return replace(plain, fixed=fixed, factor=factor, longer=longer)

    def seconds(
        self, kind: Kind, own: float, drafts: float = 0, keys: float = 0, others: float = 0, width: float = 1
    ) -> float:
        """A pass with `own` rows and `drafts` to draw, which `others` share, each with so many rows (`width`)."""
        rows = self._rows(own + others * width) + own * keys * self.key_seconds
        cells = _cells(kind, own, others)
        longer = next((self.longer[cell] for cell in reversed(cells) if cell in self.longer), 1.0)
        return (self.fixed + self.factor * (rows + drafts * self.draft_seconds)) * longer

    def _rows(self, rows: float) -> float:
        last = len(self.table) - 1
        if rows >= last:
            return self.table[last] * rows / last
        low = int(rows)
        return self.table[low] + (rows - low) * (self.table[low + 1] - self.table[low])


@dataclass(frozen=True, slots=True)
class _Timed:
    """A recorded pass: what it `took`, with the time to the next, and what the table said, both in seconds."""

    kind: Kind
    own: int
    others: int
    took: float
    said: float


def _timed(step: Recorded, plain: Costs) -> Iterable[_Timed]:
    passes = step.decoding
    ends = [after.start_us for after in passes[1:]] + [made.start_us + made.duration_us for made in passes[-1:]]
    for made, end in zip(passes, ends, strict=True):
        own, others, drafts = made.width, made.batch - 1, len(made.proposed_ids)
        said = plain.seconds(made.kind, own, drafts, step.keys, others, own)
        yield _Timed(made.kind, own, others, (end - made.start_us) / 1e6, said)


def _cells(kind: Kind, own: float, others: float) -> tuple[Cell, ...]:
    """From the general to the particular."""
    return (kind,), (kind, round(own)), (kind, round(own), round(others))


def _line(points: list[tuple[float, float]]) -> tuple[float, float]:
    """Intercept and slope, neither negative, through (x, y): least squares, in which a point weighs 1/x."""
    weight = sum(1 / x for x, _ in points)
    x_mean, y_mean = len(points) / weight, sum(y / x for x, y in points) / weight
    spread = sum((x - x_mean) ** 2 / x for x, _ in points)
    slope = sum((x - x_mean) * (y - y_mean) / x for x, y in points) / spread if spread > 0 else 0.0
    if slope <= 0 or y_mean < slope * x_mean:  # passes of one width, or a line that begins under zero
        return 0.0, sum(y for _, y in points) / sum(x for x, _ in points)
    return y_mean - slope * x_mean, slope
