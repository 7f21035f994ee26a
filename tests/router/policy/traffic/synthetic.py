"""Records of an engine that is known in full: what its passes cost, and how often its drafts hold."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.classifier import classify
from triroute.router.convert.decision import from_decision
from triroute.router.convert.request import to_request
from triroute.router.features import read, written
from triroute.router.policy import Policy, decide
from triroute.router.policy.traffic import Recorded, Traffic
from triroute.router.prompts import build
from triroute.router.types import DecodePlan, Load, Mode, Variant

P = decoding_pb2.PassRecord
ASKS = {
    "plan": {"prompt": "Make a plan of the steps to move to a new flat."},
    "code": {"prompt": "Write a Python function that adds two numbers."},
    "prose": {"prompt": "Tell me a story about the sea."},
}


@dataclass
class Known:
    """An engine: seconds of a pass by rows, the chance that a draft holds when those before it did.

    Passes take `slow` times what it says of them, and `overhead` seconds more.
    """

    chance: float = 0.6
    kept: float = 0.4
    flat: float = 0.001  # a row, up to `free`
    steep: float = 0.01  # a row beyond
    free: int = 8
    tokens: int = 60
    slow: float = 1.0
    overhead: float = 0.0
    random: random.Random = field(default_factory=lambda: random.Random(5))

    def seconds(self, rows: float) -> float:
        """A pass."""
        return 0.01 + self.flat * min(rows, self.free) + self.steep * max(rows - self.free, 0)

    def description(self) -> engine_pb2.Description:
        """What the engine says of itself."""
        costs = engine_pb2.Costs(pass_seconds=[self.seconds(rows) for rows in range(65)])
        return engine_pb2.Description(model="known", costs=costs)

    @property
    def digest(self) -> str:
        """The SHA-256 of that."""
        return hashlib.sha256(self.description().SerializeToString(deterministic=True)).hexdigest()

    def step(self, policy: Policy, kind: str, number: int, others: int = 0, width: float = 1) -> Recorded:
        """Decide and run one step, in the company of others."""
        message = build({**ASKS[kind], "max_tokens": 200}, "test")
        request = to_request(message)
        step, load = classify(request), Load(running=others)
        decision = decide(policy, request, step, load)
        passes, tokens = self._run(decision.plan, others, width)
        ends = passes[-1].start_us + passes[-1].duration_us
        record = router_pb2.Record(
            request_id=f"{number:032x}",
            arrived_us=1 + number,
            decision=from_decision(decision, f"{number:032x}", ""),
            token_ids=range(tokens),
            passes=passes,
            finish=router_pb2.Finish(
                reason=decoding_pb2.FINISH_REASON_STOP,
                timings=decoding_pb2.Timings(decode_us=ends - passes[0].duration_us, prefill_us=passes[0].duration_us),
            ),
            features=written(request, message.hints, step, load),
            engine_sha256=self.digest,
        )
        return Recorded(record, *read(record.features))

    def traffic(self, *steps: Recorded) -> Traffic:
        """As if read from a store."""
        return Traffic(steps, engine=self.description(), alike=frozenset({self.digest}))

    def _run(self, plan: DecodePlan, others: int, width: float) -> tuple[list[P], int]:
        passes: list[P] = [P(kind=P.KIND_DECODE, width=20, committed_ids=[1], duration_us=20_000, batch=1 + others)]
        at, tokens = 20_000, 1

        def ran(kind: P.Kind.ValueType, rows: int, committed: int, **more: object) -> None:
            nonlocal at, tokens
            took = round(1e6 * (self.overhead + self.slow * self.seconds(rows + others * width)))
            made = P(kind=kind, width=rows, start_us=at, duration_us=took, batch=1 + others, **more)  # type: ignore[arg-type]
            made.committed_ids.extend(range(committed))
            passes.append(made)
            at, tokens = at + took, tokens + committed

        while tokens < self.tokens:
            n = (plan.block_length or 5) - 1
            if plan.mode is Mode.AUTOREGRESSIVE:
                ran(P.KIND_DECODE, 1, 1)
            elif plan.mode is Mode.DIFFUSION:
                self._block(plan, ran)
            else:
                held = self._held(n)
                checked = {"accepted": held, "sources": [decoding_pb2.DRAFT_SOURCE_DIFFUSION] * n}
                if plan.variant is Variant.LINEAR:
                    ran(P.KIND_DRAFT, 1 + n, 1, proposed_ids=[0] * n, confidences=[0.5] * n)
                    ran(P.KIND_VERIFY, 1 + n, 1 + held, **checked)
                else:
                    ran(P.KIND_VERIFY, 1 + n + (n + 1) * n, 1 + held, **checked)
        return passes, tokens

    def _held(self, most: int) -> int:
        held = 0
        while held < most and self.random.random() < self.chance:
            held += 1
        return held

    def _block(self, plan: DecodePlan, ran: object) -> None:
        left = plan.block_length
        while left:
            sure = [self.random.random() < self.kept for _ in range(left)]
            confidences = [0.95 if one else 0.1 for one in sure]
            fixed = max(sum(sure), 1)
            ran(P.KIND_DENOISE, plan.block_length, 0, proposed_ids=[0] * left, confidences=confidences)  # type: ignore[operator]
            left -= fixed
        ran(P.KIND_REFRESH, plan.block_length + 1, plan.block_length + 1)  # type: ignore[operator]
