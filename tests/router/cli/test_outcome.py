"""What `triroute generate --json` and its last line say of a step."""

from __future__ import annotations

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.cli.generate import _footer
from triroute.router.cli.outcome import Outcome
from triroute.router.prompts import build

WRONG = router_pb2.Check(result=router_pb2.Check.RESULT_INVALID, path="tool_calls[0].arguments", problem="type: [b]")


def test_calls_the_check_and_what_was_written_again() -> None:
    outcome = Outcome(unenforced=("strict",))
    outcome.decision.plan.mode = decoding_pb2.MODE_AUTOREGRESSIVE
    outcome.finish.tool_calls.add(id="call_1", name="find", arguments_json='{"n": 1}')
    outcome.finish.check.CopyFrom(WRONG)
    plan = decoding_pb2.DecodePlan(mode=decoding_pb2.MODE_AUTOREGRESSIVE)
    outcome.finish.escalations.add(check=WRONG, token_ids=[1, 2], kept_tokens=3, plan=plan, seed=4, temperature=0.7)
    told = outcome.as_json()
    check = {"result": "invalid", "path": "tool_calls[0].arguments", "problem": "type: [b]"}
    function = {"name": "find", "arguments": '{"n": 1}'}
    assert told["tool_calls"] == [{"id": "call_1", "type": "function", "function": function}]
    assert (told["check"], told["unenforced"]) == (check, ["strict"])
    again = {"given_up_tokens": 2, "kept_tokens": 3, "mode": "autoregressive", "seed": 4, "temperature": 0.7}
    assert told["escalations"] == [{"check": check, **again}]
    footer = _footer(outcome)
    assert "no grammar holds it to strict" in footer
    assert "invalid at tool_calls" in footer
    assert "type: \\[b]" in footer


def test_nothing_is_said_of_what_was_not_asked_for() -> None:
    assert not {"tool_calls", "check", "unenforced", "escalations"} & set(Outcome().as_json())


def test_calls_go_into_the_next_step() -> None:
    outcome = Outcome(text="Well. <tool_call>", content="Well. ")
    outcome.finish.tool_calls.append(chat_pb2.ToolCall(id="call_1", name="find", arguments_json='{"n": 1}'))
    told = outcome.as_json()
    turn = {"role": "assistant", "content": told["content"], "tool_calls": told["tool_calls"]}
    request = build({"messages": [turn]}, "a step")
    assert request.chat.messages[0].content == "Well. "
    assert request.chat.messages[0].tool_calls == outcome.finish.tool_calls
