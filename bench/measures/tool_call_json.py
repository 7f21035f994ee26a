"""Tool calls as JSON, bound by the tools' schemas."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.bench.jobs import Job, Result
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_least, median_of
from triroute.bench.measures.best import best_exact

_TOKENS = 128


class ToolCallJson:
    """Characters of output a second: each engine's own grammar decides how the JSON is spaced, so tokens differ."""

    name, about, unit = "tool_call_json", "tool calls as constrained JSON", "chars/s"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP)
    target = at_least(1.25)

    def round(self, turn: Turn) -> Round:
        results: dict[Kind, list[Result]] = {kind: [] for kind in self.kinds}
        for case in turn.prompts.tool_calls[: turn.scale.cases]:
            job = Job(case.ids, _TOKENS, schema=case.schema, **best_exact())
            for kind in turn.order(*self.kinds):
                results[kind].append(turn.fleet[kind].run([job]).only)
        ours, peer = results[Kind.OURS], results[Kind.LLAMACPP]
        details = {
            "characters": sum(result.characters for result in ours),
            "peer_characters": sum(result.characters for result in peer),
            "tokens": sum(result.tokens for result in ours),
            "peer_tokens": sum(result.tokens for result in peer),
            "tokens_per_pass": sum(result.tokens for result in ours) / sum(result.passes for result in ours),
        }
        return Round(_rate(ours), _rate(peer), details)

    def note(self, rounds: Sequence[Round]) -> str:
        return f"{best_exact()['mode']}, {median_of(rounds, 'tokens_per_pass'):.2f} tokens a pass"


def _rate(results: Sequence[Result]) -> float:
    return sum(result.characters for result in results) / sum(result.decode_s for result in results)
