"""One stream over the steps of an agent: plans, tool calls, code, prose and summaries."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.bench.jobs import Job, Result
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_least, median_of
from triroute.bench.measures.best import best_exact

_TOKENS = 96


class AgentSteps:
    """Tokens a second over the decode time of all steps, our best exact mode against autoregression.

    Both stop where the model ends its turn. Steps alternate between the engines.
    """

    name, about, unit = "agent_steps", "agent steps, best exact mode", "tok/s"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP)
    target = at_least(1.6)

    def round(self, turn: Turn) -> Round:
        results: dict[Kind, list[Result]] = {kind: [] for kind in self.kinds}
        steps = turn.prompts.agent_steps[: turn.scale.cases]
        for _, ids in steps:
            job = Job(ids, _TOKENS, **best_exact())
            for kind in turn.order(*self.kinds):
                results[kind].append(turn.fleet[kind].run([job]).only)
        ours, peer = results[Kind.OURS], results[Kind.LLAMACPP]
        details = {
            "tokens": sum(result.tokens for result in ours),
            "peer_tokens": sum(result.tokens for result in peer),
            "tokens_per_pass": sum(result.tokens for result in ours) / sum(result.passes for result in ours),
            "ratios": {name: a.rate / b.rate for (name, _), a, b in zip(steps, ours, peer, strict=True)},
        }
        return Round(_rate(ours), _rate(peer), details)

    def note(self, rounds: Sequence[Round]) -> str:
        return f"{best_exact()['mode']}, {median_of(rounds, 'tokens_per_pass'):.2f} tokens a pass"


def _rate(results: Sequence[Result]) -> float:
    return sum(result.decoded for result in results) / sum(result.decode_s for result in results)
