"""A proof that an entry is in a log, for somebody who has nothing else: see docs/check_proof.py."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from triroute.router.audit.body import parse_entry, read_entry
from triroute.router.audit.checkpoint import BadCheckpoint, Verifier, parse_checkpoint
from triroute.router.audit.database import opened
from triroute.router.audit.entries import Logged, find_number
from triroute.router.audit.merkle import inclusion_proof, leaf_hash, root, verify_inclusion
from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore, read_dictionaries
from triroute.router.errors import Damaged, NotFound

FORMAT = "triroute-audit-proof/1"


def prove(place: Place, wanted: str) -> dict[str, Any]:
    """The proof, as JSON. `wanted` is an entry's number, or an id as `RecordStore.find` takes it. Raises NotFound.

    Raises Damaged where the entry is not the one that was hashed, or a proof would not lead to the checkpoint.
    """
    named = find_number(place, wanted)
    number = _number(place, RecordStore(place).find(wanted).request_id) if named is None else named
    with opened(place) as connection:
        found = connection.execute("SELECT leaf, packing, body FROM entry WHERE number = ?", (number,)).fetchone()
        checkpoint = connection.execute("SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1").fetchone()
        if found is None or checkpoint is None or number >= checkpoint[0]:
            raise NotFound(f"there is no entry {number} in {place}")
        size, note = checkpoint
        leaf, packing, body = found
        if body is None:
            raise NotFound(f"the body of entry {number} was removed; its hash alone is still in the log")
        try:
            canonical, entry = read_entry(leaf, packing, body, read_dictionaries(connection))
        except Damaged as error:
            raise Damaged(
                f"entry {number} of {place} is damaged: {error}; `triroute audit verify` says more"
            ) from error
        rows = connection.stream("SELECT leaf FROM entry WHERE number < ? ORDER BY number", (size,))
        leaves = [leaf for (leaf,) in rows]
        (key,) = connection.execute("SELECT key FROM log").fetchone() or (None,)
    if not _fits(leaves, note, key):
        raise Damaged(f"the hashes in {place} do not lead to its checkpoint; `triroute audit verify` says more")
    return {
        "format": FORMAT,
        "entry": base64.b64encode(canonical).decode(),
        "index": number,
        "proof": [base64.b64encode(step).decode() for step in inclusion_proof(leaves, number)],
        "checkpoint": note,
        "public_key": key,
        "shown": json_format.MessageToDict(entry, preserving_proto_field_name=True),
    }


@dataclass(frozen=True, slots=True)
class Proven:
    """What a proof vouches for: an entry, read from its own bytes, in a log that `key` signs."""

    logged: Logged
    key: Verifier
    size: int


def read_proof(text: str, key: Verifier | None = None) -> Proven:
    """By the key given, or else the one in the proof. Raises Damaged for what is no proof, or does not hold."""
    try:
        told = json.loads(text)
        canonical, steps = _bytes(told["entry"]), [_bytes(step) for step in told["proof"]]
        number, note, public = int(told["index"]), str(told["checkpoint"]), str(told["public_key"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Damaged(f"it is no proof of `triroute audit prove`: {error!r}") from error
    try:
        verifier = key or Verifier.parse(public)
        checkpoint = parse_checkpoint(note, verifier)
    except BadCheckpoint as error:
        raise Damaged(f"the proof does not hold: {error}") from error
    leaf = leaf_hash(canonical)
    if not verify_inclusion(leaf, number, checkpoint.size, steps, checkpoint.root):
        raise Damaged("the proof does not hold: the entry is not in the log")
    return Proven(Logged(number, leaf, parse_entry(canonical), len(canonical)), verifier, checkpoint.size)


def _bytes(coded: str) -> bytes:
    return base64.b64decode(coded, validate=True)


def _fits(leaves: list[Any], note: Any, key: Any) -> bool:
    """Whether a checkpoint is of this key, and of these leaves."""
    if not all(isinstance(leaf, bytes) for leaf in leaves) or not isinstance(note, str) or not isinstance(key, str):
        return False
    try:
        return parse_checkpoint(note, Verifier.parse(key)).root == root(leaves)
    except BadCheckpoint:
        return False


def _number(place: Place, request_id: str) -> int:
    with opened(place) as connection:
        found = connection.execute("SELECT number FROM entry WHERE request_id = ?", (request_id,)).fetchone()
    if found is None:
        raise Damaged(f"{place} finds a step by another id than {request_id}; `triroute audit verify` says more")
    return int(found[0])
