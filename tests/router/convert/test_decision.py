"""Decisions as clients see them."""

from __future__ import annotations

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.convert.decision import from_decision
from triroute.router.types import Decision, DecodePlan, FleetLoad, Held, Load, Mode, Step, StepKind


def test_decision_goes_out_whole() -> None:
    step = Step(StepKind.PLAN, 0.75, ("verb plan",))
    sent = from_decision(Decision(step, "rule", DecodePlan(Mode.AUTOREGRESSIVE), "rev"), "r", "t")
    assert (sent.request_id, sent.trace_id, sent.rule_id, sent.policy_revision) == ("r", "t", "rule", "rev")
    assert (sent.step, sent.confidence, list(sent.evidence)) == (router_pb2.STEP_KIND_PLAN, 0.75, ["verb plan"])
    assert sent.plan.variant == decoding_pb2.VARIANT_UNSPECIFIED
    assert not sent.HasField("held")


def test_the_load_that_a_session_holds_goes_out() -> None:
    held = Held(Load(1, 2, 0.25, fleet=FleetLoad(3, 4, 5, 0.5)), 123, "router")
    step = Step(StepKind.PLAN, 0.75)
    sent = from_decision(Decision(step, "rule", DecodePlan(Mode.AUTOREGRESSIVE), "rev", held=held), "r", "t").held
    assert sent == router_pb2.HeldLoad(
        since_us=123,
        router="router",
        running=1,
        waiting=2,
        cache_used=0.25,
        fleet=router_pb2.FleetLoad(routers=3, running=4, waiting=5, cache_used=0.5),
    )
