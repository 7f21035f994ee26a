"""A step's stream, gathered: what every command shows of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.client import CallFailed, Client
from triroute.router.words import word


@dataclass(slots=True)
class Outcome:
    """One step, as its client saw it."""

    decision: router_pb2.Decision = field(default_factory=router_pb2.Decision)
    finish: router_pb2.Finish = field(default_factory=router_pb2.Finish)
    text: str = ""
    content: str = ""  # of it what is outside of tool calls
    token_ids: list[int] = field(default_factory=list)
    logprobs: list[decoding_pb2.TokenLogprob] = field(default_factory=list)
    unenforced: tuple[str, ...] = ()
    seconds: float = 0.0
    first_seconds: float = 0.0
    error: CallFailed | None = None

    @property
    def step(self) -> str:
        return word(router_pb2.StepKind, self.decision.step)

    @property
    def mode(self) -> str:
        return word(decoding_pb2.Mode, self.decision.plan.mode)

    @property
    def variant(self) -> str | None:
        variant = self.decision.plan.variant
        return word(decoding_pb2.Variant, variant) if variant else None

    @property
    def reason(self) -> str:
        return word(decoding_pb2.FinishReason, self.finish.reason)

    @property
    def tokens_per_second(self) -> float:
        """Tokens after the first, over the time after the first."""
        rest = self.seconds - self.first_seconds
        return (len(self.token_ids) - 1) / rest if len(self.token_ids) > 1 and rest > 0 else 0.0

    def as_json(self) -> dict[str, Any]:
        """The keys of `triroute generate --json`."""
        usage = self.finish.usage
        answer: dict[str, Any] = {
            "text": self.text,
            "token_ids": self.token_ids,
            "step": self.step,
            "confidence": round(self.decision.confidence, 4),
            "rule": self.decision.rule_id,
            "mode": self.mode,
            "variant": self.variant,
            "block_length": self.decision.plan.block_length,
            "tokens": len(self.token_ids),
            "passes": usage.passes,
            "drafted": usage.drafted_tokens,
            "accepted": usage.accepted_prediction_tokens,
            "lossy": usage.lossy_tokens,
            "rejected": usage.rejected_prediction_tokens,
            "cached_prompt_tokens": usage.cached_prompt_tokens,
            "ttft_ms": round(1000 * self.first_seconds, 3),
            "tokens_per_second": round(self.tokens_per_second, 2),
            "finish": self.reason,
            "request_id": self.decision.request_id,
            "trace_id": self.decision.trace_id,
        }
        finish = self.finish
        if finish.tool_calls:
            answer["content"] = self.content
            answer["tool_calls"] = [_call(call) for call in finish.tool_calls]
        if finish.HasField("check"):
            answer["check"] = _check(finish.check)
        if self.unenforced:
            answer["unenforced"] = list(self.unenforced)
        if finish.escalations:
            answer["escalations"] = [_escalation(one) for one in finish.escalations]
        if self.logprobs:
            answer["logprobs"] = [_logprob(one) for one in self.logprobs]
        if self.error is not None:
            answer["finish"] = "error"
            answer["error"] = {"code": self.error.code, "message": self.error.message}
        return answer


async def run(
    client: Client,
    request: router_pb2.GenerateRequest,
    on_decision: Callable[[Outcome], None] = lambda outcome: None,
    on_text: Callable[[str], None] = lambda text: None,
) -> Outcome:
    """One step to its end. A failed call is in the outcome, not raised."""
    outcome, began = Outcome(), time.perf_counter()
    try:
        async for event in client.generate(request):
            match event.WhichOneof("event"):
                case "decision":
                    outcome.decision = event.decision
                    on_decision(outcome)
                case "warning":
                    outcome.unenforced = tuple(event.warning.unenforced)
                case "delta":
                    outcome.first_seconds = outcome.first_seconds or time.perf_counter() - began
                    outcome.text += event.delta.text
                    outcome.content += event.delta.content
                    outcome.token_ids += event.delta.token_ids
                    outcome.logprobs += event.delta.logprobs
                    on_text(event.delta.text)
                case "finish":
                    outcome.finish = event.finish
    except CallFailed as error:
        outcome.error = error
    outcome.seconds = time.perf_counter() - began
    return outcome


def _call(call: chat_pb2.ToolCall) -> dict[str, Any]:
    """As turns of `messages` have them, to go into the next."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}


def _check(check: router_pb2.Check) -> dict[str, Any]:
    told = {"result": word(router_pb2.Check.Result, check.result)}
    return told | ({"path": check.path, "problem": check.problem} if check.problem else {})


def _escalation(one: router_pb2.Escalation) -> dict[str, Any]:
    return {
        "check": _check(one.check),
        "given_up_tokens": len(one.token_ids),
        "kept_tokens": one.kept_tokens,
        "mode": word(decoding_pb2.Mode, one.plan.mode),
        "seed": one.seed,
        "temperature": round(one.temperature, 6),
    }


def _logprob(one: decoding_pb2.TokenLogprob) -> dict[str, Any]:
    top = [{"token_id": other.token_id, "log_probability": round(other.log_probability, 6)} for other in one.top]
    return {"token_id": one.token_id, "log_probability": round(one.log_probability, 6), "top": top}
