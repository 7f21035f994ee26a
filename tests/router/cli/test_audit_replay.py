"""Which captured steps are run again, and what is said of those that are not; e2e/test_replay.py runs them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from triroute.proto import audit_pb2, decoding_pb2, router_pb2
from triroute.router.audit.body import FIRST_DICTIONARY, pack, unpack
from triroute.router.audit.store import RecordStore
from triroute.router.audit.writer import RecordWriter
from triroute.router.capture.content import Captured, ContentStore, content_file
from triroute.router.capture.redact import redact
from triroute.router.capture.replay import Again, Compared, Ran, Replayed
from triroute.router.cli import audit_replay
from triroute.router.cli.app import app
from triroute.router.cli.audit_replay import captured
from triroute.router.errors import Damaged, NotFound
from triroute.router.prompts import build
from triroute.router.run import digest

from ..audit.logs import look, record, tamper

IDS = [f"{0x100000 + number:032x}" for number in range(3)]
PLAN = {
    "mode": decoding_pb2.MODE_SELF_SPECULATION,
    "variant": decoding_pb2.VARIANT_LINEAR,
    "verification": decoding_pb2.VERIFICATION_EXACT,
}
RELAXED = PLAN | {"verification": decoding_pb2.VERIFICATION_RELAXED}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    place, writer = tmp_path / "r.sqlite", RecordWriter(tmp_path / "r.sqlite")
    for number in range(3):
        one, message = record(0x100000 + number), build({"prompt": f"step {number}"}, "a step")
        one.captured, one.request_sha256 = True, digest(b"salt", message)
        one.decision.plan.CopyFrom(decoding_pb2.DecodePlan(**PLAN))
        writer.add(one)
        ContentStore(content_file(place)).put(one.request_id, Captured(message, b"salt"))
    refused = record(0x100003)
    refused.captured, refused.error = True, "INVALID_ARGUMENT: no"
    refused.decision.rule_id = ""
    writer.add(refused)
    writer.close()
    return place


def newest(log: Path, count: int) -> list[str]:
    return [again.record.request_id for again in captured(RecordStore(log), log, [], count, None)]


def test_the_newest_that_are_there(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert newest(log, 9) == IDS[::-1]
    assert newest(log, 2) == IDS[:0:-1]
    redact(log, None, [IDS[1]], "asked", "me")
    capsys.readouterr()
    assert newest(log, 9) == [IDS[2], IDS[0]]
    assert f"skipped: the content of {IDS[1]}" in capsys.readouterr().err
    redact(log, None, IDS, "asked", "me")
    with pytest.raises(NotFound, match=r"of the newest 3 captured steps of .*, no content is left"):
        newest(log, 9)
    with pytest.raises(NotFound, match="was redacted"):
        captured(RecordStore(log), log, [IDS[1]], 0, None)


def test_one_that_was_changed_is_refused_and_not_skipped(log: Path) -> None:
    ContentStore(content_file(log)).put(IDS[1], Captured(build({"prompt": "another"}, "a step"), b"salt"))
    with pytest.raises(NotFound, match="its hash differs"):
        newest(log, 9)


def test_a_record_that_was_changed_with_its_request_is_refused(log: Path) -> None:
    """By somebody with all files and no key, so that the content's hash is the one in the record."""
    message = build({"prompt": "another"}, "a step")
    ContentStore(content_file(log)).put(IDS[1], Captured(message, b"salt"))
    packing, body = look(log, "SELECT packing, body FROM entry WHERE number = 1")
    (words,) = look(log, "SELECT body FROM dictionary")
    entry = audit_pb2.AuditEntry.FromString(unpack(packing, body, {FIRST_DICTIONARY: words}))
    entry.record.request_sha256 = digest(b"salt", message)
    tamper(log, "UPDATE entry SET packing = ?, body = ? WHERE number = 1", values=pack(entry.SerializeToString()))
    for command in (["replay", IDS[1]], ["replay", "--last", "2"], ["what-if", IDS[1], "--mode", "autoregressive"]):
        done = CliRunner().invoke(app, ["audit", *command, "--records", str(log)])
        assert isinstance(done.exception, Damaged)
        assert "entry 1 of" in str(done.exception)
        assert "not the one that was hashed" in str(done.exception)
    assert newest(log, 1) == [IDS[2]]


def again_of(log: Path, **plan: int) -> Again:
    again = captured(RecordStore(log), log, [IDS[0]], 0, None)[0]
    changed = router_pb2.Record()
    changed.CopyFrom(again.record)
    changed.decision.plan.CopyFrom(decoding_pb2.DecodePlan(**plan))  # type: ignore[arg-type]
    return replace(again, record=changed)


def test_what_may_differ(log: Path) -> None:
    assert again_of(log, **RELAXED).may_differ
    assert not again_of(log, **RELAXED, block_length=4).may_differ
    assert not again_of(log, **PLAN).may_differ
    partly = again_of(log, **PLAN)
    partly.record.decision.segments.add(
        kind=decoding_pb2.SEGMENT_KIND_CODE,
        plan=decoding_pb2.DecodePlan(**RELAXED),  # type: ignore[arg-type]
    )
    assert partly.may_differ


def test_the_verdict_says_so(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ran = Compared("as it ran", Ran((1,), "", decoding_pb2.FINISH_REASON_STOP, 1, 0.1), None, reason_differs=True)
    told: dict[str, Callable[[str], bool]] = {
        "as it may": lambda text: "differs, as it may" in text and "relaxed verification" in text,
        "as it must not": lambda text: "differs" in text and "as it may" not in text,
    }
    for plan, holds in zip((RELAXED, PLAN), told.values(), strict=True):
        audit_replay._show([Replayed(again_of(log, **plan), (ran,), ())])
        assert holds(capsys.readouterr().out)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("--mode autoregressive --variant quadratic", "--variant"),
        ("--mode diffusion --variant linear", "--variant"),
        ("--policy p.yaml --variant linear", "--variant"),
        ("--mode autoregressive --block-length 4", "--block-length"),
        ("--policy p.yaml --block-length 4", "--block-length"),
    ],
)
def test_what_would_have_no_effect_is_refused(log: Path, options: str, wrong: str) -> None:
    done = CliRunner().invoke(app, ["audit", "what-if", IDS[0], *options.split(), "--records", str(log)])
    assert done.exit_code == 2
    assert f"Invalid value for {wrong}" in done.output
