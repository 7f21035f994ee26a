"""Eight streams at once, in all modes."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.bench.jobs import Job, renewed
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_least

MODES = ("autoregressive",) * 3 + ("linear_speculation",) * 3 + ("diffusion",) * 2


class EightStreams:
    """Tokens of all streams over the time until the last one ends, prompts included.

    llama.cpp decodes all eight autoregressively, in eight slots.
    """

    name, about, unit = "streams_8", "eight streams of mixed modes at once", "tok/s"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP_8)
    target = at_least(1.5)

    def round(self, turn: Turn) -> Round:
        jobs = [
            Job(renewed(ids, turn.number * len(MODES) + index), turn.scale.tokens, mode, endless=True)
            for index, (ids, mode) in enumerate(zip(turn.prompts.stories, MODES, strict=True))
        ]
        batches = {kind: turn.fleet[kind].run(jobs) for kind in turn.order(*self.kinds)}
        rates = {kind: sum(r.tokens for r in batch.results) / batch.wall_s for kind, batch in batches.items()}
        ours = batches[Kind.OURS].results
        details = {
            mode: sum(r.rate for r, m in zip(ours, MODES, strict=True) if m == mode) / MODES.count(mode)
            for mode in dict.fromkeys(MODES)
        }
        return Round(rates[Kind.OURS], rates[Kind.LLAMACPP_8], {"tokens_per_second_of_a_stream": details})

    def note(self, rounds: Sequence[Round]) -> str:
        return "3 autoregressive, 3 linear, 2 diffusion"
