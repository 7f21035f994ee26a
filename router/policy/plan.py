"""A rule's `use` over the defaults: the plan within the limits, what was clamped, and what goes beyond the decoder."""

from __future__ import annotations

import dataclasses
from typing import Any

from triroute.router.policy.use import Decoding, Segments, Use
from triroute.router.policy.vocabulary import Limits
from triroute.router.types import Clamp, DecodePlan, DraftSource, Extras, Mode, SegmentKind, Variant, Verification

NUMBERS = ("block_length", "confidence_threshold", "max_steps")


def merged(defaults: Use, use: Use) -> Use:
    """The rule's settings, and the defaults for those that it leaves out."""
    chosen = {name: getattr(use, name) for name in Use.model_fields if getattr(use, name) is not None}
    others = {name: getattr(defaults, name) for name in Use.model_fields if getattr(defaults, name) is not None}
    if use.mode not in (None, defaults.mode):
        others.pop("variant", None)
    return Use.model_construct(**others | chosen)


def plan_of(use: Use) -> DecodePlan:
    """The decoder's parameters, complete."""
    mode = Mode(use.mode or Mode.AUTOREGRESSIVE)
    given: dict[str, Any] = {
        name: getattr(use, name)
        for name in (*NUMBERS, "draft_threshold", "fixed_steps")
        if getattr(use, name) is not None
    }
    if given.get("block_length") == "auto":
        given["block_length"] = 0
    if use.draft_sources is not None:
        given["draft_sources"] = frozenset(map(DraftSource, use.draft_sources))
    if mode is Mode.SELF_SPECULATION and use.verification is not None:
        given["verification"] = Verification(use.verification)
    return DecodePlan(mode, variant_for(mode, Variant(use.variant) if use.variant else None), **given)


def variant_for(mode: Mode, variant: Variant | None) -> Variant | None:
    """Self-speculation always has a variant, other modes never."""
    return (variant or Variant.LINEAR) if mode is Mode.SELF_SPECULATION else None


def effective(plan: DecodePlan) -> DecodePlan:
    """The plan without what its mode does not look at: plans with equal ones decode alike."""
    blank = DecodePlan(plan.mode, plan.variant, verification=plan.verification)
    match plan.mode:
        case Mode.AUTOREGRESSIVE:
            return blank
        case Mode.DIFFUSION if plan.fixed_steps:
            return dataclasses.replace(blank, block_length=plan.block_length, fixed_steps=plan.fixed_steps)
        case Mode.DIFFUSION:
            return dataclasses.replace(plan, draft_sources=blank.draft_sources, draft_threshold=0.0)
    steps = plan.max_steps if plan.draft_threshold and plan.variant is Variant.LINEAR else blank.max_steps
    return dataclasses.replace(plan, confidence_threshold=blank.confidence_threshold, fixed_steps=0, max_steps=steps)


def clamped(plan: DecodePlan, use: Decoding, limits: Limits) -> tuple[DecodePlan, tuple[Clamp, ...]]:
    """The plan within the limits, and what of `use` they moved. A block length of 0 is `auto`, and stays."""
    clamps = []
    for name in NUMBERS:
        asked = getattr(plan, name)
        least, most = getattr(limits, name)
        became = min(max(asked, least), most)
        if became != asked and not (name == "block_length" and asked == 0):
            if getattr(use, name) is not None:
                clamps.append(Clamp(name, asked, became))
            plan = dataclasses.replace(plan, **{name: became})
    return plan, tuple(clamps)


def extras_of(use: Use, limits: Limits) -> Extras:
    """What the rule asks for beyond the decoder."""
    escalation = use.escalation and (tuple(use.escalation.on), Mode(use.escalation.mode), use.escalation.most)
    return Extras(
        use.grammar or "as_asked",
        escalation or None,
        tuple(_segments(use.segments, use, limits)) if use.segments else (),
        use.capture or "features",
        use.audit or "best_effort",
    )


def _segments(segments: Segments, use: Use, limits: Limits) -> list[tuple[SegmentKind, DecodePlan]]:
    named = [(SegmentKind(name), getattr(segments, name)) for name in Segments.model_fields]
    uses = [(kind, merged(use, _as_use(own))) for kind, own in named if own is not None]
    return [(kind, clamped(plan_of(own), own, limits)[0]) for kind, own in uses]


def _as_use(own: Decoding) -> Use:
    return Use.model_construct(**{name: getattr(own, name) for name in Decoding.model_fields})
