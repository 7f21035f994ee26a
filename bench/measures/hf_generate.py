"""The reference implementation that most people know."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.bench.jobs import Job
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_least


class HuggingFaceGenerate:
    """One greedy stream against `LlamaForCausalLM.generate` in bf16."""

    name, about, unit = "hf_generate", "one autoregressive stream", "tok/s"
    peer, kinds = "transformers bf16", (Kind.OURS, Kind.TRANSFORMERS)
    target = at_least(8)

    def round(self, turn: Turn) -> Round:
        job = Job(turn.prompts.stories[0], turn.scale.tokens // 2, endless=True)
        rates = {kind: turn.fleet[kind].run([job]).only.rate for kind in turn.order(*self.kinds)}
        return Round(rates[Kind.OURS], rates[Kind.TRANSFORMERS])

    def note(self, rounds: Sequence[Round]) -> str:
        return ""
