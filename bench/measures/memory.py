"""Resident memory of one stream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from triroute.bench.jobs import Job
from triroute.bench.kinds import Kind
from triroute.bench.measure import Round, Turn, at_most, median_of

_SIZES = ("now", "peak")


class Memory:
    """The most that a fresh process ever held, loading included, after one long prompt and its answer."""

    name, about, unit = "memory", "peak resident memory, one stream", "MiB"
    peer, kinds = "llama.cpp", (Kind.OURS, Kind.LLAMACPP)
    target = at_most(3.0)

    def round(self, turn: Turn) -> Round:
        job = Job(turn.prompts.long(turn.scale.long_prompt), turn.scale.tokens, endless=True)
        sizes: dict[Kind, Mapping[str, Any]] = {}
        for kind in turn.order(*self.kinds):
            with turn.fleet.fresh(kind) as worker:
                worker.run([job])
                sizes[kind] = worker.call("memory")
        ours, peer = sizes[Kind.OURS], sizes[Kind.LLAMACPP]
        parts = {name: size for name, size in ours.items() if name not in _SIZES}
        details = {"now": ours["now"], "peer_now": peer["now"], "parts_mib": parts}
        return Round(ours["peak"], peer["peak"], details)

    def note(self, rounds: Sequence[Round]) -> str:
        parts = rounds[0].details["parts_mib"]
        named = ", ".join(f"{name} {size:.0f}" for name, size in parts.items()) if isinstance(parts, dict) else ""
        now, peer = median_of(rounds, "now"), median_of(rounds, "peer_now")
        return f"at the end {now:.0f} against {peer:.0f}; ours: {named}"
