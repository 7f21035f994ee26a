"""Calls in free text, in a running engine: every mode holds to the grammar behind an opening, also after a restart."""

from __future__ import annotations

import json
import queue

import pytest

from triroute.engine.chat import Tool
from triroute.engine.engine import Engine
from triroute.engine.testing import Answer
from triroute.engine.tool_grammar import Calls, compile_calls
from triroute.engine.types import Event, Failed, ModeName, Plan, Request, Sampling

CITY = {"properties": {"city": {"enum": ["Oslo", "Rome"]}}, "required": ["city"], "additionalProperties": False}
TOOLS = (Tool("weather", "", json.dumps(CITY)), Tool("now", "", ""))
AR = Plan(ModeName.AUTOREGRESSIVE)
MODES = [
    AR,
    Plan(ModeName.LINEAR_SPECULATION, 5),
    Plan(ModeName.QUADRATIC_SPECULATION, 4),
    Plan(ModeName.DIFFUSION, 6, 0.5, 3),
]


def written(engine: Engine, plan: Plan, before: tuple[int, ...]) -> Answer:
    """What the engine writes after a beginning."""
    request = Request(
        "it",
        (65, 66, 67),
        plan,
        Sampling(max_tokens=110, temperature=1.0, seed=3),
        resume_ids=before,
        may_call=True,
    )
    events: queue.Queue[Event] = queue.Queue()
    engine.submit(request, compile_calls(TOOLS, Calls.FREE, engine.tokenizer, request.prompt_ids), events.put)
    answer = Answer(token_ids=list(before))
    while not (answer.finished or answer.failed):
        event = events.get(timeout=120)
        answer.take(event)
        assert not isinstance(event, Failed)
    return answer


@pytest.mark.parametrize("opening", ["So <tool_call>", "<tool_call>[{", "[TOOL_CALLS]", "<function=", "<|python_tag|>"])
def test_every_mode_holds_to_the_grammar(tiny_engine: Engine, opening: str) -> None:
    before = tuple(tiny_engine.tokenizer.encode(opening))
    texts = []
    for plan in MODES:
        answer = written(tiny_engine, plan, before)
        text = b"".join(map(tiny_engine.tokenizer.token_bytes, answer.token_ids)).decode(errors="replace")
        for call in answer.calls:
            assert json.loads(call.arguments) in ({"city": "Oslo"}, {"city": "Rome"}) or call.name == "now"
        assert answer.calls or text.startswith((f"{opening}[]", "<function="))
        texts.append(answer.token_ids)
    assert texts[0] == texts[1] == texts[2]


def test_a_restarted_engine_goes_on_the_same(tiny_engine: Engine) -> None:
    whole = written(tiny_engine, AR, tuple(tiny_engine.tokenizer.encode("So <tool_call>"))).token_ids
    for count in range(14, len(whole), 9):
        again = written(tiny_engine, MODES[1], tuple(whole[:count]))
        assert again.token_ids == whole
