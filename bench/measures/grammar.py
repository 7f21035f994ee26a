"""What a grammar costs a pass."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from triroute.bench.jobs import Job
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_most

_TOKENS = 64


class Grammar:
    """The median one-row pass of constrained tool calls against the same prompts without a schema.

    Passes with forced tokens have more rows; those are output, not overhead.
    """

    name, about, unit = "grammar", "a pass under a JSON Schema", "ms"
    peer, kinds = "triroute, free", (Kind.OURS,)
    target = at_most(1.05)

    def round(self, turn: Turn) -> Round:
        ours = turn.fleet[Kind.OURS]
        passes: dict[bool, list[float]] = {True: [], False: []}
        for case in turn.prompts.tool_calls[: turn.scale.cases]:
            for bound in (True, False) if turn.number % 2 else (False, True):
                job = Job(case.ids, _TOKENS, schema=case.schema if bound else "", endless=not bound)
                passes[bound].append(ours.run([job]).only.pass_ms)
        return Round(statistics.median(passes[True]), statistics.median(passes[False]))

    def note(self, rounds: Sequence[Round]) -> str:
        return "autoregressive"
