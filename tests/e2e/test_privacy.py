"""What records and spans hold of a request, by what the policy lets them keep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest
from opentelemetry.proto.trace.v1 import trace_pb2

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.capture.drafts import HIDDEN
from triroute.router.prompts import build
from triroute.router.settings import Settings

from .conftest import Receiver, Running

POLICY = """
version: 1
metadata: {name: private}
hints: {allow: [mode, block_length, draft_sources]}
defaults: {mode: self_speculation}
rules:
  - {id: another, when: {tenant: acme}, use: {}}
  - {id: labelled, when: {tags: {all: [one, two]}}, use: {}}
  - {id: not-them, when: {not: {any: [{tenant: kumquat}, {session: true}]}}, use: {}}
  - {id: all, when: {tags: {any: [content]}}, use: {capture: content}}
  - {id: some, when: {tags: {any: [features]}}, use: {capture: features}}
  - {id: nothing, use: {capture: none}}
"""
STEP = {
    "prompt": "The patient is Zebulon Quixfeather, of 12 Wombat Lane, code K4711. The cat sat. Again:\nThe patient is",
    "raw": True,
    "draft_sources": ["prompt_lookup"],
    "block_length": 16,
    "temperature": 2.5,
    "seed": 9,
    "max_tokens": 12,
    "tenant": "kumquat",
    "session_id": "loquat",
    "stop": ["rambutan"],
}
NAMES = ("kumquat", "loquat", "medlar", "rambutan")  # of the caller, its session, a tag and a stop sequence


class Kept(NamedTuple):
    decision: router_pb2.Decision
    record: router_pb2.Record
    spans: list[trace_pb2.Span]

    @property
    def rejected(self) -> list[int]:
        return [token for one in self.record.passes for token in one.rejected_ids]

    @property
    def rejection(self) -> dict[str, object]:
        (told,) = [event for span in self.spans for event in span.events if event.name == "triroute.rejection"]
        return {tag.key: tag.value for tag in told.attributes}

    def named(self, what: object) -> list[str]:
        return [name for name in NAMES if name in str(what)]


@pytest.fixture(scope="module")
def kept(settings: Settings, receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Kept]:
    """The same step, with all, some and nothing of it captured."""
    policy: Path = tmp_path_factory.mktemp("private") / "policy.yaml"
    policy.write_text(POLICY, encoding="utf-8")
    records = policy.with_name("records.sqlite")
    service = Running(replace(settings, policy=policy, records=records, otlp_endpoint=receiver.address))
    found = {}
    try:
        for capture in ("none", "features", "content"):
            asked = build({**STEP, "tags": ["medlar", capture]}, "a step")
            decision = next(iter(list(service.stub.Generate(asked)))).decision
            record = service.stub.GetRecord(router_pb2.GetRecordRequest(id=decision.request_id))
            found[capture] = decision, record
    finally:
        service.close()
    spans = {decision.trace_id: list[trace_pb2.Span]() for decision, _ in found.values()}
    for span in receiver.spans:
        spans.get(span.trace_id.hex(), []).append(span)
    return {capture: Kept(decision, record, spans[decision.trace_id]) for capture, (decision, record) in found.items()}


def test_pieces_of_the_prompt_are_kept_with_the_prompt_alone(kept: dict[str, Kept]) -> None:
    whole = kept["content"]
    assert "Zebulon" in "".join(whole.record.token_text[token] for token in whole.rejected)
    assert "Zebulon" in str(whole.rejection["triroute.text"])
    for one in (kept["none"], kept["features"]):
        assert one.rejected == [HIDDEN] * len(whole.rejected)
        assert [list(p.sources) for p in one.record.passes] == [list(p.sources) for p in whole.record.passes]
        assert set(one.record.token_text) == set(one.record.token_ids)
        assert one.rejection.keys() == {"triroute.pass", "triroute.count"}
        assert one.rejection["triroute.count"] == whole.rejection["triroute.count"]
        assert one.record.token_ids == whole.record.token_ids
        assert one.record.finish.usage == whole.record.finish.usage
    lookup = decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP
    assert any(lookup in p.sources for p in whole.record.passes)


def test_where_nothing_is_captured_the_callers_names_are_nowhere(kept: dict[str, Kept]) -> None:
    none = kept["none"]
    assert none.named(none.decision) == ["kumquat", "medlar"]  # the caller knows
    assert none.named((none.record, none.spans)) == []
    assert [over.why for over in none.record.decision.passed_over][:3] == [
        "tenant is not any of acme",
        "tags are not all of one, two",
        "not: holds",
    ]
    assert none.record.decision.rule_id == none.decision.rule_id == "nothing"


@pytest.mark.parametrize("capture", ["features", "content"])
def test_else_records_and_spans_say_who_asked(kept: dict[str, Kept], capture: str) -> None:
    one = kept[capture]
    assert one.named(one.record) == ["kumquat", "loquat", "medlar"]
    assert one.named(one.spans) == list(NAMES)
    assert one.record.decision == one.decision
