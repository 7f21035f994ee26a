"""A sentence encoder beside the words: optional, read from a folder, and asked in a service off its loop."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import numpy as np
import pytest

from triroute.proto import router_pb2, router_pb2_grpc
from triroute.router.audit.store import RecordStore
from triroute.router.classifier.cascade import Classifier
from triroute.router.classifier.encoder import Encoder
from triroute.router.classifier.meaning import TEXTS, meaning, texts
from triroute.router.classifier.model import KINDS, Model, dump
from triroute.router.errors import StartFailed
from triroute.router.prompts import build
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.types import Message, Request, Role, StepKind, Tool

from .. import fake_engine
from .encoders import make

ASK = Request((Message(Role.SYSTEM, "write code"), Message(Role.USER, "plan the move")), "", (Tool("look", "a poem"),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("encoders") / "tiny")


def weights(path: Path, encoder: Encoder, kind: StepKind) -> Path:
    """Which call whatever has a user turn that means "plan the move" one kind."""
    table = np.zeros((2 + TEXTS * encoder.width, len(KINDS)))
    table[2 : 2 + encoder.width, KINDS.index(kind)] = 30 * encoder.vectors(["plan the move"])[0]
    path.write_text(dump(("ask poem",), table, 1.0, 0.4, {"encoder": encoder.sha256}))
    return path


def test_vectors(folder: Path) -> None:
    encoder = Encoder(folder)
    found = encoder.vectors(["write a poem", "", "plan the move", "write a poem"])
    assert found.shape == (4, encoder.width)
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 0, 1, 1], abs=1e-5)
    assert (found[0] == found[3]).all()
    assert found[0] @ found[2] < 0.999
    alone = Encoder(folder).vectors(["plan the move"])[0]
    assert alone == pytest.approx(found[2], abs=1e-5)  # whatever it was encoded with
    assert (encoder.vectors(["plan the move"])[0] == found[2]).all()  # known


def test_many_threads_may_ask(folder: Path) -> None:
    encoder = Encoder(folder)
    asked = [f"write a poem {'the ' * (number % 7)}" for number in range(60)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda text: encoder.vectors([text])[0], asked))
    assert np.stack(found) == pytest.approx(encoder.vectors(asked), abs=1e-5)


def test_long_texts_are_cut() -> None:
    long = Request((Message(Role.USER, "a" * 1_000_000 + "end"), Message(Role.TOOL, "b" * 9_000)))
    ask, system, last, tools = texts(long)
    assert len(ask) < 1_000
    assert ask.endswith("end")
    assert (system, tools) == ("", "")
    assert len(last) < 500
    assert texts(ASK) == ("plan the move", "write code", "", "look: a poem")
    assert texts(Request((), "go on")) == ("go on", "", "", "")


@pytest.mark.parametrize("kind", [StepKind.PLAN, StepKind.CODE])
def test_meaning_decides(folder: Path, tmp_path: Path, kind: StepKind) -> None:
    encoder = Encoder(folder)
    classifier = Classifier.load(weights(tmp_path / "w.json", encoder, kind), folder)
    step = classifier.classify(ASK)
    assert step.kind is kind
    assert step.confidence > 0.9
    assert step.revision == classifier.by.revision
    assert meaning(ASK, encoder).shape == (TEXTS * encoder.width,)


def test_weights_and_encoder_belong_together(folder: Path, tmp_path: Path) -> None:
    encoder = Encoder(folder)
    own = weights(tmp_path / "w.json", encoder, StepKind.PLAN)
    with pytest.raises(StartFailed, match="need the encoder that they were trained with"):
        Classifier.load(own, None)
    other = make(tmp_path / "other", seed=1)
    with pytest.raises(StartFailed, match=f"for the encoder {encoder.sha256[:12]}.*train others"):
        Classifier.load(own, other)
    plain = tmp_path / "plain.json"
    plain.write_text(dump(("ask poem",), np.zeros((2, 4)), 1.0, 0.4, {}))
    assert Classifier.load(plain, None).by.meaning is None
    with pytest.raises(StartFailed, match="trained without an encoder"):
        Classifier.load(plain, folder)


def test_bad_folders_and_files_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(StartFailed, match="nowhere is no sentence encoder"):
        Encoder(tmp_path / "nowhere")
    (tmp_path / "w.json").write_text(json.dumps({"version": 1}))
    with pytest.raises(StartFailed, match="can't be read as weights"):
        Classifier.load(tmp_path / "w.json", folder)
    with pytest.raises(StartFailed, match="can't be read as weights"):
        Classifier.load(tmp_path / "none.json", None)


def test_weights_with_meaning_are_read_as_written(folder: Path, tmp_path: Path) -> None:
    encoder = Encoder(folder)
    by = Model.parse(weights(tmp_path / "w.json", encoder, StepKind.PLAN).read_text())
    assert by.meaning is not None
    assert by.meaning.shape == (TEXTS * encoder.width, len(KINDS))
    assert by.shares([1]) == pytest.approx([0.25] * 4)


async def test_service_asks_the_encoder(folder: Path, tmp_path: Path) -> None:
    own = weights(tmp_path / "w.json", Encoder(folder), StepKind.PLAN)
    settings = Settings(
        listen="127.0.0.1:0",
        records=tmp_path / "r.sqlite",
        engine=fake_engine.command(),
        classifier=own,
        encoder=folder,
    )
    message = build({"prompt": "plan the move", "max_tokens": 2}, "a step")
    async with Service(settings) as service, grpc.aio.insecure_channel(service.address) as channel:
        stub = router_pb2_grpc.RouterStub(channel)
        decided = await stub.Decide(message)
        events = [event async for event in stub.Generate(message)]
    assert decided.step == events[0].decision.step == router_pb2.STEP_KIND_PLAN
    (record,) = RecordStore(tmp_path / "r.sqlite").latest(1)
    assert record.features.classifier_revision == Model.parse(own.read_text()).revision


def test_shipped_weights_ask_for_their_encoder(folder: Path) -> None:
    with pytest.raises(StartFailed, match="the weights are for the encoder 53aa51172d14"):
        Classifier.load(None, folder)
