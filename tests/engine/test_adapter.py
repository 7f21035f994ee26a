"""The adapter that ships: loaded by default, no effect on autoregression, more drafts that hold. Bad ones: refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from triroute.engine.checkpoints import default_checkpoint, load_checkpoint, shipped_adapter
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import CheckpointError
from triroute.engine.testing import run_one
from triroute.engine.types import DraftSource, ModeName, Plan, Request, Sampling

PROMPTS = ("How do I boil an egg?", "Write an SQL query that counts users by country.", "Plan a weekend in Rome.")
DRAFTS = frozenset({DraftSource.DIFFUSION})


def _run(engine: Engine, prompt: str, plan: Plan) -> tuple[list[int], int]:
    """Tokens, and drafts that held."""
    text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
    ids = tuple(engine.tokenizer.encode(text, special=True))
    answer = run_one(engine, Request("a", ids, plan, Sampling(max_tokens=60)))
    assert answer.finished is not None
    return answer.token_ids, answer.finished.usage.accepted


def test_drafts_hold_more_often_and_autoregression_stays(engine: Engine) -> None:
    plain = Engine.load(None, EngineConfig(threads=2, cache_mb=64), adapted=False)
    linear = Plan(ModeName.LINEAR_SPECULATION, 8, draft_sources=DRAFTS)
    held, without = 0, 0
    try:
        assert engine.adapter_sha256
        assert not plain.adapter_sha256
        for prompt in PROMPTS:
            expected, _ = _run(plain, prompt, Plan(ModeName.AUTOREGRESSIVE))
            for one in (engine, plain):
                assert _run(one, prompt, Plan(ModeName.AUTOREGRESSIVE))[0] == expected
                assert _run(one, prompt, linear)[0] == expected
            held += _run(engine, prompt, linear)[1]
            without += _run(plain, prompt, linear)[1]
    finally:
        plain.close()
    assert held > 2 * without


def test_one_for_another_checkpoint_is_refused(tmp_path: Path) -> None:
    sha256 = load_checkpoint(default_checkpoint()).sha256
    shipped = shipped_adapter(sha256)
    assert shipped is not None
    path = tmp_path / "other.safetensors"
    path.write_bytes(shipped.read_bytes().replace(sha256.encode(), b"f" * 64))
    with pytest.raises(CheckpointError, match=r"was trained for another checkpoint .*triroute train-adapter"):
        Engine.load(None, EngineConfig(), path)


def test_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"can't be read: No such file"):
        Engine.load(None, EngineConfig(), tmp_path / "nothing.safetensors")
