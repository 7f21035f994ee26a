"""One autoregressive stream."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.bench.jobs import Job
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_least, median_of


class Autoregressive:
    """Tokens a second after the first, greedy, on the same prompt."""

    name, about, unit = "ar", "one autoregressive stream", "tok/s"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP)
    target = at_least(1.2)

    def round(self, turn: Turn) -> Round:
        job = Job(turn.prompts.stories[0], turn.scale.tokens, endless=True)
        results = {kind: turn.fleet[kind].run([job]).only for kind in turn.order(*self.kinds)}
        ours, peer = results[Kind.OURS], results[Kind.LLAMACPP]
        details = {
            "first_token_ms": 1000 * ours.first_token_s,
            "peer_first_token_ms": 1000 * peer.first_token_s,
            "pass_ms": ours.pass_ms,
            "tokens": ours.tokens,
        }
        return Round(ours.rate, peer.rate, details)

    def note(self, rounds: Sequence[Round]) -> str:
        return f"a pass takes {median_of(rounds, 'pass_ms'):.2f} ms"
