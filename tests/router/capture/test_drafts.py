"""Drafts that may quote the request are hidden, and nothing else of a path changes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triroute.proto import decoding_pb2
from triroute.router.audit.path import from_path, to_path
from triroute.router.capture.drafts import HIDDEN, own_drafts, shown

_Pass = decoding_pb2.PassRecord
DIFFUSION, LOOKUP, GRAMMAR = 1, 2, 3


def draft(*proposed: int, committed: tuple[int, ...] = (), kind: int = _Pass.KIND_DRAFT) -> decoding_pb2.PassRecord:
    return _Pass(kind=kind, proposed_ids=proposed, confidences=[0.5] * len(proposed), committed_ids=committed)  # type: ignore[arg-type]


def verify(held: list[int], rejected: list[int], sources: list[int], then: int = 99) -> decoding_pb2.PassRecord:
    return _Pass(
        kind=_Pass.KIND_VERIFY,
        accepted=len(held),
        committed_ids=[*held, then],
        rejected_ids=rejected,
        sources=sources,  # type: ignore[arg-type]
    )


def ids(passes: list[decoding_pb2.PassRecord]) -> list[tuple[list[int], list[int]]]:
    return [(list(one.proposed_ids), list(one.rejected_ids)) for one in passes]


def test_rejected_drafts_of_the_request_are_hidden_and_the_models_own_stay() -> None:
    checked = verify([7], [8, 9, 10, 11], [LOOKUP, LOOKUP, DIFFUSION, GRAMMAR, LOOKUP])
    assert ids(own_drafts([checked])) == [([], [HIDDEN, 9, HIDDEN, HIDDEN])]
    assert list(checked.rejected_ids) == [8, 9, 10, 11]


def test_proposals_are_those_of_their_check() -> None:
    path = [draft(7, 8, 9), verify([7], [8, 9], [LOOKUP, DIFFUSION, LOOKUP])]
    assert ids(own_drafts(path)) == [([7, 8, HIDDEN], []), ([], [8, HIDDEN])]


def test_what_was_never_checked_is_hidden() -> None:
    path = [draft(5, 6), draft(5, 7), verify([5], [7], [DIFFUSION, DIFFUSION]), draft(5, 7)]
    assert [one for one, _ in ids(own_drafts(path))] == [[5, HIDDEN], [5, 7], [], [HIDDEN, HIDDEN]]


def test_who_is_not_named_is_nobody() -> None:
    assert ids(own_drafts([verify([], [8, 9], [DIFFUSION])])) == [([], [8, HIDDEN])]


def test_diffusion_blocks_stay() -> None:
    block = draft(5, 6, kind=_Pass.KIND_DENOISE)
    assert own_drafts([block]) == [block]


@given(st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 3)), max_size=4), max_size=4), st.integers(0, 4))
def test_counts_and_columns_stay(cycles: list[list[tuple[int, int]]], accepted: int) -> None:
    path = []
    for drafts in cycles:
        tokens, sources = [token for token, _ in drafts], [source for _, source in drafts]
        path += [draft(*tokens, committed=(1,)), verify(tokens[:accepted], tokens[accepted:], sources)]
    for index, one in enumerate(path):
        one.index = index
    told, output = own_drafts(path), [token for one in path for token in one.committed_ids]
    assert from_path(to_path(told, output), output) == told
    for one, other in zip(path, told, strict=True):
        assert len(one.proposed_ids) == len(other.proposed_ids)
        assert len(one.rejected_ids) == len(other.rejected_ids)
        own = [s == DIFFUSION for s in one.sources[one.accepted :]]
        assert [token != HIDDEN for token in other.rejected_ids] == own


def test_for_people() -> None:
    assert [shown({1: "sea"}, token) for token in (1, 2, HIDDEN)] == ["sea", "<2>", "▒"]
