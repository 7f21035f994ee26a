"""What `triroute trace` shows of a record made by hand."""

from __future__ import annotations

from rich.console import Console

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.capture.drafts import HIDDEN
from triroute.router.cli.record_tree import tree
from triroute.router.cli.screen import quoted, safe

PASS = decoding_pb2.PassRecord


def _record() -> router_pb2.Record:
    plan = decoding_pb2.DecodePlan(
        mode=decoding_pb2.MODE_SELF_SPECULATION, variant=decoding_pb2.VARIANT_LINEAR, block_length=3
    )
    decision = router_pb2.Decision(
        step=router_pb2.STEP_KIND_CODE, confidence=0.9, rule_id="r", plan=plan, trace_id="t" * 32, evidence=["[b]seen"]
    )
    decision.segments.add(kind=decoding_pb2.SEGMENT_KIND_CODE, plan=plan)
    passes = [
        PASS(kind=PASS.KIND_PREFILL, width=9),
        PASS(kind=PASS.KIND_DRAFT, proposed_ids=[2, 3], confidences=[0.5, 0.25], committed_ids=[1], start_us=1500),
        PASS(kind=PASS.KIND_VERIFY, accepted=1, rejected_ids=[3], committed_ids=[2, 4]),
    ]
    summary = router_pb2.SegmentSummary(
        mode=plan.mode,
        variant=plan.variant,
        tokens=3,
        passes=2,
        drafted=2,
        accepted=1,
        rejected=1,
        plan=plan,
        kind=decoding_pb2.SEGMENT_KIND_TOOL_CALL,
    )
    call = router_pb2.CallRecord(id="call_1", name="f[b]", arguments_json='{"a":\x1b}', segments=[0])
    finish = router_pb2.Finish(reason=decoding_pb2.FINISH_REASON_STOP, segments=[summary])
    text = {1: "a b", 2: "\n", 3: "[red]", 4: "\x1b[2J"}
    return router_pb2.Record(
        decision=decision,
        passes=passes,
        token_ids=[1, 2, 4],
        finish=finish,
        token_text=text,
        model="m",
        calls=[call],
    )


def _shown(record: router_pb2.Record, *, colour: bool = False) -> str:
    console = Console(width=150, record=True, force_terminal=colour, color_system="standard" if colour else None)
    with console.capture() as capture:
        console.print(tree(record))
    return capture.get()


def test_drafts_that_were_not_kept() -> None:
    record = _record()
    record.passes[1].proposed_ids[1] = record.passes[2].rejected_ids[0] = HIDDEN
    shown = _shown(record)
    assert "✗▒" in shown
    assert str(HIDDEN) not in shown


def test_tells_the_story() -> None:
    shown = _shown(_record())
    for part in (
        "code (0.90) → rule r → self_speculation linear block 3",
        "seen: [b]seen",
        "in code: self_speculation linear block 3",
        "segment 0  tool_call, self_speculation linear block 3: 3 tokens",
        'tool call  call_1  f[b] {"a":\\x1b}',
        "written in segment 0: tool_call, self_speculation linear block 3",
        "3 tokens in 2 passes (1.50 a pass), 2 drafted, 1 accepted, 1 rejected",
        "1.5 ms draft  a·b  drafts ⏎0.50 [red]0.25",
        "verify  ✓⏎✗[red] \\x1b[2J",
        "ended  stop",
    ):
        assert part in shown, part
    assert "\x1b" not in shown


def test_says_which_load_a_session_holds() -> None:
    record = _record()
    held = router_pb2.HeldLoad(since_us=1_700_000_000_000_000, router="[b]x", running=3, cache_used=0.5)
    record.decision.held.CopyFrom(held)
    told = "the session holds the load of 2023-11-14T22:13:20+00:00 at [b]x: 3 running, 0 waiting, cache 50%"
    assert told in _shown(record)
    record.decision.held.fleet.CopyFrom(router_pb2.FleetLoad(routers=4, running=9))
    assert "cache 50%; 9 running" in _shown(record)


def test_colours() -> None:
    shown = _shown(_record(), colour=True)
    assert "\x1b[32m✓⏎" in shown
    assert "\x1b[31m✗[red]" in shown


def test_long_runs_are_folded() -> None:
    record = _record()
    del record.passes[1:]
    record.passes.extend(PASS(kind=PASS.KIND_DECODE, committed_ids=[1]) for _ in range(5))
    assert "decode x 5  a·ba·ba·ba·ba·b" in _shown(record)


def test_failed_record() -> None:
    assert "ended with CANCELLED: gone" in _shown(router_pb2.Record(error="CANCELLED: gone"))


def test_terminal_text_is_inert() -> None:
    assert safe("a\x1b[31m\u202eb\n") == "a\\x1b[31m\\x202eb\n"
    assert quoted("[b] \n") == "\\[b]·⏎"
