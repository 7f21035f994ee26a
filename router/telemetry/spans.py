"""What each span says of its step. The deciding attributes come first."""

from __future__ import annotations

from collections.abc import Sequence

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.run import Run
from triroute.router.structured.check import unquoted
from triroute.router.telemetry import names
from triroute.router.types import Capture
from triroute.router.words import word

Attributes = dict[str, str | int | float | bool | list[str]]

_MOST_NAMED_CALLS = 16
_MOST_SEED = 2**63 - 1  # OTLP's integers are signed


def route(run: Run) -> Attributes:
    """Of the decision."""
    decided = run.told_decision() or router_pb2.Decision()
    attributes: Attributes = {
        names.STEP_KIND: word(router_pb2.StepKind, decided.step),
        names.STEP_CONFIDENCE: decided.confidence,
        names.POLICY_RULE: decided.rule_id,
        names.POLICY_REVISION: decided.policy_revision,
    }
    lists = {
        names.EVIDENCE: list(decided.evidence),
        names.PASSED_OVER: [f"{rule.rule_id}: {rule.why}" for rule in decided.passed_over],
        names.CLAMPS: [f"{clamp.parameter}: {clamp.asked:g} became {clamp.became:g}" for clamp in decided.clamps],
        names.HINTS: [f"{h.hint}: {'followed' if h.accepted else 'refused'}, {h.why}" for h in decided.hints],
    }
    attributes |= {name: said for name, said in lists.items() if said}
    if decided.arm:
        attributes[names.POLICY_ARM] = word(router_pb2.Arm, decided.arm)
    if run.shadow is not None:
        attributes[names.SHADOW] = f"{run.shadow.policy_revision[:12]}: {run.shadow.rule_id or run.shadow.error}"
        attributes[names.SHADOW_AGREES] = run.shadow.agrees
    return attributes


def chat(run: Run, operation: str, model: str) -> Attributes:
    """Of the inference."""
    sampling = run.request.sampling
    attributes: Attributes = {
        names.OPERATION: operation,
        names.PROVIDER: "triroute",
        names.REQUEST_MODEL: model,
        names.RESPONSE_MODEL: model,
        names.RESPONSE_ID: run.request_id,
        names.MAX_TOKENS: sampling.max_tokens,
        names.TEMPERATURE: sampling.temperature,
        names.TOP_P: sampling.top_p,
        names.TOP_K: sampling.top_k,
        names.RESUMES_COUNT: run.resumes,
    }
    if sampling.seed <= _MOST_SEED:
        attributes[names.SEED] = sampling.seed
    if sampling.stop and run.captures is not Capture.NONE:
        attributes[names.STOP] = list(sampling.stop)
    if run.request.session_id and run.captures is not Capture.NONE:
        attributes[names.CONVERSATION] = run.request.session_id
    if run.finish is not None:
        reason = word(decoding_pb2.FinishReason, run.finish.reason)
        attributes[names.FINISH_REASONS] = [reason]
        attributes[names.FIRST_CHUNK] = run.finish.timings.first_token_us / 1e6
        attributes[names.INPUT_TOKENS] = run.finish.usage.prompt_tokens
        attributes[names.OUTPUT_TOKENS] = run.finish.usage.completion_tokens
        attributes[names.CACHED_TOKENS] = run.finish.usage.cached_prompt_tokens
        if run.finish.HasField("check"):
            check = unquoted(run.finish.check)
            attributes[names.CHECK] = word(router_pb2.Check.Result, check.result)
            if check.problem:
                attributes[names.CHECK_PROBLEM] = f"{check.path}: {check.problem}"
            attributes[names.ESCALATIONS_COUNT] = len(run.finish.escalations)
        if run.finish.usage.lossy_tokens:
            attributes[names.LOSSY] = run.finish.usage.lossy_tokens
        if run.finish.unenforced:
            attributes[names.UNENFORCED] = list(run.finish.unenforced)
    return attributes


def segment(
    ran: router_pb2.SegmentSummary, passes: Sequence[decoding_pb2.PassRecord], calls: Sequence[router_pb2.CallRecord]
) -> Attributes:
    """Of one segment, with its passes and the tool calls of the whole output."""
    plan = ran.plan
    attributes: Attributes = {names.SEGMENT: ran.index, names.MODE: word(decoding_pb2.Mode, plan.mode)}
    if ran.kind:
        attributes[names.SEGMENT_KIND] = word(decoding_pb2.SegmentKind, ran.kind)
    attributes |= _plan(plan)
    attributes |= {
        names.PASSES: ran.passes,
        names.DRAFTED: ran.drafted,
        names.ACCEPTED: ran.accepted,
        names.REJECTED: ran.rejected,
        names.FORCED: sum(len(one.forced) for one in passes),
    }
    if ran.passes:
        attributes[names.TOKENS_PER_FORWARD] = ran.tokens / ran.passes
    inside = [f"{call.id} {call.name}" for call in calls if ran.index in call.segments]
    if inside:
        attributes[names.TOOL_CALLS] = inside[:_MOST_NAMED_CALLS]
    return attributes | {names.ACCEPT_PATH: ran.accept_path}


def _plan(plan: decoding_pb2.DecodePlan) -> Attributes:
    """The parameters that its mode heeds."""
    if plan.mode == decoding_pb2.MODE_AUTOREGRESSIVE:
        return {}
    told: Attributes = {names.BLOCK_LENGTH: plan.block_length} if plan.block_length else {}
    if plan.mode == decoding_pb2.MODE_DIFFUSION:
        fixed = plan.fixed_steps
        return told | ({names.FIXED_STEPS: fixed} if fixed else {names.CONFIDENCE_THRESHOLD: plan.confidence_threshold})
    told[names.VARIANT] = word(decoding_pb2.Variant, plan.variant)
    told[names.DRAFT_SOURCES] = [word(decoding_pb2.DraftSource, source) for source in plan.draft_sources]
    if plan.draft_threshold:
        told[names.DRAFT_THRESHOLD] = plan.draft_threshold
    if plan.verification == decoding_pb2.VERIFICATION_RELAXED:
        told[names.VERIFICATION] = "relaxed"
    return told


def step_words(run: Run) -> dict[str, str | int]:
    """A step in a few words, none of them its own: for a line of a log."""
    told: dict[str, str | int] = {}
    if run.decided is not None:
        told[names.STEP_KIND] = word(router_pb2.StepKind, run.decided.step)
        told[names.POLICY_RULE] = run.decided.rule_id
        told[names.POLICY_REVISION] = run.decided.policy_revision
        told[names.MODE] = word(decoding_pb2.Mode, run.decided.plan.mode)
    if run.finish is not None:
        usage = run.finish.usage
        told[names.FINISH_REASONS] = word(decoding_pb2.FinishReason, run.finish.reason)
        told[names.INPUT_TOKENS], told[names.OUTPUT_TOKENS] = usage.prompt_tokens, usage.completion_tokens
        told[names.PASSES] = usage.passes
        told[names.ACCEPTED] = usage.accepted_prediction_tokens
        told[names.REJECTED] = usage.rejected_prediction_tokens
    if run.error:
        told[names.ERROR] = run.reason
    return told
