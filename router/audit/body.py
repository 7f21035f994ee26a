"""Entries as bytes: those that the leaf hash covers, and fewer that are stored."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from triroute.proto import audit_pb2, decoding_pb2, engine_pb2, router_pb2
from triroute.router.audit.merkle import leaf_hash
from triroute.router.audit.path import fits, from_path, to_path
from triroute.router.errors import Damaged

PLAIN, DEFLATED, FIRST_DICTIONARY = 0, 1, 2  # packings; from the last on, deflated with the dictionary of this number
_RAW = -15  # deflate without header and checksum: the leaf hash is the checksum
_LEVEL, _MEMORY = 9, 9
_CHECK_BYTES = 4
_MOST_BYTES = 128 << 20  # of a body that is unpacked; a few bytes can stand for any number

# Words that records use often, in place of those of the record that a template is made of.
_WHY = "step is , wanted ; is none, wanted any of "
_EVIDENCE = """\
output must follow a JSON schema
quarters of the ask about tools: 0 (tool_call +0.5)
tool names asked for: 1 (tool_call +0.7)
may call, ask has doing (tool_call +2.0)
last user, may call (tool_call +1.4)
ask has a language (code +0.7)
ask orders code (code +2.0)
system is a planner's (plan +2.0)
ask length 8 (plan +0.1)
before: nothing (code +0.2)
system length 0 (prose +0.3)
system orders nothing (prose +0.2)
form orders nothing (prose +0.3)
tools: no, choice none (prose +0.4)
last user, may not call (prose +0.4)
format: none (prose +0.6)""".splitlines()


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry to be written. Bodies alike have a `template`: what the first of them leaves as a dictionary."""

    canonical: bytes
    at_us: int
    request_id: str | None = None
    trace_id: str | None = None
    template: tuple[str, bytes] | None = None

    @classmethod
    def of_record(cls, record: router_pb2.Record) -> Entry:
        """A step. The record stays as it is."""
        small = router_pb2.Record()
        small.CopyFrom(record)
        if small.passes and fits(small.passes):
            small.path.CopyFrom(to_path(small.passes, small.token_ids))
            del small.passes[:]
        for wrong in small.finish.escalations:
            if wrong.passes and fits(wrong.passes):
                wrong.path.CopyFrom(to_path(wrong.passes, wrong.token_ids))
                del wrong.passes[:]
        if small.vocabulary_sha256:
            small.token_text.clear()
        canonical = audit_pb2.AuditEntry(record=small).SerializeToString(deterministic=True)
        decision, trace = record.decision, record.decision.trace_id or None
        name = f"{decision.policy_revision}/{decision.rule_id}/{decision.step}"
        template = (name, words_left_by(small)) if decision.rule_id else None
        return cls(canonical, record.arrived_us, record.request_id, trace, template)

    @classmethod
    def of_event(cls, event: audit_pb2.AuditEvent) -> Entry:
        """Something else."""
        return cls(audit_pb2.AuditEntry(event=event).SerializeToString(deterministic=True), event.at_us)


def columns(entry: audit_pb2.AuditEntry) -> tuple[int, str | None, str | None]:
    """What the columns beside an entry's body must say."""
    if entry.HasField("record"):
        record = entry.record
        return record.arrived_us, record.request_id, record.decision.trace_id or None
    return entry.event.at_us, None, None


def whole(record: router_pb2.Record, vocabulary: Mapping[int, str] | None = None) -> router_pb2.Record:
    """The record as it was: pass by pass, with the text of its tokens. Raises Damaged."""
    try:
        return _whole(record, vocabulary)
    except ValueError as error:
        raise Damaged(f"its passes can't be put together: {error}") from error


def _whole(record: router_pb2.Record, vocabulary: Mapping[int, str] | None) -> router_pb2.Record:
    named = set(record.token_ids)
    if record.HasField("path"):
        record.passes.extend(from_path(record.path, record.token_ids))
        record.ClearField("path")
    for wrong in record.finish.escalations if record.HasField("finish") else ():
        if wrong.HasField("path"):
            wrong.passes.extend(from_path(wrong.path, wrong.token_ids))
            wrong.ClearField("path")
    if vocabulary:
        for one in (*record.passes, *(one for wrong in record.finish.escalations for one in wrong.passes)):
            named.update(one.proposed_ids, one.committed_ids, one.rejected_ids)
        record.token_text.update({token: vocabulary[token] for token in named if token in vocabulary})
    return record


