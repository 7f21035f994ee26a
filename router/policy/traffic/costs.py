"""What passes cost: the engine's own table, corrected by how long recorded passes took."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TypeAlias

from triroute.proto import decoding_pb2, engine_pb2
from triroute.router.policy.traffic.recorded import Recorded

Kind: TypeAlias = "decoding_pb2.PassRecord.Kind.ValueType"
_TRUST = 20.0  # passes of a kind that outweigh what all kinds say of the table


@dataclass(frozen=True, slots=True)
class Costs:
    """`table[rows]` seconds of a pass, `key_seconds` more a row and key, `draft_seconds` a draft drawn after it.

    `factors`: recorded time over the table's, by kind of pass; it has in it what the table can't know, such as
    grammars, other work of the machine, and the time between passes.
    """

    table: tuple[float, ...]
    key_seconds: float
    draft_seconds: float
    factors: Mapping[Kind, float] = field(default_factory=dict)
    factor: float = 1.0

    @classmethod
    def of(cls, told: engine_pb2.Costs, steps: Iterable[Recorded] = ()) -> Costs:
        """The engine's table, corrected by the passes of `steps`."""
        plain = cls(tuple(told.pass_seconds), told.key_seconds, told.draft_seconds)
        real: dict[Kind, float] = defaultdict(float)
        said: dict[Kind, float] = defaultdict(float)
        count: dict[Kind, int] = defaultdict(int)
        for step in steps:
            for made, seconds in _timed(step):
                width = made.width
                real[made.kind] += seconds
                said[made.kind] += plain.seconds(
                    made.kind, width, len(made.proposed_ids), step.keys, made.batch - 1, width
                )
                count[made.kind] += 1
        if not count:
            return plain
        factor = sum(real.values()) / sum(said.values())
        mean = sum(said.values()) / sum(count.values())
        factors = {kind: (real[kind] + _TRUST * mean * factor) / (said[kind] + _TRUST * mean) for kind in count}
        return cls(plain.table, plain.key_seconds, plain.draft_seconds, factors, factor)

    def seconds(
        self, kind: Kind, own: float, drafts: float = 0, keys: float = 0, others: float = 0, width: float = 1
    ) -> float:
        """A pass with `own` rows and `drafts` to draw, which `others` share, each with so many rows (`width`)."""
        rows = self._rows(own + others * width) + own * keys * self.key_seconds
        return (rows + drafts * self.draft_seconds) * self.factors.get(kind, self.factor)

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
