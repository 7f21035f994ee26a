"""Drafts that may quote the request: where its content is not captured, they are not kept by id.

Prompt lookup drafts what followed in the prompt, and the grammar what a schema says. Drafts that held are the output,
and those of diffusion the model's own words; all others stand as `HIDDEN`, so that counts and places stay as they were.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

from triroute.proto import decoding_pb2

HIDDEN = 2**31 - 1  # in place of a token: no vocabulary has so many
_SHOWN = "▒"
_Pass = decoding_pb2.PassRecord


def own_drafts(passes: Sequence[decoding_pb2.PassRecord]) -> list[decoding_pb2.PassRecord]:
    """The passes of a path, with `HIDDEN` for each draft that may be of the request. They stay as they are.

    Who proposed a draft is known once it has been checked: one that never was is hidden.
    """
    found: list[decoding_pb2.PassRecord] = []
    known: Set[int] = frozenset()  # what the next check says of the drafts before it
    for one in reversed(passes):
        rejected, proposed = own_rejected(one), list(one.proposed_ids)
        if one.kind != _Pass.KIND_DENOISE:
            proposed = [token if token in known else HIDDEN for token in proposed]
        if one.kind == _Pass.KIND_VERIFY:
            known = {*one.committed_ids[: one.accepted], *rejected}
        found.append(_with(one, proposed, rejected))
    return found[::-1]


def own_rejected(one: decoding_pb2.PassRecord) -> list[int]:
    """The drafts that a pass rejected, with `HIDDEN` for those that are not the model's own."""
    sources = [*one.sources[one.accepted :], *[decoding_pb2.DRAFT_SOURCE_UNSPECIFIED] * len(one.rejected_ids)]
    own = decoding_pb2.DRAFT_SOURCE_DIFFUSION
    return [token if source == own else HIDDEN for token, source in zip(one.rejected_ids, sources, strict=False)]


def shown(texts: Mapping[int, str], token: int) -> str:
    """A token of a record for people, by the texts that the record has."""
    return texts.get(token, _SHOWN if token == HIDDEN else f"<{token}>")


def _with(one: decoding_pb2.PassRecord, proposed: list[int], rejected: list[int]) -> decoding_pb2.PassRecord:
    if HIDDEN not in proposed and HIDDEN not in rejected:
        return one
    told = _Pass()
    told.CopyFrom(one)
    told.proposed_ids[:], told.rejected_ids[:] = proposed, rejected
    return told
