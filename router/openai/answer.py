"""Events of a step to completions, whole or in chunks."""

from __future__ import annotations

import codecs
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.openai.request import Asked
from triroute.router.words import word

Json = dict[str, Any]

_UNLIKELY = -9999.0  # stands for all that is less likely
_LONE_BYTE = re.compile("<0x([0-9A-F]{2})>")  # as the engine shows bytes that are no whole character


class Answer:
    """Grows with the events of a step. `text_of` says what a token's text is."""

    def __init__(self, asked: Asked, decision: router_pb2.Decision, model: str, text_of: Callable[[int], str]) -> None:
        self._asked = asked
        self._decision = decision
        self._text_of = text_of
        self._content: list[str] = []
        self._likely: list[decoding_pb2.TokenLogprob] = []
        self._finish = router_pb2.Finish()
        self._offsets = _Offsets()
        kind = "chat.completion" if asked.is_chat else "text_completion"
        self._head: Json = {
            "id": f"{'chatcmpl' if asked.is_chat else 'cmpl'}-{decision.request_id}",
            "object": f"{kind}.chunk" if asked.is_chat and asked.stream else kind,
            "created": int(time.time()),
            "model": model,
        }

    def take(self, event: router_pb2.GenerateEvent) -> None:
        """Keep an event, for `whole`."""
        if event.HasField("delta"):
            self._content.append(_content(event.delta))
            self._likely += event.delta.logprobs
        elif event.HasField("finish"):
            self._finish = event.finish

    def whole(self) -> Json:
        """The completion."""
        finish, text = self._finish, "".join(self._content)
        choice: Json = {"index": 0, "logprobs": self._logprobs(self._likely), "finish_reason": _reason(finish)}
        if self._asked.is_chat:
            choice["message"] = _message(text, finish)
        else:
            choice["text"] = text
        told = {"triroute": _decided(self._decision) | _finished(finish)}
        return {**self._head, "choices": [choice], "usage": _usage(finish.usage), **told}

    def begin(self) -> Json:
        """The first chunk."""
        opening = {"delta": {"role": "assistant", "content": ""}} if self._asked.is_chat else {"text": ""}
        return self._chunk(opening) | {"triroute": _decided(self._decision)}

    def piece(self, event: router_pb2.GenerateEvent) -> list[Json]:
        """The chunks that an event makes."""
        match event.WhichOneof("event"):
            case "delta":
                content, likely = _content(event.delta), self._logprobs(event.delta.logprobs)
                if not content and not likely:
                    return []
                said = {"delta": {"content": content}} if self._asked.is_chat else {"text": content}
                return [self._chunk(said, likely)]
            case "tool_call":
                return [self._chunk({"delta": {"tool_calls": [_call(event.tool_call)]}})]
            case "finish":
                return self._end(event.finish)
        return []

    def _end(self, finish: router_pb2.Finish) -> list[Json]:
        last = self._chunk({"delta": {}} if self._asked.is_chat else {"text": ""}, reason=_reason(finish))
        chunks = [last | {"triroute": _finished(finish)}]
        if self._asked.usage:
            chunks.append({**self._head, "choices": [], "usage": _usage(finish.usage)})
        return chunks

    def _chunk(self, said: Json, likely: Json | None = None, reason: str | None = None) -> Json:
        choice = {"index": 0, **said, "logprobs": likely, "finish_reason": reason}
        return {**self._head, "choices": [choice], **({"usage": None} if self._asked.usage else {})}

    def _logprobs(self, likely: Iterable[decoding_pb2.TokenLogprob]) -> Json | None:
        """Of these tokens; None where nobody asked."""
        if not self._asked.message.sampling.HasField("logprobs"):
            return None
        if self._asked.is_chat:
            content = [self._token(one) | {"top_logprobs": [self._token(top) for top in one.top]} for one in likely]
            return {"content": content, "refusal": None} if content else None
        known = list(likely)
        tokens = [self._text_of(one.token_id) for one in known]
        return (
            {
                "tokens": tokens,
                "token_logprobs": [_number(one) for one in known],
                "top_logprobs": [{self._text_of(top.token_id): _number(top) for top in one.top} for one in known],
                "text_offset": [self._offsets.next(token) for token in tokens],
            }
            if known
            else None
        )

    def _token(self, one: decoding_pb2.TokenLogprob | decoding_pb2.TokenLogprob.Candidate) -> Json:
        text = self._text_of(one.token_id)
        return {"token": text, "bytes": list(bytes_of(text)), "logprob": _number(one)}


class _Offsets:
    """Where each token begins in the text: a character of several tokens begins with the first."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._characters = 0

    def next(self, token: str) -> int:
        start = self._characters
        self._characters += len(self._decoder.decode(bytes_of(token)))
        return start


def bytes_of(text: str) -> bytes:
    """The bytes of a token that is shown so."""
    parts = _LONE_BYTE.split(text)
    return b"".join(bytes.fromhex(part) if number % 2 else part.encode() for number, part in enumerate(parts))


def token_ids(event: router_pb2.GenerateEvent) -> set[int]:
    """The tokens whose text has to be known."""
    likely = event.delta.logprobs
    return {one.token_id for one in likely} | {top.token_id for one in likely for top in one.top}


def _content(delta: router_pb2.Delta) -> str:
    return delta.content if delta.HasField("content") else delta.text


def _number(one: decoding_pb2.TokenLogprob | decoding_pb2.TokenLogprob.Candidate) -> float:
    return max(one.log_probability, _UNLIKELY)


def _message(text: str, finish: router_pb2.Finish) -> Json:
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments_json}}
        for call in finish.tool_calls
    ]
    said: Json = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
    return said | ({"tool_calls": calls} if calls else {})


def _call(piece: router_pb2.ToolCallDelta) -> Json:
    if not piece.name:
        return {"index": piece.index, "function": {"arguments": piece.arguments_json}}
    function = {"name": piece.name, "arguments": piece.arguments_json}
    return {"index": piece.index, "id": piece.id, "type": "function", "function": function}


def _reason(finish: router_pb2.Finish) -> str:
    """One of OpenAI's. What was aborted was cut short, too."""
    if finish.reason != decoding_pb2.FINISH_REASON_STOP:
        return "length"
    return "tool_calls" if finish.tool_calls else "stop"


def _usage(usage: decoding_pb2.Usage) -> Json:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_prompt_tokens},
        "completion_tokens_details": {
            "accepted_prediction_tokens": usage.accepted_prediction_tokens,
            "rejected_prediction_tokens": usage.rejected_prediction_tokens,
        },
    }


def _decided(decision: router_pb2.Decision) -> Json:
    return {
        "request_id": decision.request_id,
        "trace_id": decision.trace_id,
        "step": word(router_pb2.StepKind, decision.step),
        "confidence": round(decision.confidence, 4),
        "rule_id": decision.rule_id,
        "mode": word(decoding_pb2.Mode, decision.plan.mode),
        "policy_revision": decision.policy_revision,
    }


def _finished(finish: router_pb2.Finish) -> Json:
    check = finish.check
    told = {"result": word(router_pb2.Check.Result, check.result), "path": check.path, "problem": check.problem}
    return {
        "reason": word(decoding_pb2.FinishReason, finish.reason),
        "check": told if finish.HasField("check") else None,
        "unenforced": list(finish.unenforced),
        "escalations": len(finish.escalations),
    }