def vocabulary(body: bytes | None) -> dict[int, str]:
    """The text of each token, of what was kept."""
    return dict(enumerate(engine_pb2.TokenTextResponse.FromString(body).text)) if body else {}


def pack(body: bytes, dictionary: tuple[int, bytes] | None = None) -> tuple[int, bytes]:
    """The packing, and the stored bytes: first a checksum, since more than one stream of bits unpacks to a body."""
    number, words = dictionary or (DEFLATED, b"")
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _RAW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, words)
    packed = packer.compress(body) + packer.flush()
    return (number, _checked(packed)) if len(packed) < len(body) else (PLAIN, _checked(body))


def read_entry(
    leaf: object, packing: object, stored: object, dictionaries: Mapping[int, bytes]
) -> tuple[bytes, audit_pb2.AuditEntry]:
    """An entry as the hash covers it, and what it says. Raises Damaged, for everything that a row can hold."""
    try:
        canonical = unpack(packing, stored, dictionaries)
    except ValueError as error:
        raise Damaged(f"its body is damaged: {error}") from error
    if leaf_hash(canonical) != leaf:
        raise Damaged("its body is not the one that was hashed")
    return canonical, parse_entry(canonical)


def parse_entry(canonical: bytes) -> audit_pb2.AuditEntry:
    """What the bytes of an entry say. Raises Damaged."""
    try:
        entry = audit_pb2.AuditEntry.FromString(canonical)
    except DecodeError as error:
        raise Damaged("its body is no entry") from error
    if entry.WhichOneof("entry") is None:
        raise Damaged("its body is no entry: it has neither a step nor an event")
    return entry


def unpack(packing: object, stored: object, dictionaries: Mapping[int, bytes]) -> bytes:
    """The body again. Raises ValueError for what `pack` has not made, whatever it is."""
    if not isinstance(stored, bytes) or not isinstance(packing, int):
        raise ValueError("it is not stored as bytes with a packing")
    packed = stored[_CHECK_BYTES:]
    if stored[:_CHECK_BYTES] != zlib.crc32(packed).to_bytes(_CHECK_BYTES, "big"):
        raise ValueError("its checksum is not that of its bytes")
    if packing == PLAIN:
        return packed
    words = b"" if packing == DEFLATED else dictionaries.get(packing)
    if not isinstance(words, bytes):
        raise ValueError(f"the dictionary {packing} that it was packed with is gone")
    unpacker = zlib.decompressobj(_RAW, words) if words else zlib.decompressobj(_RAW)
    try:
        body = unpacker.decompress(packed, _MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"it can't be unpacked: {error}") from error
    if len(body) == _MOST_BYTES:
        raise ValueError(f"it can't be unpacked: it takes more than {_MOST_BYTES >> 20} MiB")
    if not unpacker.eof or unpacker.unused_data:
        raise ValueError("it can't be unpacked: it has bytes too few or too many")
    return body


def _checked(packed: bytes) -> bytes:
    return zlib.crc32(packed).to_bytes(_CHECK_BYTES, "big") + packed


def words_left_by(small: router_pb2.Record) -> bytes:
    """What records by one rule have in common: the words of policies and engines, and nothing that a caller gave.

    It is stored as it is, and for longer than the record that it came from: so what may go in is named here.
    Who verifies a log makes it again: one that is made otherwise is another function, and this one stays.
    """
    decision = small.decision
    plan = {"mode": decision.plan.mode, "variant": decision.plan.variant, "plan": decision.plan}
    segment = router_pb2.SegmentSummary(**plan)  # type: ignore[arg-type]
    shared = router_pb2.Record(
        decision=router_pb2.Decision(
            step=decision.step,
            evidence=_EVIDENCE,
            rule_id=decision.rule_id,
            passed_over=[router_pb2.PassedOver(rule_id=rule.rule_id, why=_WHY) for rule in decision.passed_over],
            plan=decision.plan,
            policy_revision=decision.policy_revision,
            segments=decision.segments,
        ),
        finish=router_pb2.Finish(reason=decoding_pb2.FINISH_REASON_STOP, segments=[segment]),
        model=small.model,
        features=router_pb2.Features(classifier_revision=small.features.classifier_revision),
        engine_sha256=small.engine_sha256,
        vocabulary_sha256=small.vocabulary_sha256,
        framework=small.framework,
    )
    return shared.SerializeToString(deterministic=True)
