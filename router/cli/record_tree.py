"""A record as a tree for people: decision, segments, passes, tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC
from itertools import groupby

from rich.markup import escape
from rich.tree import Tree

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.capture.drafts import shown
from triroute.router.cli.screen import moment, quoted, safe
from triroute.router.words import word

_PASS = decoding_pb2.PassRecord
_FOLD = 3


def tree(record: router_pb2.Record) -> Tree:
    """The whole record. Colour by how a token came: accepted drafts green, rejected red, the rest plain."""
    root = Tree(f"[b]step {record.decision.trace_id or record.request_id}[/b]  {escape(record.model)}")
    decided = root.add(f"[b]decision[/b]  {_step(record.decision)}")
    _decision(decided, record.decision)
    if record.HasField("shadow"):
        decided.add(_shadow(record.shadow))
    for segment in record.finish.segments:
        _segment(root, record, segment)
    for call in record.calls:
        _call(root, record, call)
    if not record.finish.segments and record.passes:
        _passes(root.add("[b]passes[/b]"), record, list(record.passes))
    root.add(f"[b]output[/b]\n{_output(record)}")
    for wrong in record.finish.escalations:
        root.add(_escalation(wrong))
    if record.finish.HasField("check") or record.finish.unenforced:
        root.add(_check(record.finish))
    root.add(_end(record))
    return root


def _step(decision: router_pb2.Decision) -> str:
    kind = word(router_pb2.StepKind, decision.step)
    return f"{kind} ({decision.confidence:.2f}) → rule [cyan]{escape(decision.rule_id)}[/cyan] → {_plan(decision.plan)}"


def _plan(plan: decoding_pb2.DecodePlan) -> str:
    mode = word(decoding_pb2.Mode, plan.mode)
    words = [mode]
    if plan.variant:
        words.append(word(decoding_pb2.Variant, plan.variant))
    if plan.mode != decoding_pb2.MODE_AUTOREGRESSIVE:
        words.append(f"block {plan.block_length or 'auto'}")
    if plan.draft_threshold:
        words.append(f"drafts again under {plan.draft_threshold:g}")
    if plan.verification == decoding_pb2.VERIFICATION_RELAXED:
        words.append("[red]lossy[/red]")
    if plan.mode == decoding_pb2.MODE_DIFFUSION:
        words.append(f"threshold {plan.confidence_threshold:g}, at most {plan.max_steps} steps")
    return " ".join(words)


def _decision(node: Tree, decision: router_pb2.Decision) -> None:
    for seen in decision.evidence:
        node.add(f"seen: {escape(seen)}")
    if decision.HasField("held"):
        held = decision.held
        when = moment(held.since_us, "%Y-%m-%dT%H:%M:%S+00:00", UTC)
        words = f"{held.running} running, {held.waiting} waiting, cache {held.cache_used:.0%}"
        if held.HasField("fleet"):
            words += f"; {held.fleet.running} running at {held.fleet.routers} routers"
        node.add(f"the session holds the load of {when} at {escape(held.router)}: {words}")
    for rule in decision.passed_over:
        node.add(f"passed over [cyan]{escape(rule.rule_id)}[/cyan]: {escape(rule.why)}")
    for clamp in decision.clamps:
        node.add(f"clamped {clamp.parameter}: {clamp.asked:g} became {clamp.became:g}")
    for hint in decision.hints:
        node.add(f"hint {hint.hint} {'followed' if hint.accepted else 'refused'}: {escape(hint.why)}")
    for own in decision.segments:
        by = f", by rule [cyan]{escape(own.rule_id)}[/cyan]" if own.rule_id else ""
        node.add(f"in {_kind_of(own.kind)}: {_plan(own.plan)}{by}")
    arm = f", {router_pb2.Arm.Name(decision.arm).removeprefix('ARM_').lower()}" if decision.arm else ""
    node.add(f"[dim]policy revision {decision.policy_revision}{arm}[/dim]")


def _shadow(shadow: router_pb2.ShadowDecision) -> str:
    name = f"policy {shadow.policy_revision[:12]} would have"
    if not shadow.HasField("plan"):
        return f"{name} refused it: {escape(shadow.error)}"
    same = "the same" if shadow.agrees else _plan(shadow.plan)
    return f"{name} run {same}, by rule [cyan]{escape(shadow.rule_id)}[/cyan]"


def _segment(root: Tree, record: router_pb2.Record, segment: router_pb2.SegmentSummary) -> None:
    node = root.add(
        f"[b]segment {segment.index}[/b]  {_what(segment)}: {segment.tokens} tokens in {segment.passes} passes "
        f"({segment.tokens / max(segment.passes, 1):.2f} a pass), {segment.drafted} drafted, "
        f"[green]{segment.accepted} accepted[/green], [red]{segment.rejected} rejected[/red]"
    )
    _passes(node, record, [record_ for record_ in record.passes if record_.segment == segment.index])


def _call(root: Tree, record: router_pb2.Record, call: router_pb2.CallRecord) -> None:
    """A tool call, and the segments that its tokens came in."""
    node = root.add(
        f"[b]tool call[/b]  {escape(call.id)}  [cyan]{escape(safe(call.name))}[/cyan] "
        f"{escape(quoted(call.arguments_json))}"
    )
    for segment in record.finish.segments:
        if segment.index in call.segments:
            node.add(f"written in segment {segment.index}: {_what(segment)}")


def _what(segment: router_pb2.SegmentSummary) -> str:
    """Its kind, where the text was followed, and its decoder."""
    kind = f"{_kind_of(segment.kind)}, " if segment.kind else ""
    return f"{kind}{_plan(segment.plan)}"


def _kind_of(kind: decoding_pb2.SegmentKind.ValueType) -> str:
    return word(decoding_pb2.SegmentKind, kind)


def _passes(node: Tree, record: router_pb2.Record, passes: list[decoding_pb2.PassRecord]) -> None:
    for plain, run in groupby(passes, lambda made: made.kind in (_PASS.KIND_DECODE, _PASS.KIND_PREFILL) and made.kind):
        members = list(run)
        if plain and len(members) > _FOLD:
            width = sum(made.width for made in members)
            committed = _tokens(record, (token for made in members for token in made.committed_ids))
            tokens = committed or f"{width} tokens"
            node.add(f"{_when(members[0])} {_kind(members[0])} x {len(members)}  {tokens}")
        else:
            for made in members:
                node.add(f"{_when(made)} {_kind(made)}  {_detail(record, made)}")


def _when(made: decoding_pb2.PassRecord) -> str:
    return f"[dim]{made.start_us / 1000:8.1f} ms[/dim]"


def _kind(made: decoding_pb2.PassRecord) -> str:
    return f"[b]{_PASS.Kind.Name(made.kind).removeprefix('KIND_').lower()}[/b]"


def _detail(record: router_pb2.Record, made: decoding_pb2.PassRecord) -> str:
    match made.kind:
        case _PASS.KIND_PREFILL:
            return f"{made.width} tokens"
        case _PASS.KIND_DRAFT:
            drafts = _proposed(record, made)
            return f"{_tokens(record, made.committed_ids)}  [dim]drafts[/dim] {drafts}"
        case _PASS.KIND_VERIFY:
            accepted = "".join(_green(record, token) for token in made.committed_ids[: made.accepted])
            rejected = "".join(_red(record, token) for token in made.rejected_ids)
            drafts = _proposed(record, made)
            more = f"  [dim]drafts[/dim] {drafts}" if drafts else ""
            source = _source(made)
            return f"{accepted}{rejected} {_tokens(record, made.committed_ids[made.accepted :])}{source}{more}"
        case _PASS.KIND_DENOISE:
            return " ".join(_candidates(record, made))
        case _:
            return _tokens(record, made.committed_ids)


def _source(made: decoding_pb2.PassRecord) -> str:
    """Who proposed what was checked, where it was not the model alone."""
    names = {word(decoding_pb2.DraftSource, s) for s in made.sources}
    return "" if names <= {"diffusion"} else f"  [dim]from {' and '.join(sorted(names))}[/dim]"


def _candidates(record: router_pb2.Record, made: decoding_pb2.PassRecord) -> Iterator[str]:
    """Proposals of a denoise pass, most confident first; the fixed ones green."""
    ranked = sorted(zip(made.confidences, made.proposed_ids, strict=True), reverse=True)
    for rank, (sure, token) in enumerate(ranked):
        shown = _green(record, token) if rank < len(made.fixed_slots) else f"[dim]{_text(record, token)}[/dim]"
        yield f"{shown}[dim]{sure:.2f}[/dim]"


def _proposed(record: router_pb2.Record, made: decoding_pb2.PassRecord) -> str:
    """Drafts with their confidence; `2↳` before one that follows the second, and not the one shown before it."""
    parts = []
    for at, (token, sure) in enumerate(zip(made.proposed_ids, made.confidences, strict=True)):
        behind = made.proposed_behind[at] if made.proposed_behind else at - 1
        fork = "" if behind == at - 1 else f"[dim]{behind + 1}↳[/dim]"
        parts.append(f"{fork}[yellow]{_text(record, token)}[/yellow][dim]{sure:.2f}[/dim]")
    return " ".join(parts)


def _green(record: router_pb2.Record, token: int) -> str:
    return f"[green]✓{_text(record, token)}[/green]"


def _red(record: router_pb2.Record, token: int) -> str:
    return f"[red]✗{_text(record, token)}[/red]"


def _tokens(record: router_pb2.Record, tokens: Iterable[int]) -> str:
    return "".join(_text(record, token) for token in tokens)


def _text(record: router_pb2.Record, token: int) -> str:
    return quoted(shown(record.token_text, token))


def _output(record: router_pb2.Record) -> str:
    """The output's tokens; accepted drafts green."""
    parts = []
    for made in record.passes:
        for index, token in enumerate(made.committed_ids):
            text = escape(safe(shown(record.token_text, token)))
            parts.append(f"[green]{text}[/green]" if index < made.accepted else text)
    return "".join(parts) or "[dim]none[/dim]"


