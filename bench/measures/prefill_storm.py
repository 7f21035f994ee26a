"""A stream's rhythm while long prompts keep arriving."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from triroute.bench.jobs import Job, renewed
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_most, median_of

_ARRIVAL, _ANSWER = 900, 8
_TOKENS = 512
_SERVED = (("served", "seconds"), ("peer_served", "peer_seconds"))


class PrefillStorm:
    """The 99th percentile of the gaps between a stream's tokens, with some new requests always in flight."""

    name, about, unit = "prefill_storm", "slowest gaps (p99) while prompts arrive", "ms"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP_8)
    target = at_most(1.0, hard=False)

    def round(self, turn: Turn) -> Round:
        story = renewed(turn.prompts.stories[1], turn.number)
        call = {
            "stream": asdict(Job(story, _TOKENS, endless=True)),
            "arrival": asdict(Job(turn.prompts.long(_ARRIVAL), _ANSWER, endless=True)),
            "in_flight": turn.scale.arrivals,
            "seconds": turn.scale.storm_seconds,
        }
        gaps = {kind: turn.fleet[kind].call("storm", **call) for kind in turn.order(*self.kinds)}
        ours, peer = gaps[Kind.OURS], gaps[Kind.LLAMACPP_8]
        details = {**ours, **{f"peer_{name}": figure for name, figure in peer.items()}}
        return Round(ours["p99_ms"], peer["p99_ms"], details)

    def note(self, rounds: Sequence[Round]) -> str:
        ours, peer = median_of(rounds, "p50_ms"), median_of(rounds, "peer_p50_ms")
        done = [median_of(rounds, name) / median_of(rounds, seconds) for name, seconds in _SERVED]
        return f"p50 {ours:.1f} against {peer:.1f} ms; prompts served a second {done[0]:.2f} against {done[1]:.2f}"
