"""The joint recipe on a tiny model: it learns to write in blocks, and its files are what was trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional

from triroute.engine.checkpoints.weights import Checkpoint, Weights
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.errors import CheckpointError, TrainingError
from triroute.engine.testing import run_one
from triroute.engine.training.answers import Answer
from triroute.engine.training.joint.checkpoint import FILE, export, load
from triroute.engine.training.joint.layout import arrange, starts
from triroute.engine.training.joint.measure import measure
from triroute.engine.training.joint.trainer import JointRecipe, JointTrainer, scores_of
from triroute.engine.training.report import Report
from triroute.engine.training.run import train
from triroute.engine.training.settings import Settings
from triroute.engine.training.state import load_state, save_state
from triroute.engine.training.torch_model import CPU, Part
from triroute.engine.types import ModeName, Plan, Request, Sampling

RECIPE = JointRecipe(block_length=8, sequences=4, rate=4e-3, narrow=False)
WORDS = ("abcde ", "one two, ", "0123456789", "{[()]}", "fizz buzz ", "tick tock\n", "la li lu ", "north-south ")
STEPS, LENGTH, PROMPT = 150, 72, 24


def patterned(shift: int) -> list[Answer]:
    """Each of the words again and again, begun `shift` letters late."""
    texts = [(word * LENGTH)[shift % len(word) :][:LENGTH] for word in WORDS]
    tokens = [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32) for text in texts]
    return [Answer(index, row, PROMPT, "prose") for index, row in enumerate(tokens)]


@contextmanager
def engine_on(weights: Weights, checkpoint: Checkpoint) -> Iterator[Engine]:
    served = Engine(lambda: replace(checkpoint, weights=weights), EngineConfig(threads=1, cache_mb=4))
    yield served
    served.close()


def blocks_right(engine: Engine, answers: list[Answer]) -> float:
    """Share of blocks that diffusion writes as the pattern goes on."""
    right = []
    for answer in answers:
        plan = Plan(ModeName.DIFFUSION, RECIPE.block_length, confidence_threshold=0.9)
        sampling = Sampling(max_tokens=LENGTH - PROMPT)
        prompt = tuple(answer.tokens[:PROMPT].tolist())
        found = run_one(engine, Request("joint", prompt, plan, sampling)).token_ids
        expected = answer.tokens[PROMPT:].tolist()
        width = RECIPE.block_length
        right += [found[at : at + width] == expected[at : at + width] for at in range(0, len(expected), width)]
    return float(np.mean(right))


@pytest.fixture(scope="module")
def trained(checkpoint: Checkpoint) -> tuple[JointTrainer, list[float]]:
    """A trainer after its run, and the losses on the way."""
    trainer = JointTrainer(checkpoint.weights, [*patterned(0), *patterned(3)], RECIPE)
    return trainer, [trainer.step(index / STEPS).loss for index in range(STEPS)]


def test_loss_falls_and_diffusion_writes_the_pattern(
    trained: tuple[JointTrainer, list[float]], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    trainer, losses = trained
    assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10])
    unseen = patterned(1)
    with engine_on(checkpoint.weights, checkpoint) as before:
        assert blocks_right(before, unseen) < 0.1
    export(tmp_path, trainer, checkpoint.sha256)
    with engine_on(load(tmp_path / FILE), checkpoint) as after:
        assert blocks_right(after, unseen) > 0.7
        exact = {mode: written(after, unseen[0], mode) for mode in ModeName if mode is not ModeName.DIFFUSION}
    assert all(tokens == unseen[0].tokens[PROMPT:].tolist() for tokens in exact.values()), exact


def written(engine: Engine, answer: Answer, mode: ModeName) -> list[int]:
    prompt = tuple(answer.tokens[:PROMPT].tolist())
    return run_one(engine, Request("exact", prompt, Plan(mode), Sampling(max_tokens=LENGTH - PROMPT))).token_ids


def test_one_look_goes_further(trained: tuple[JointTrainer, list[float]], checkpoint: Checkpoint) -> None:
    trainer, _ = trained
    fresh = JointTrainer(checkpoint.weights, patterned(0), RECIPE)
    assert measure(fresh, patterned(1)).accepted < 1
    found = measure(trainer, patterned(1))
    assert found.accepted > 4
    assert found.blocks == len(WORDS) * (LENGTH - PROMPT) // RECIPE.block_length


@pytest.mark.parametrize("blind", [0.0, 1.0])
def test_a_block_sees_what_decoding_shows_it(checkpoint: Checkpoint, blind: float) -> None:
    """Blocks score as each would alone, behind just the clean tokens before it; clean rows as without any block."""
    trainer = JointTrainer(checkpoint.weights, patterned(0), RECIPE)
    model, answer, width = trainer.model, patterned(2)[1], 5
    seeds = starts(answer, 1, width)
    draw = np.random.default_rng(3)
    shares = np.full(len(seeds), 0.6)
    batch = arrange([(answer, seeds)], width, trainer.mask_id, shares, blind, draw, CPU)
    length = len(answer.tokens) - 1
    with torch.no_grad():
        together = scores_of(model, batch, torch.arange(len(batch.tokens)))
        causal = torch.ones(length, length, dtype=torch.bool).tril()
        clean, made = model.run(model.embedding[batch.tokens[:length]], torch.arange(length), [Part(0, length, causal)])
        assert torch.allclose(functional.linear(clean, model.head), together[:length], atol=1e-4)
        at = length
        for seed in seeds.tolist():
            rows = min(width, length - seed)
            shown = batch.tokens[at : at + rows]
            assert (int(shown[0]) == trainer.mask_id) == bool(blind)
            past = [(keys[:, :seed], values[:, :seed]) for keys, values in made]
            seen = torch.ones(rows, seed + rows, dtype=torch.bool)
            alone, _ = model.run(model.embedding[shown], torch.arange(seed, seed + rows), [Part(0, rows, seen, past)])
            assert torch.allclose(functional.linear(alone, model.head), together[at : at + rows], atol=1e-4)
            at += rows
    for row, target in zip(batch.noisy.tolist(), batch.targets.tolist(), strict=True):
        assert target == answer.tokens[int(batch.positions[row]) + 1]
        last_of_block = (int(batch.positions[row]) - seeds[0]) % width == width - 1
        assert last_of_block or row + 1 == len(batch.tokens) or batch.tokens[row + 1] == trainer.mask_id
    assert torch.allclose(batch.weights, torch.tensor(1 / 0.6))
    assert batch.following.tolist() == answer.tokens[PROMPT:].tolist()


def test_masked_tokens_weigh_as_much_as_all_would(checkpoint: Checkpoint) -> None:
    """Over many draws, a loss of one a token comes to one, whatever the share that is masked."""
    trainer = JointTrainer(checkpoint.weights, [*patterned(0), *patterned(3)], RECIPE)
    came = []
    for step in range(300):
        trainer.updates.steps = step
        batch = trainer._batch()
        came.append(float(batch.weights.sum()) / batch.proposed)
    assert np.mean(came) == pytest.approx(1.0, abs=4 * np.std(came) / len(came) ** 0.5)


def test_resumed_run_equals_an_uninterrupted_one(checkpoint: Checkpoint, tmp_path: Path) -> None:
    def fresh(recipe: JointRecipe = RECIPE) -> JointTrainer:
        return JointTrainer(checkpoint.weights, patterned(0), recipe)

    whole, first, second = fresh(), fresh(), fresh()
    for index in range(4):
        whole.step(index / 4)
    for index in range(2):
        first.step(index / 4)
    save_state(tmp_path / "state", first, 1.0, checkpoint.sha256)
    assert load_state(tmp_path / "state", second, checkpoint.sha256).steps == 2
    for index in range(2, 4):
        second.step(index / 4)
    for name, value in whole.parameters.items():
        assert torch.equal(value, second.parameters[name]), name
    with pytest.raises(TrainingError, match="other options"):
        load_state(tmp_path / "state", fresh(replace(RECIPE, ar_weight=0.5)), checkpoint.sha256)


def test_hugging_face_reads_it_as_a_llama(
    trained: tuple[JointTrainer, list[float]], checkpoint: Checkpoint, tmp_path: Path
) -> None:
    transformers = pytest.importorskip("transformers")
    trainer, _ = trained
    export(tmp_path, trainer, checkpoint.sha256)
    llama = transformers.LlamaForCausalLM.from_pretrained(tmp_path, dtype=torch.float32)
    answer = patterned(0)[2]
    batch = arrange(
        [(answer, starts(answer, 0, 8))], 8, trainer.mask_id, np.ones(6), 0.0, np.random.default_rng(0), CPU
    )
    with torch.no_grad():
        trainer.model.use((name, value.bfloat16()) for name, value in trainer.parameters.items())
        ours = scores_of(trainer.model, batch, torch.arange(len(answer.tokens) - 1))
        theirs = llama(torch.from_numpy(answer.tokens[None, :-1].astype(np.int64))).logits[0]
    assert (ours - theirs).abs().max() < 1e-3 * ours.std()


def test_a_whole_run_and_its_continuation(checkpoint: Checkpoint, tmp_path: Path) -> None:
    report = Report(Console(quiet=True))
    recipe = replace(RECIPE, narrow=True)
    settings = Settings(
        None, tmp_path, recipe, minutes=None, steps=3, answers=12, max_tokens=32, public=False, threads=1
    )
    train(settings, checkpoint, report)
    train(replace(settings, steps=4), checkpoint, report)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "0", "1", "2", "3", "3", "4", "4"]
    assert (tmp_path / "loss.png").exists()
    assert load(tmp_path / FILE).config == checkpoint.weights.config


def test_bad_files_are_named(checkpoint: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / FILE
    with pytest.raises(CheckpointError, match="can't be read"):
        load(path)
    export(tmp_path, JointTrainer(checkpoint.weights, patterned(0), RECIPE), checkpoint.sha256)
    good = path.read_bytes()
    path.write_bytes(good.replace(b"layers.1.mlp.up_proj", b"layers.1.mlp.xx_proj"))
    with pytest.raises(CheckpointError, match=r"is damaged: .*up_proj"):
        load(path)
    path.write_bytes(good.replace(b"triroute-joint", b"triroute-other"))
    with pytest.raises(CheckpointError, match="is not a checkpoint of format"):
        load(path)
