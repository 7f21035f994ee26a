"""Passes in columns: nothing is lost but the last digits of confidences."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.proto import decoding_pb2, path_pb2
from triroute.router.audit.path import SCALE, fits, from_path, to_path

_Pass = decoding_pb2.PassRecord

token = st.integers(0, 200)
small = st.integers(0, 5)


@st.composite
def pass_records(draw: st.DrawFn, index: int) -> _Pass:
    proposed = draw(st.lists(token, max_size=5))
    sure = st.integers(0, SCALE).map(lambda steps: steps / SCALE)
    forks = draw(st.booleans())
    return _Pass(
        index=index,
        kind=draw(st.integers(1, 7)),  # type: ignore[arg-type]
        segment=draw(small),
        width=draw(small),
        proposed_ids=proposed,
        confidences=[draw(sure) for _ in proposed],
        fixed_slots=draw(st.lists(small, max_size=3)),
        accepted=draw(small),
        rejected_ids=draw(st.lists(token, max_size=4)),
        committed_ids=draw(st.lists(token, max_size=3)),
        start_us=draw(st.integers(0, 2**40)),
        duration_us=draw(st.integers(0, 2**31)),
        batch=draw(small),
        other_rows=draw(small),
        sources=draw(st.lists(st.integers(1, 3), max_size=3)),  # type: ignore[arg-type]
        forced=draw(st.lists(small, max_size=2)),
        lossy=draw(st.lists(small, max_size=2)),
        proposed_behind=[draw(st.integers(-1, at - 1)) for at in range(len(proposed))] if forks else [],
    )


@given(st.integers(0, 6).flatmap(lambda count: st.tuples(*map(pass_records, range(count)))), st.data())
def test_any_passes_come_back(passes: tuple[_Pass, ...], data: st.DataObject) -> None:
    committed = [token for one in passes for token in one.committed_ids]
    output = data.draw(st.sampled_from([committed, committed[:-1], [*committed, 7]]))
    assert fits(passes)
    assert from_path(to_path(passes, output), output) == list(passes)


def test_what_was_to_be_expected_takes_no_room() -> None:
    draft = _Pass(index=0, kind=_Pass.KIND_DRAFT, committed_ids=[5], proposed_ids=[6, 9], confidences=[1, 0.5])
    verify = _Pass(index=1, kind=_Pass.KIND_VERIFY, accepted=1, committed_ids=[6, 7], rejected_ids=[9])
    path = to_path([draft, verify], [5, 6, 7])
    assert list(path.committed_ids) == []
    assert list(path.proposed) == [0, 10]
    assert list(path.rejected) == [0]
    first = _Pass(index=0, kind=_Pass.KIND_DENOISE, proposed_ids=[1, 2], confidences=[0.1, 1], fixed_slots=[1])
    second = _Pass(index=1, kind=_Pass.KIND_DENOISE, proposed_ids=[3], confidences=[1], fixed_slots=[0])
    refresh = _Pass(index=2, kind=_Pass.KIND_REFRESH, committed_ids=[3, 2])
    assert list(to_path([first, second, refresh], [3, 2]).proposed) == [2, 0, 0]


@pytest.mark.parametrize("odd", [_Pass(index=1), _Pass(proposed_ids=[1])])
def test_what_has_no_columns(odd: _Pass) -> None:
    assert not fits([odd])


def test_columns_that_do_not_belong_together() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        from_path(path_pb2.Path(kinds=b"\x02", committed_counts=[3], committed_ids=[1]), [])


@pytest.mark.parametrize("field", [field.name for field in _Pass.DESCRIPTOR.fields if field.name != "index"])
def test_no_field_is_forgotten(field: str) -> None:
    """A field that is new in PassRecord needs a column."""
    filled = _Pass(proposed_ids=[1], confidences=[0.5]) if field in ("proposed_ids", "confidences") else _Pass()
    if not filled.ListFields():
        repeated = isinstance(getattr(filled, field), Sequence)
        filled = _Pass(**{field: [1] if repeated else 1})
    assert filled.ListFields()
    assert from_path(to_path([filled], []), []) == [filled]
