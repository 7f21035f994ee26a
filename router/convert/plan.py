"""Plans of decoding, to protobufs and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from triroute.proto import decoding_pb2
from triroute.router.convert.words import MODES, SEGMENTS, SOURCES, VARIANTS, VERIFICATIONS, number_of
from triroute.router.types import DecodePlan, SegmentKind

SegmentPlans: TypeAlias = tuple[tuple[SegmentKind, DecodePlan], ...]


def from_plan(plan: DecodePlan) -> decoding_pb2.DecodePlan:
    """What the engine is told to run."""
    return decoding_pb2.DecodePlan(
        mode=number_of(MODES, plan.mode),
        variant=number_of(VARIANTS, plan.variant) if plan.variant else decoding_pb2.VARIANT_UNSPECIFIED,
        block_length=plan.block_length,
        confidence_threshold=plan.confidence_threshold,
        max_steps=plan.max_steps,
        verification=number_of(VERIFICATIONS, plan.verification),
        draft_sources=sorted(number_of(SOURCES, source) for source in plan.draft_sources),
        draft_threshold=plan.draft_threshold,
        fixed_steps=plan.fixed_steps,
    )


def to_plan(plan: decoding_pb2.DecodePlan) -> DecodePlan:
    """What `from_plan` wrote. Raises KeyError for a mode that this version does not know."""
    return DecodePlan(
        mode=MODES[plan.mode],
        variant=VARIANTS.get(plan.variant),
        block_length=plan.block_length,
        confidence_threshold=plan.confidence_threshold,
        max_steps=plan.max_steps,
        verification=VERIFICATIONS[plan.verification],
        draft_sources=frozenset(SOURCES[source] for source in plan.draft_sources),
        draft_threshold=plan.draft_threshold,
        fixed_steps=plan.fixed_steps,
    )


def from_segments(segments: SegmentPlans, rules: Mapping[SegmentKind, str]) -> list[decoding_pb2.SegmentPlan]:
    """Plans of parts that have their own; `rules` name the rules that they come from, where another one's."""
    return [
        decoding_pb2.SegmentPlan(kind=number_of(SEGMENTS, kind), plan=from_plan(plan), rule_id=rules.get(kind, ""))
        for kind, plan in segments
    ]
