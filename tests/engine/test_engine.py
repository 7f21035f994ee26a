"""The engine's own rules: what it refuses, and that nothing a request does hurts its neighbours."""

from __future__ import annotations

import queue
from pathlib import Path

import pytest

from triroute.engine.checkpoints import default_checkpoint
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import CheckpointError, Duplicate, InvalidRequest
from triroute.engine.testing import run_all, run_one, tiny_checkpoint
from triroute.engine.types import (
    Event,
    Failed,
    Finished,
    FinishReason,
    FormatKind,
    ModeName,
    Plan,
    Request,
    ResponseFormat,
    Sampling,
)


def test_over_the_context(tiny_engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="pass the context of 1024; shorten the prompt"):
        tiny_engine.submit(Request("a", (1,) * 1000, sampling=Sampling(max_tokens=25)), None, print)


def test_over_the_cache() -> None:
    small = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=1, max_running=4))
    try:
        assert small.load_now().cache_tokens >= 1024
    finally:
        small.close()


def test_empty_prompt(tiny_engine: Engine) -> None:
    with pytest.raises(InvalidRequest, match="no tokens"):
        tiny_engine.submit(Request("a", ()), None, print)


def test_duplicate(tiny_engine: Engine) -> None:
    events: queue.Queue[Event] = queue.Queue()
    request = Request("twin", (1, 2, 3), sampling=Sampling(max_tokens=900))
    tiny_engine.submit(request, None, events.put)
    with pytest.raises(Duplicate, match="twin"):
        tiny_engine.submit(request, None, events.put)
    assert tiny_engine.abort("twin")
    event = events.get(timeout=10)
    while not isinstance(event, Finished):
        event = events.get(timeout=10)
    assert event.reason is FinishReason.ABORTED
    assert not tiny_engine.abort("twin")
    assert tiny_engine.load_now().cache_tokens_used == 0


def test_waits_when_the_cache_is_full() -> None:
    engine = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=1, max_running=2))
    try:
        requests = [Request(f"r{n}", (n,), sampling=Sampling(max_tokens=30, seed=n)) for n in range(9)]
        together = run_all(engine, requests)
        for request in requests:
            assert together[request.request_id].token_ids == run_one(engine, request).token_ids
        engine.scheduler.check_integrity()
    finally:
        engine.close()


def test_preempts_the_youngest_when_the_cache_runs_out() -> None:
    """Eight requests that together need twice the cache: all end, with the text of a solitary run."""
    engine = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=1, max_running=8))
    modes = [ModeName.AUTOREGRESSIVE, ModeName.LINEAR_SPECULATION, ModeName.DIFFUSION]
    try:
        requests = [
            Request(f"r{n}", (n,) * 200, Plan(modes[n % 3], 9), Sampling(max_tokens=800, temperature=1.0, seed=n))
            for n in range(8)
        ]
        together = run_all(engine, requests)
        engine.scheduler.check_integrity()
        finished = [answer.finished for answer in together.values() if answer.finished]
        assert sum(end.usage.preemptions for end in finished) > 0
        for request in requests:
            alone = run_one(engine, request)
            assert together[request.request_id].token_ids == alone.token_ids
            assert alone.finished is not None
            assert alone.finished.usage.cached_prompt_tokens <= 192
    finally:
        engine.close()


def test_a_known_beginning_is_not_prefilled_again() -> None:
    engine = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=4))
    prompt = tuple(range(200))
    try:
        first, again, longer, other = (
            run_one(engine, Request(name, ids, sampling=Sampling(max_tokens=9)))
            for name, ids in (("a", prompt), ("b", prompt), ("c", (*prompt, 7)), ("d", (9, *prompt[1:])))
        )
        assert again.token_ids == first.token_ids
        cached = [
            answer.finished.usage.cached_prompt_tokens for answer in (first, again, longer, other) if answer.finished
        ]
        assert cached == [0, 192, 192, 0]
        engine.scheduler.check_integrity()
    finally:
        engine.close()


def test_a_grammar_that_fails_hurts_nobody_else(tiny_engine: Engine) -> None:
    """One that leads to where nothing can follow, beside a free neighbour."""
    shape = ResponseFormat(FormatKind.LARK, 'start: /[ab]{40}/ lost\nlost: lost "c"')
    answers = run_all(
        tiny_engine,
        [
            Request("shaped", (1,), Plan(ModeName.LINEAR_SPECULATION, 4), Sampling(max_tokens=60), shape),
            Request("free", (2,), sampling=Sampling(max_tokens=20)),
        ],
    )
    failed = answers["shaped"].failed
    assert failed is not None
    assert failed.field == "response_format.lark"
    assert "can't be followed further" in failed.message
    assert (
        answers["free"].token_ids
        == run_one(tiny_engine, Request("f", (2,), sampling=Sampling(max_tokens=20))).token_ids
    )


@pytest.mark.parametrize("mode", [ModeName.LINEAR_SPECULATION, ModeName.QUADRATIC_SPECULATION])
def test_a_repetition_that_a_grammar_can_not_follow_hurts_nobody_else(tiny_engine: Engine, mode: ModeName) -> None:
    """Prompt lookup follows what repeats while the next pass is planned, for all."""
    prompt = tuple(tiny_engine.tokenizer.encode("ab" * 12))
    requests = [Request("free", (2,), sampling=Sampling(max_tokens=40))]
    for count in range(7, 31):
        shape = ResponseFormat(FormatKind.LARK, f'start: /[ab]{{{count}}}/ lost\nlost: lost "c"')
        requests.append(Request(f"{count}", prompt, Plan(mode, 8), Sampling(max_tokens=60), shape))
    free, *shaped = run_all(tiny_engine, requests).values()
    assert free.finished is not None
    assert {answer.failed and answer.failed.field for answer in shaped} == {"response_format.lark"}


def test_close_fails_what_runs() -> None:
    engine = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=4))
    events: queue.Queue[Event] = queue.Queue()
    engine.submit(Request("a", (1,), sampling=Sampling(max_tokens=1000)), None, events.put)
    events.get(timeout=10)
    engine.close()
    last = [events.get() for _ in range(events.qsize())][-1]
    assert isinstance(last, (Failed, Finished))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a file"),
        (b"", "is not a GGUF file"),
        (b"PK\x03\x04 a zip", "is not a GGUF file"),
        (b"GGUF" + b"\xff" * 64, "not a readable GGUF file"),
    ],
)
def test_bad_checkpoints(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "model.gguf"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        Engine.load(path, EngineConfig())


def test_truncated_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(default_checkpoint().read_bytes()[:20_000_000])
    with pytest.raises(CheckpointError, match="download it again"):
        Engine.load(path, EngineConfig())


def test_failed_pass_names_the_steps_in_it(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=1, max_running=2))
    try:

        def broken() -> None:
            raise RuntimeError("a tensor went missing")

        events: queue.Queue[Event] = queue.Queue()
        request = Request("one", (1, 2), sampling=Sampling(max_tokens=9), trace_id="5" * 32)
        monkeypatch.setattr(engine.loop, "_forward", lambda turns: broken())
        engine.submit(request, None, events.put)
        event = events.get(timeout=10)
        while not isinstance(event, Failed):
            event = events.get(timeout=10)
        (line,) = [entry for entry in caplog.records if entry.name == "triroute.engine"]
        assert vars(line)["trace_ids"] == ["5" * 32]
        assert vars(line)["request_ids"] == ["one"]
    finally:
        monkeypatch.undo()
        engine.close()
