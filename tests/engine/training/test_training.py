"""Training end to end on a tiny model: it learns, goes on where it was, and its file is what was measured."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console
from torch.nn import functional

from triroute.engine.adapters import load_adapter
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.errors import CheckpointError, TrainingError
from triroute.engine.model import Model
from triroute.engine.training.answers import Answer, read_answers
from triroute.engine.training.blocks import accepted, arrange
from triroute.engine.training.clean import CleanStream
from triroute.engine.training.journal import Journal
from triroute.engine.training.lora import Lora
from triroute.engine.training.measure import measure
from triroute.engine.training.report import Report
from triroute.engine.training.run import train
from triroute.engine.training.settings import Settings
from triroute.engine.training.state import export, load_state, save_state
from triroute.engine.training.torch_model import Part, TorchModel
from triroute.engine.training.trainer import Recipe, Step, Trainer

RECIPE = Recipe(rank=8, hydra=16, block_length=4, widths=(3,), sequences=2, blocks=12, rate=0.01, mask_rate=0.01)
SHA = "0" * 64
Make = Callable[[Recipe], Trainer]


@pytest.fixture
def make(checkpoint: Checkpoint, model: Model, answers: list[Answer]) -> Make:
    def trainer(recipe: Recipe) -> Trainer:
        twin = TorchModel(checkpoint.weights)
        lora = Lora(twin, recipe.targets, recipe.rank, recipe.hydra, recipe.scale, recipe.seed)
        return Trainer(twin, lora, CleanStream(model, 1 << 28), answers[:24], recipe)

    return trainer


def test_loss_falls_and_held_out_drafts_hold(make: Make, model: Model, answers: list[Answer]) -> None:
    trainer, held_out = make(RECIPE), answers[24:]

    def held() -> float:
        return measure(trainer.model, trainer.exported(), CleanStream(model, 1 << 28), held_out, 3, 8).accepted

    before = held()
    steps = [trainer.step(index / 80) for index in range(80)]
    assert np.mean([s.loss for s in steps[-10:]]) < 0.8 * np.mean([s.loss for s in steps[:10]])
    assert held() > before + 0.2


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_resumed_run_equals_an_uninterrupted_one(make: Make, tmp_path: Path, average: float) -> None:
    recipe = replace(RECIPE, average=average)
    whole, first = make(recipe), make(recipe)
    for index in range(6):
        whole.step(index / 6)
    for index in range(3):
        first.step(index / 6)
    save_state(tmp_path / "state", first, 1.5, SHA)
    second = make(recipe)
    place = load_state(tmp_path / "state", second, SHA)
    assert (place.steps, place.seconds) == (3, 1.5)
    for index in range(3, 6):
        second.step(index / 6)
    for name, value in whole.exported().items():
        assert torch.equal(value, second.exported()[name]), name


def test_state_of_another_run_is_refused(make: Make, tmp_path: Path) -> None:
    trainer = make(RECIPE)
    trainer.step(0.5)
    save_state(tmp_path / "state", trainer, 1.0, SHA)
    with pytest.raises(TrainingError, match="other options"):
        load_state(tmp_path / "state", make(replace(RECIPE, rate=0.1)), SHA)
    with pytest.raises(TrainingError, match="another checkpoint"):
        load_state(tmp_path / "state", make(RECIPE), "1" * 64)
    (tmp_path / "state").write_bytes(b"half a file")
    with pytest.raises(TrainingError, match="can't be read"):
        load_state(tmp_path / "state", make(RECIPE), SHA)


def test_blocks_see_what_drafting_shows_them(make: Make, model: Model, answers: list[Answer]) -> None:
    """Many blocks in one pass give what each gives alone, behind just the tokens before it."""
    trainer, answer = make(RECIPE), answers[0]
    stream = CleanStream(model, 0)
    clean, masks = stream.get(answer), 3
    starts = [answer.prompt, answer.prompt + 7, len(answer.tokens) - 2]
    batch = arrange([(clean, starts)], masks)
    wanted = [place for start in starts for place in range(start + 1, start + 1 + masks)][:7]
    assert batch.targets.tolist() == answer.tokens[wanted].tolist()
    rows = trainer.lora.mask_embedding.expand(len(batch.positions), -1)
    with torch.no_grad():
        together, _ = trainer.model.run(rows, batch.positions, batch.parts)
        at = 0
        for start in starts:
            width = min(masks, len(answer.tokens) - 1 - start)
            past = [(layer[0][:, :start], layer[1][:, :start]) for layer in clean.past]
            seen = torch.ones(width, start + width, dtype=torch.bool)
            alone, _ = trainer.model.run(rows[:width], torch.arange(start, start + width), [Part(0, width, seen, past)])
            assert torch.allclose(alone.float(), together[at : at + width].float(), atol=0.05)
            at += width


def test_clean_stream_is_the_twins(make: Make, model: Model, answers: list[Answer]) -> None:
    trainer, answer = make(RECIPE), answers[1]
    clean = CleanStream(model, 0).get(answer)
    length = len(answer.tokens)
    stream = trainer.model.embedding[torch.from_numpy(answer.tokens.astype(np.int64))].float()
    causal = torch.ones(length, length, dtype=torch.bool).tril()
    with torch.no_grad():
        states, made = trainer.model.run(stream, torch.arange(length), [Part(0, length, causal)])
        scores = functional.linear(states, trainer.model.head).float()
    for (keys, values), past in zip(made, clean.past, strict=True):
        assert (keys.float() - past[0].float()).abs().mean() < 0.05 * past[0].float().std()
        assert (values.float() - past[1].float()).abs().mean() < 0.05 * past[1].float().std()
    assert (scores.argmax(-1)[answer.prompt - 1 : -1].numpy() == clean.likely[:, 0]).mean() > 0.9


def test_accepted_counts_agreeing_beginnings(make: Make, model: Model, answers: list[Answer]) -> None:
    clean = CleanStream(model, 0).get(answers[0])
    start = answers[0].prompt
    batch = arrange([(clean, [start, start + 5, start + 9])], 3)
    drafts = batch.targets.clone()
    drafts[1], drafts[3] = -1, -1
    assert accepted(batch, drafts).tolist() == [1, 0, 3]


def test_exported_file_loads(make: Make, checkpoint: Checkpoint, tmp_path: Path) -> None:
    trainer, path = make(replace(RECIPE, targets=("qkv", "down"))), tmp_path / "adapter.safetensors"
    trainer.step(0.5)
    export(path, trainer, checkpoint.sha256)
    adapter = load_adapter(path, checkpoint.weights.config, checkpoint.sha256)
    assert (adapter.rank, adapter.targets, adapter.block_length) == (8, ("qkv", "down"), 4)
    a, b = adapter.layers[1]["down"]
    expected = trainer.lora.parameters["layers.1.down.b"].detach() * RECIPE.scale
    assert np.allclose(b, expected.numpy(), rtol=2**-8)
    assert a.shape == (8, 96)
    assert json.loads(adapter.metadata["recipe"])["rank"] == 8


def test_a_whole_run_and_its_continuation(checkpoint: Checkpoint, tmp_path: Path) -> None:
    report = Report(Console(quiet=True))
    settings = Settings(
        None, tmp_path, RECIPE, minutes=None, steps=4, answers=12, max_tokens=32, public=False, threads=1, cache_gb=0.1
    )
    train(settings, checkpoint, report)
    load_adapter(tmp_path / "adapter.safetensors", checkpoint.weights.config, checkpoint.sha256)
    train(replace(settings, steps=6), checkpoint, report)
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["step", "0", "1", "2", "3", "4", "4", "5", "6", "6"]
    assert len(read_answers(tmp_path / "answers.safetensors")) > 6  # the others' prompts are too long in bytes
    with pytest.raises(TrainingError, match="another recipe"):
        train(replace(settings, max_tokens=24), checkpoint, report)


def test_answers_to_other_prompts_are_refused(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """As many, of the same kinds, but for a word."""
    report, asked = Report(Console(quiet=True)), tmp_path / "asked.jsonl"
    settings = Settings(
        None, tmp_path, RECIPE, None, 1, max_tokens=24, prompts=asked, held_out=asked, public=False, threads=1
    )
    lines = [f'{{"workload": "plan", "raw": "Plan a picnic for {guests}"}}\n' for guests in range(8)]
    asked.write_text("".join(lines))
    train(settings, checkpoint, report)
    train(settings, checkpoint, report)
    asked.write_text("".join(lines).replace("picnic for 3", "parade for 3"))
    with pytest.raises(TrainingError, match=r"answers\.safetensors was made with other prompts; delete it"):
        train(settings, checkpoint, report)


def test_ctrl_c_keeps_what_was_learned(checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    report, step = Report(Console(quiet=True)), Trainer.step
    settings = Settings(
        None, tmp_path, RECIPE, minutes=None, steps=5, answers=8, max_tokens=24, public=False, threads=1
    )

    def interrupted(trainer: Trainer, progress: float) -> Step:
        if trainer.steps == 3:
            raise KeyboardInterrupt
        return step(trainer, progress)

    monkeypatch.setattr(Trainer, "step", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(settings, checkpoint, report)
    monkeypatch.undo()
    config = checkpoint.weights.config
    path = tmp_path / "adapter.safetensors"
    assert load_adapter(path, config, checkpoint.sha256).metadata["steps"] == "3"
    train(settings, checkpoint, report)
    assert load_adapter(path, config, checkpoint.sha256).metadata["steps"] == "5"


def test_interrupted_answers_go_on(checkpoint: Checkpoint, answers: list[Answer], tmp_path: Path) -> None:
    """An adapter folder copied half-way gives the same answers."""
    report = Report(Console(quiet=True))
    one, other = tmp_path / "one", tmp_path / "other"
    settings = Settings(None, one, RECIPE, minutes=None, steps=1, answers=6, max_tokens=24, public=False, threads=1)
    train(settings, checkpoint, report)
    other.mkdir()
    shutil.copy(one / "held_out.safetensors", other)
    train(replace(settings, out=other), checkpoint, report)
    for left, right in zip(*(read_answers(p / "answers.safetensors") for p in (one, other)), strict=True):
        assert (left.index, left.tokens.tolist()) == (right.index, right.tokens.tolist())


def test_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.csv"
    path.write_text("as it was")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(TrainingError, match="No space left on device; make room"):
        Journal(path).write()
    assert [file.name for file in tmp_path.iterdir()] == ["log.csv"]
    assert path.read_text() == "as it was"


def test_damaged_log_is_named(tmp_path: Path) -> None:
    good = tmp_path / "log.csv"
    good.write_text("step\n1\nx\n")
    with pytest.raises(TrainingError, match="delete it"):
        Journal.open(good, 5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[: len(data) // 2], "not a readable safetensors file"),
        (lambda data: b"GGUF" + data[4:], "not a readable safetensors file"),
        (lambda data: data.replace(b"layers.0.qkv.a", b"layers.0.qkv.z"), "is missing or unknown"),
        (lambda data: data.replace(b"triroute-draft-adapter-1", b"triroute-draft-adapter-9"), "not a draft adapter"),
        (lambda data: data.replace(SHA.encode(), b"1" * 64), "another checkpoint"),
        (lambda data: data.replace(b'"rank":"8"', b'"rank":"7"'), "has shape"),
        (lambda data: data.replace(b'"rank":"8"', b'"rank":"x"'), "is damaged"),
        (lambda data: data[:-4] + b"\x80\x7f\x80\x7f", "not finite"),
    ],
)
def test_bad_adapter_files(
    make: Make, checkpoint: Checkpoint, tmp_path: Path, change: Callable[[bytes], bytes], message: str
) -> None:
    path = tmp_path / "adapter.safetensors"
    export(path, make(RECIPE), checkpoint.sha256)
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(CheckpointError, match=message):
        load_adapter(path, checkpoint.weights.config, checkpoint.sha256)


def test_missing_adapter(checkpoint: Checkpoint, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="can't be read"):
        load_adapter(tmp_path / "none", checkpoint.weights.config, checkpoint.sha256)
