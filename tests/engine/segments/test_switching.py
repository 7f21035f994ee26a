"""The mode follows the text in a running engine, and the text is the same as without."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from triroute.engine.config import EngineConfig
from triroute.engine.core import Core
from triroute.engine.costs import Costs
from triroute.engine.engine import Engine
from triroute.engine.errors import InvalidRequest
from triroute.engine.model import Model
from triroute.engine.testing import Answer, run_all, run_one, tiny_checkpoint
from triroute.engine.types import (
    FormatKind,
    ModeName,
    PassKind,
    Plan,
    Request,
    ResponseFormat,
    Sampling,
    SegmentKind,
)

AR, DIFFUSION = Plan(ModeName.AUTOREGRESSIVE), Plan(ModeName.DIFFUSION, 6, 0.5, 3)
LINEAR, QUADRATIC = Plan(ModeName.LINEAR_SPECULATION, 5), Plan(ModeName.QUADRATIC_SPECULATION, 4)
PROSE, CODE, CALL = SegmentKind.PROSE, SegmentKind.CODE, SegmentKind.TOOL_CALL
MIXED = ResponseFormat(
    FormatKind.REGEX,
    r'[a-d ]{12}<tool_call>\{"name": "[a-c]{9}", "arguments": \{"code": "[a-f ]{20}", "n": [0-9]{9}\}\}</tool_call>'
    r"[a-d ]{12}",
)
BY_KIND = ((PROSE, LINEAR), (CALL, AR), (CODE, QUADRATIC))


def ask(name: str, plan: Plan = LINEAR, **fields: object) -> Request:
    request = Request(name, (65, 66, 67), plan, Sampling(max_tokens=160, temperature=1.0, seed=4), MIXED)
    return replace(request, **fields)  # type: ignore[arg-type]


def kinds(answer: Answer) -> list[SegmentKind]:
    return [kind for kind, _ in answer.segments]


def written(answer: Answer, number: int) -> list[PassKind]:
    """The kinds of pass that decoded in a segment."""
    return [r.kind for r in answer.records if r.segment == number and r.kind is not PassKind.PREFILL]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("code", [QUADRATIC, LINEAR, AR])
def test_same_text_with_segments_as_without(tiny_engine: Engine, code: Plan, seed: int) -> None:
    sampling = Sampling(max_tokens=160, temperature=1.0, seed=seed)
    plain = run_one(tiny_engine, ask("plain", AR, sampling=sampling))
    switched = run_one(tiny_engine, ask("switched", sampling=sampling, segments=((CALL, AR), (CODE, code))))
    assert (switched.token_ids, switched.text) == (plain.token_ids, plain.text)
    assert kinds(switched) == [PROSE, CALL, CODE, CALL, PROSE]
    assert [plan for _, plan in switched.segments] == [0, 1, 2, 1, 0]
    assert plain.segments == [(SegmentKind.UNSPECIFIED, 0)]


def test_each_segment_runs_its_own_mode(tiny_engine: Engine) -> None:
    answer = run_one(tiny_engine, ask("it", segments=BY_KIND))
    assert kinds(answer) == [PROSE, CALL, CODE, CALL, PROSE]
    assert set(written(answer, 0)) <= {PassKind.DRAFT, PassKind.VERIFY, PassKind.DECODE}
    assert set(written(answer, 1)) == {PassKind.DECODE}
    assert PassKind.VERIFY in written(answer, 2)
    assert set(written(answer, 3)) == {PassKind.DECODE}


def test_a_speculation_cycle_ends_before_another_mode_begins(tiny_engine: Engine) -> None:
    answer = run_one(tiny_engine, ask("it", segments=BY_KIND))
    decoding = [record for record in answer.records if record.kind is not PassKind.PREFILL]
    for before, after in pairwise(decoding):
        if before.kind is PassKind.DRAFT and before.proposed and before.segment != after.segment:
            assert before.segment == 2, "only quadratic speculation may drop what it drafted"


def test_the_call_is_told_with_its_tokens(tiny_engine: Engine) -> None:
    answer = run_one(tiny_engine, ask("it", segments=BY_KIND))
    (call,) = answer.calls
    said = b"".join(map(tiny_engine.tokenizer.token_bytes, answer.token_ids[call.first : call.end])).decode()
    assert said == f'{{"name": "{call.name}", "arguments": {call.arguments}}}'


def test_code_in_a_call_has_the_calls_plan_where_it_has_none(tiny_engine: Engine) -> None:
    answer = run_one(tiny_engine, ask("it", segments=((CALL, AR),)))
    assert answer.segments == [(PROSE, 0), (CALL, 1), (CODE, 1), (CALL, 1), (PROSE, 0)]


def test_tools_alone_have_calls_told(tiny_engine: Engine) -> None:
    answer = run_one(tiny_engine, ask("it", may_call=True))
    assert kinds(answer) == [PROSE, CALL, CODE, CALL, PROSE]
    assert len(answer.calls) == 1


def test_nothing_is_followed_where_nobody_asks(tiny_engine: Engine) -> None:
    answer = run_one(tiny_engine, ask("it"))
    assert (answer.segments, answer.calls) == ([(SegmentKind.UNSPECIFIED, 0)], [])


@pytest.mark.parametrize("plan", [LINEAR, QUADRATIC, AR])
def test_diffusion_begins_at_the_token_that_opened(tiny_engine: Engine, plan: Plan) -> None:
    """Whatever the pass that came to it, and whoever shares it: so its text is always the same."""
    alone = run_one(tiny_engine, ask("alone", AR, segments=((CODE, DIFFUSION),)))
    crowd = [
        ask("n1", DIFFUSION, segments=BY_KIND),
        ask("n2", QUADRATIC),
        ask("it", plan, segments=((CODE, DIFFUSION),)),
    ]
    together = run_all(tiny_engine, crowd)["it"]
    assert (together.token_ids, together.text) == (alone.token_ids, alone.text)
    diffused = {record.segment for record in together.records if record.kind is PassKind.DENOISE}
    assert diffused == {2}
    start = sum(len(record.committed) for record in together.records if record.segment < 2)
    before = b"".join(map(tiny_engine.tokenizer.token_bytes, together.token_ids[:start]))
    assert before.endswith(b'"code": "')


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("plan", [Plan(ModeName.LINEAR_SPECULATION, 12), Plan(ModeName.QUADRATIC_SPECULATION, 12)])
def test_what_was_drafted_beyond_is_for_diffusion_to_write(tiny_engine: Engine, plan: Plan, seed: int) -> None:
    """Wide drafts that nearly always hold go past the tag; those tokens are given back."""
    shape = ResponseFormat(FormatKind.REGEX, "[ab]{4}<think>[ab]{24}</think>[ab]{9}")
    fields = {"response_format": shape, "sampling": Sampling(max_tokens=60, temperature=1.7, seed=seed, top_k=2)}
    segments = ((SegmentKind.THINKING, DIFFUSION),)
    plain = run_one(tiny_engine, ask("plain", AR, segments=segments, **fields))
    drafted = run_one(tiny_engine, ask("drafted", plan, segments=segments, **fields))
    assert (drafted.token_ids, drafted.text) == (plain.token_ids, plain.text)
    before = [token for record in drafted.records if record.segment == 0 for token in record.committed]
    assert b"".join(map(tiny_engine.tokenizer.token_bytes, before)).endswith(b"<think>")


@pytest.mark.parametrize("cut", range(0, 160, 13))
def test_resumed_anywhere(tiny_engine: Engine, cut: int) -> None:
    """A fresh segmenter stands where the lost one stood."""
    whole = run_one(tiny_engine, ask("whole", segments=BY_KIND))
    kept = tuple(whole.token_ids[:cut])
    rest = run_one(tiny_engine, ask("rest", segments=BY_KIND, resume_ids=kept))
    assert [*kept, *rest.token_ids] == whole.token_ids
    assert set(rest.segments) <= set(whole.segments)
    assert rest.calls == [call for call in whole.calls if call.end > cut]


def test_the_widest_of_all_plans_must_fit() -> None:
    checkpoint = tiny_checkpoint()
    model = Model(checkpoint.weights, threads=1)
    core = Core(checkpoint.tokenizer, model, EngineConfig(cache_pages=4), Costs((1.0,) * 65))
    wide = Plan(ModeName.QUADRATIC_SPECULATION, 16)
    core.prepare(ask("fits", AR), None, print)
    with pytest.raises(InvalidRequest, match="of cache"):
        core.prepare(ask("it", AR, segments=((CODE, wide),)), None, print)
    model.close()


def test_the_embedded_model_writes_a_fence(engine: Engine) -> None:
    prompt = "<|im_start|>user\nWrite a Python function that adds two numbers.<|im_end|>\n<|im_start|>assistant\n"
    ids = tuple(engine.tokenizer.encode(prompt, special=True))
    sampling = Sampling(max_tokens=60)
    plain = run_one(engine, Request("plain", ids, AR, sampling))
    auto = Plan(ModeName.LINEAR_SPECULATION, 0)
    switched = run_one(engine, Request("switched", ids, AR, sampling, segments=((CODE, auto), (PROSE, QUADRATIC))))
    assert (switched.token_ids, switched.text) == (plain.token_ids, plain.text)
    assert CODE in kinds(switched), plain.text
    assert switched.finished is not None
    assert switched.finished.usage.accepted > 0
