"""Sums over records: time shared by rows, counts that add up, confidences in their places."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.audit.second_look import tallied
from triroute.router.audit.stats import BUCKETS, Bucket, bucket_of, confidences, gather, share_of

Pass, Mode, Variant = decoding_pb2.PassRecord, decoding_pb2.Mode, decoding_pb2.Variant
Plan, Check = decoding_pb2.DecodePlan, router_pb2.Check
SPECULATION = Plan(mode=Mode.MODE_SELF_SPECULATION, variant=Variant.VARIANT_LINEAR)


def record(plan: decoding_pb2.DecodePlan, passes: list[decoding_pb2.PassRecord], **more: object) -> router_pb2.Record:
    for index, one in enumerate(passes):
        one.index = index
    decision = router_pb2.Decision(rule_id="one", plan=plan, step=router_pb2.STEP_KIND_CODE)
    ids = [token for one in passes for token in one.committed_ids]
    return router_pb2.Record(decision=decision, passes=passes, token_ids=ids, **more)  # type: ignore[arg-type]


def test_a_shared_pass_is_shared_by_rows() -> None:
    one = Pass(width=1, other_rows=3, duration_us=1_000_000)
    other = Pass(width=3, other_rows=1, duration_us=1_000_000)
    assert share_of(one) == pytest.approx(0.25)
    assert share_of(one) + share_of(other) == pytest.approx(1)
    assert share_of(Pass(kind=Pass.KIND_FORCED)) == 0


def test_sums_of_a_group() -> None:
    passes = [
        Pass(kind=Pass.KIND_PREFILL, width=5, duration_us=500_000),
        Pass(kind=Pass.KIND_DRAFT, width=4, duration_us=250_000, committed_ids=[1]),
        Pass(kind=Pass.KIND_VERIFY, width=4, duration_us=250_000, accepted=1, sources=[1, 1], committed_ids=[2, 3]),
    ]
    valid = router_pb2.Finish(check=Check(result=Check.RESULT_VALID))
    invalid = router_pb2.Finish(check=Check(result=Check.RESULT_INVALID))
    steps = [record(SPECULATION, passes, finish=valid), record(SPECULATION, passes, finish=invalid)]
    ((key, group),) = gather(steps, ("step", "mode", "rule", "tenant")).items()
    assert key == ("code", "self_speculation/linear", "one", "-")
    assert (group.steps, group.tokens, group.passes) == (2, 6, 4)
    assert (group.drafted, group.accepted, group.accepted_lengths) == (4, 2, {1: 2})
    assert group.tokens_per_forward == 1.5
    assert group.validity == 0.5
    assert group.cost(3600) == pytest.approx(2)


def test_segments_count_in_their_own_modes() -> None:
    passes = [Pass(kind=Pass.KIND_DECODE, width=1, committed_ids=[1]), Pass(kind=Pass.KIND_DECODE, width=1, segment=1)]
    autoregressive = Plan(mode=Mode.MODE_AUTOREGRESSIVE)
    segments = [
        router_pb2.SegmentSummary(index=0, plan=autoregressive),
        router_pb2.SegmentSummary(index=1, plan=SPECULATION),
    ]
    groups = gather([record(autoregressive, passes, finish=router_pb2.Finish(segments=segments))], ("mode",))
    assert {key[0]: group.passes for key, group in groups.items()} == {
        "autoregressive": 1,
        "self_speculation/linear": 1,
    }


def test_a_step_that_failed_counts_as_one() -> None:
    (group,) = gather([record(SPECULATION, [], error="INTERNAL: no")], ("rule",)).values()
    assert (group.steps, group.errors, group.tokens_per_forward, group.validity) == (1, 1, None, None)


def test_what_was_given_up_costs_and_is_no_output() -> None:
    wrong = router_pb2.Escalation(plan=Plan(mode=Mode.MODE_AUTOREGRESSIVE), token_ids=[7])
    wrong.passes.add(kind=Pass.KIND_DECODE, width=1, duration_us=1_000_000, committed_ids=[7])
    finish = router_pb2.Finish(escalations=[wrong])
    (group,) = gather([record(SPECULATION, [], finish=finish)], ("mode",)).values()
    assert (group.tokens, group.passes, group.given_up, group.escalations) == (0, 1, 1, 1)
    assert group.device_seconds == pytest.approx(1)


def test_confidences_of_diffusion_in_their_places() -> None:
    passes = [
        Pass(kind=Pass.KIND_PREFILL, width=3),
        Pass(kind=Pass.KIND_DENOISE, proposed_ids=[5, 6, 7], confidences=[0.5, 0.75, 0.25], fixed_slots=[1]),
        Pass(kind=Pass.KIND_DENOISE, proposed_ids=[5, 8], confidences=[0.875, 1.0], fixed_slots=[0, 2]),
        Pass(kind=Pass.KIND_REFRESH, committed_ids=[5, 6, 8, 9]),
        Pass(kind=Pass.KIND_DENOISE, proposed_ids=[4], confidences=[0.125], fixed_slots=[0]),
        Pass(kind=Pass.KIND_REFRESH, committed_ids=[4, 3]),
    ]
    found = confidences(record(Plan(mode=Mode.MODE_DIFFUSION), passes))
    assert found == {0: 0.875, 1: 0.75, 2: 1.0, 4: 0.125}


@pytest.mark.parametrize(
    ("sure", "least"), [(0.0, 0.0), (0.49, 0.0), (0.5, 0.5), (0.995, 0.99), (1.0, 1.0), (-1.0, 0.0)]
)
def test_buckets(sure: float, least: float) -> None:
    assert BUCKETS[bucket_of(sure)] == least


def test_a_log_is_counted_as_it_passes() -> None:
    """Each step before the next is read: none has to be held."""
    buckets, captured = [Bucket(least) for least in BUCKETS], list[str]()

    def steps() -> Iterator[router_pb2.Record]:
        for number in range(20):
            assert sum(one.tokens for one in buckets) == number
            passes = [
                Pass(kind=Pass.KIND_DENOISE, proposed_ids=[5], confidences=[0.5], fixed_slots=[0]),
                Pass(kind=Pass.KIND_REFRESH, committed_ids=[5]),
            ]
            yield record(Plan(mode=Mode.MODE_DIFFUSION), passes, captured=bool(number % 2), request_id=str(number))

    (group,) = gather(tallied(steps(), buckets, captured), ("step",)).values()
    assert group.steps == 20
    assert captured == [str(number) for number in range(1, 20, 2)]
