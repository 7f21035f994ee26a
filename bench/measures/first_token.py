"""The wait for the first token of a long prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triroute.bench.jobs import Job
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_most

_TOKENS = 4


class FirstToken:
    """A prompt that no cache has seen."""

    name, about, unit = "first_token", "first token of a long prompt", "ms"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP)
    target = at_most(1.0)

    def round(self, turn: Turn) -> Round:
        job = Job(turn.prompts.long(turn.scale.long_prompt), _TOKENS, endless=True)
        waits = {kind: 1000 * turn.fleet[kind].run([job]).only.first_token_s for kind in turn.order(*self.kinds)}
        return Round(waits[Kind.OURS], waits[Kind.LLAMACPP], {"prompt_tokens": len(job.ids)})

    def note(self, rounds: Sequence[Round]) -> str:
        return f"{rounds[0].details['prompt_tokens']} tokens, nothing cached"


class FirstTokenCached:
    """The same prompt again, against our own first time."""

    name, about, unit = "first_token_cached", "first token, prompt seen before", "ms"
    peer, kinds = "triroute, cold", (Kind.OURS,)
    target = at_most(0.15)

    def round(self, turn: Turn) -> Round:
        cold = Job(turn.prompts.long(turn.scale.long_prompt), _TOKENS, endless=True)
        first, again = (turn.fleet[Kind.OURS].run([job]).only for job in (cold, replace(cold)))
        return Round(1000 * again.first_token_s, 1000 * first.first_token_s, {"prompt_tokens": len(cold.ids)})

    def note(self, rounds: Sequence[Round]) -> str:
        return f"{rounds[0].details['prompt_tokens']} tokens"
