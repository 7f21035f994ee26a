"""What it costs to record every pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triroute.bench.jobs import Job, fields_of
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_most
from triroute.engine.types import ModeName


class Records:
    """Time to make and convert the records of a stream in every mode, as a share of the time the streams took."""

    name, about, unit = "records", "making records, of all time", "ms"
    peer, kinds = "the run", (Kind.OURS,)
    target = at_most(0.02)

    def round(self, turn: Turn) -> Round:
        ids = turn.prompts.stories[2]
        jobs = [Job(ids, turn.scale.tokens, mode.value, endless=True) for mode in ModeName]
        costs: Mapping[str, Any] = turn.fleet[Kind.OURS].call("records", jobs=fields_of(jobs))
        spent = sum(cost["making_ms"] + cost["converting_ms"] for cost in costs.values())
        return Round(spent, sum(cost["loop_ms"] for cost in costs.values()), {"modes": costs})

    def note(self, rounds: Sequence[Round]) -> str:
        modes = rounds[0].details["modes"]
        named = (
            [f"{name} {cost['bytes_per_token']:.0f}" for name, cost in modes.items()] if isinstance(modes, dict) else []
        )
        return f"bytes a token: {', '.join(named)}"
