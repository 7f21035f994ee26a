"""A proof that an entry is in a log, for somebody who has nothing else: see docs/check_proof.py."""

from __future__ import annotations

import base64
from typing import Any

from google.protobuf import json_format

from triroute.proto import audit_pb2
from triroute.router.audit.body import unpack
from triroute.router.audit.checkpoint import BadCheckpoint, Verifier, parse_checkpoint
from triroute.router.audit.database import opened
from triroute.router.audit.entries import find_number
from triroute.router.audit.merkle import inclusion_proof, leaf_hash, verify_inclusion
from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore, read_dictionaries
from triroute.router.errors import NotFound

FORMAT = "triroute-audit-proof/1"
_VERIFY = "`triroute audit verify` says more"


def prove(place: Place, wanted: str) -> dict[str, Any]:
    """The proof, as JSON. `wanted` is an entry's number, or an id as `RecordStore.find` takes it.

    Raises NotFound, also where the log has been altered so that there is no proof.
    """
    named = find_number(place, wanted)
    number = _number(place, RecordStore(place).find(wanted)) if named is None else named
    with opened(place) as connection:
        found = connection.execute("SELECT packing, body FROM entry WHERE number = ?", (number,)).fetchone()
        checkpoint = connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        if found is None or checkpoint is None or number >= checkpoint[0]:
            raise NotFound(f"there is no entry {number} in {place}")
        size, note = checkpoint
        if found[1] is None:
            raise NotFound(f"the body of entry {number} was removed; its hash alone is still in the log")
        canonical = unpack(found[0], found[1], read_dictionaries(connection))
        rows = connection.stream("SELECT leaf FROM entry WHERE number < ? ORDER BY number", (size,))
        leaves = [leaf for (leaf,) in rows]
        (key,) = connection.execute("SELECT key FROM log").fetchone()
    proof = inclusion_proof(leaves, number)
    try:
        known = parse_checkpoint(note, Verifier.parse(key))
    except BadCheckpoint as error:
        raise NotFound(f"there is no proof of entry {number}: the checkpoint of {place}: {error}; {_VERIFY}") from error
    if not verify_inclusion(leaf_hash(canonical), number, known.size, proof, known.root):
        raise NotFound(f"there is no proof of entry {number}: it, or others in {place}, were altered since; {_VERIFY}")
    entry = audit_pb2.AuditEntry.FromString(canonical)
    return {
        "format": FORMAT,
        "entry": base64.b64encode(canonical).decode(),
        "index": number,
        "proof": [base64.b64encode(step).decode() for step in proof],
        "checkpoint": note,
        "public_key": key,
        "shown": json_format.MessageToDict(entry, preserving_proto_field_name=True),
    }


def _number(place: Place, record: Any) -> int:
    with opened(place) as connection:
        select = "SELECT number FROM entry WHERE request_id = ?"
        found = connection.execute(select, (record.request_id,)).fetchone()
    if found is None:
        raise NotFound(f"no entry of {place} is to be found by {record.request_id}; {_VERIFY}")
    return int(found[0])
