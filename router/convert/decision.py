"""Decisions, as the stream's first event and as records have them."""

from __future__ import annotations

from triroute.proto import router_pb2
from triroute.router.convert.plan import from_plan, from_segments
from triroute.router.convert.words import ARMS, STEPS, number_of
from triroute.router.loads import from_held
from triroute.router.types import Decision, ShadowDecision


def from_decision(decision: Decision, request_id: str, trace_id: str) -> router_pb2.Decision:
    """The stream's first event."""
    return router_pb2.Decision(
        request_id=request_id,
        step=number_of(STEPS, decision.step.kind),
        confidence=decision.step.confidence,
        evidence=decision.step.evidence,
        rule_id=decision.rule_id,
        passed_over=[router_pb2.PassedOver(rule_id=rule.rule_id, why=rule.why) for rule in decision.passed_over],
        plan=from_plan(decision.plan),
        clamps=[router_pb2.Clamp(parameter=c.parameter, asked=c.asked, became=c.became) for c in decision.clamps],
        hints=[router_pb2.HintOutcome(hint=h.hint, accepted=h.accepted, why=h.why) for h in decision.hints],
        policy_revision=decision.policy_revision,
        trace_id=trace_id,
        arm=number_of(ARMS, decision.arm),
        held=from_held(decision.held) if decision.held else None,
        segments=from_segments(decision.extras.segments, dict(decision.segment_rules)),
    )


def from_shadow(shadow: ShadowDecision) -> router_pb2.ShadowDecision:
    """For the record."""
    return router_pb2.ShadowDecision(
        policy_revision=shadow.policy_revision,
        rule_id=shadow.rule_id,
        plan=from_plan(shadow.plan) if shadow.plan else None,
        agrees=shadow.agrees,
        error=shadow.error,
    )