def _escalation(wrong: router_pb2.Escalation) -> str:
    return (
        f"[b]written again[/b]  by {_plan(wrong.plan)}, seed {wrong.seed}, temperature {wrong.temperature:g}: "
        f"[red]{escape(safe(wrong.check.path))} {escape(safe(wrong.check.problem))}[/red]; "
        f"{len(wrong.token_ids)} tokens given up after {wrong.kept_tokens}"
    )


def _check(finish: router_pb2.Finish) -> str:
    """What the output is, and what no grammar held it to."""
    result = word(router_pb2.Check.Result, finish.check.result).replace("_", " ")
    where = f": {escape(safe(finish.check.path))} {escape(safe(finish.check.problem))}" if finish.check.problem else ""
    missing = f"; no grammar holds it to {escape(safe(', '.join(finish.unenforced)))}" if finish.unenforced else ""
    colour = "red" if finish.check.result == router_pb2.Check.RESULT_INVALID else "green"
    return f"[b]check[/b]  [{colour}]{result}[/{colour}]{where}{missing}"


def _end(record: router_pb2.Record) -> str:
    if record.error:
        return f"[red]ended with {escape(record.error)}[/red]"
    reason = word(decoding_pb2.FinishReason, record.finish.reason)
    timings = record.finish.timings
    resumed = f", engine restarted {record.finish.resumes} times" if record.finish.resumes else ""
    lossy = record.finish.usage.lossy_tokens
    if lossy:
        resumed += f"; [red]lossy: {lossy} tokens are not what autoregression draws[/red]"
    return (
        f"[b]ended[/b]  {reason}; queue {timings.queue_us / 1000:.1f} ms, prefill {timings.prefill_us / 1000:.1f} ms, "
        f"first token {timings.first_token_us / 1000:.1f} ms, decode {timings.decode_us / 1000:.1f} ms{resumed}"
    )
