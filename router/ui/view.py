"""Records for the page: compact, in columns, so that a step of thousands of tokens is small and quick."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from google.protobuf import json_format

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.capture.drafts import shown
from triroute.router.words import word

_Pass = decoding_pb2.PassRecord


def summary(record: router_pb2.Record) -> dict[str, Any]:
    """A line of the list."""
    decision, usage, timings = record.decision, record.finish.usage, record.finish.timings
    tokens = len(record.token_ids)
    spent_us = timings.queue_us + timings.prefill_us + timings.decode_us
    return {
        "id": record.request_id,
        "trace": decision.trace_id,
        "at": record.arrived_us / 1000,
        "step": step_of(decision.step),
        "confidence": round(decision.confidence, 3),
        "rule": decision.rule_id,
        "mode": mode_of(decision.plan),
        "modes": modes(record),
        "tokens": tokens,
        "passes": usage.passes,
        "per_forward": round(tokens / usage.passes, 3) if usage.passes else None,
        "first_ms": timings.first_token_us / 1000,
        "ms": spent_us / 1000,
        "ended": _ended(record),
        "session": record.session_id,
        "tenant": record.features.tenant,
        "calls": [call.name for call in record.calls],
        "lossy": usage.lossy_tokens,
        "resumes": record.finish.resumes,
    }


def whole(record: router_pb2.Record) -> dict[str, Any]:
    """All of a step. Tokens are numbers into `vocab`."""
    words = _Words(record)
    decision = record.decision
    passes = list(record.passes)
    return summary(record) | {
        "model": record.model,
        "engine": record.engine_sha256,
        "captured": record.captured,
        "decision": {
            "evidence": list(decision.evidence),
            "plan": plan(decision.plan),
            "passed_over": [[rule.rule_id, rule.why] for rule in decision.passed_over],
            "clamps": [[clamp.parameter, clamp.asked, clamp.became] for clamp in decision.clamps],
            "hints": [[hint.hint, hint.accepted, hint.why] for hint in decision.hints],
            "segments": [[segment_kind(own.kind), plan(own.plan), own.rule_id] for own in decision.segments],
            "revision": decision.policy_revision,
            "shadow": _plain(record.shadow) if record.HasField("shadow") else None,
        },
        "usage": _plain(record.finish.usage),
        "timings": _plain(record.finish.timings),
        "check": _plain(record.finish.check) if record.finish.HasField("check") else None,
        "escalations": len(record.finish.escalations),
        "segments": [
            {
                "index": one.index,
                "kind": segment_kind(one.kind),
                "plan": plan(one.plan),
                "mode": mode_of(one.plan),
                "tokens": one.tokens,
                "passes": one.passes,
                "accepted": one.accepted,
                "rejected": one.rejected,
            }
            for one in record.finish.segments
        ],
        "tool_calls": [[call.id, call.name, call.arguments_json] for call in record.calls],
        "passes_run": {
            "kind": [word(_Pass.Kind, one.kind) for one in passes],
            "segment": [one.segment for one in passes],
            "width": [one.width for one in passes],
            "start": [one.start_us for one in passes],
            "us": [one.duration_us for one in passes],
            "batch": [one.batch for one in passes],
            "committed": words.all(one.committed_ids for one in passes),
            "proposed": words.all(one.proposed_ids for one in passes),
            "confidence": [[round(sure, 3) for sure in one.confidences] for one in passes],
            "behind": [list(one.proposed_behind) for one in passes],
            "accepted": [one.accepted for one in passes],
            "rejected": words.all(one.rejected_ids for one in passes),
            "fixed": [list(one.fixed_slots) for one in passes],
            "sources": [list(one.sources) for one in passes],
            "forced": [list(one.forced) for one in passes],
            "lossy": [list(one.lossy) for one in passes],
        },
        "vocab": words.texts,
    }


class _Words:
    """Numbers for the tokens that a record names, and their texts."""

    def __init__(self, record: router_pb2.Record) -> None:
        self._text = record.token_text
        self._numbers: dict[int, int] = {}
        self.texts: list[str] = []

    def all(self, lists: Iterable[Sequence[int]]) -> list[list[int]]:
        return [[self._of(token) for token in tokens] for tokens in lists]

    def _of(self, token: int) -> int:
        number = self._numbers.setdefault(token, len(self.texts))
        if number == len(self.texts):
            self.texts.append(shown(self._text, token))
        return number


def plan(told: decoding_pb2.DecodePlan) -> dict[str, Any]:
    """The decoder and what it looks at."""
    return {"mode": mode_of(told)} | {
        name: value
        for name, value in _plain(told).items()
        if name not in ("mode", "variant") and value not in (None, [], "")
    }


def modes(record: router_pb2.Record) -> dict[str, int]:
    """Tokens by the mode that wrote them, most first; the decision's mode where no segment has any."""
    tokens = Counter[str]()
    for one in record.finish.segments:
        tokens[mode_of(one.plan)] += one.tokens
    return {name: count for name, count in tokens.most_common() if count} or {
        mode_of(record.decision.plan): len(record.token_ids)
    }


def mode_of(told: decoding_pb2.DecodePlan) -> str:
    """As in `linear`, `quadratic`, `diffusion`, `autoregressive`."""
    if told.variant:
        return word(decoding_pb2.Variant, told.variant)
    return word(decoding_pb2.Mode, told.mode)


def step_of(kind: router_pb2.StepKind.ValueType) -> str:
    """As in `tool_call`."""
    return word(router_pb2.StepKind, kind)


def segment_kind(kind: decoding_pb2.SegmentKind.ValueType) -> str:
    """As in `code`; `whole` where the text was not followed."""
    return word(decoding_pb2.SegmentKind, kind) if kind else "whole"


def _ended(record: router_pb2.Record) -> str:
    if record.error:
        return record.error.partition(":")[0].lower()
    return word(decoding_pb2.FinishReason, record.finish.reason)


def _plain(message: Any) -> dict[str, Any]:
    plain: dict[str, Any] = json_format.MessageToDict(message, preserving_proto_field_name=True)
    return {
        name: int(value) if isinstance(value, str) and value.isdecimal() else value for name, value in plain.items()
    }
