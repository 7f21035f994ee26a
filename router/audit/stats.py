"""What steps cost and how well they went, from their records: by step kind, mode, rule, tenant."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from triroute.proto import decoding_pb2, router_pb2
from triroute.router.audit.body import whole
from triroute.router.audit.entries import read_entries
from triroute.router.audit.open_slots import OpenSlots
from triroute.router.audit.place import Place
from triroute.router.errors import Damaged
from triroute.router.words import word

log = logging.getLogger("triroute.audit")

BY = ("step", "mode", "rule", "tenant")
BUCKETS = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)  # of confidence; each from its bound to the next
_Pass, _Check = decoding_pb2.PassRecord, router_pb2.Check
_WRONG = {_Check.RESULT_VALID: "valid", _Check.RESULT_INVALID: "invalid", _Check.RESULT_NOT_CHECKED: "not_checked"}


@dataclass(slots=True)
class Group:
    """Sums over the steps of one group. A step of several modes counts as a step in each of them.

    `device_seconds` is the share of its rows in each pass's time, prefill included. `given_up` tokens were written and
    then written again.
    """

    steps: int = 0
    tokens: int = 0
    passes: int = 0
    device_seconds: float = 0.0
    drafted: int = 0
    accepted: int = 0
    verified: int = 0  # passes that checked drafts
    lossy: int = 0
    valid: int = 0
    invalid: int = 0
    not_checked: int = 0
    escalations: int = 0
    given_up: int = 0
    errors: int = 0
    accepted_lengths: dict[int, int] = field(default_factory=dict)  # accepted drafts: in how many passes

    @property
    def tokens_per_forward(self) -> float | None:
        return self.tokens / self.passes if self.passes else None

    @property
    def accepted_length(self) -> float | None:
        """Mean number of drafts accepted, of passes that checked some."""
        return self.accepted / self.verified if self.verified else None

    @property
    def validity(self) -> float | None:
        """Share of checked outputs that were as asked."""
        checked = self.valid + self.invalid
        return self.valid / checked if checked else None

    def cost(self, per_hour: float) -> float:
        """Of the device seconds, at a price of an hour."""
        return self.device_seconds / 3600 * per_hour


@dataclass(slots=True)
class Bucket:
    """Tokens that diffusion committed with a confidence from `least` on, and what a second look says of them."""

    least: float
    tokens: int = 0
    looked_at: int = 0
    agreed: int = 0


def read_records(place: Place, since_us: int = 0) -> Iterator[router_pb2.Record]:
    """All steps since then, the oldest first, with their passes. Raises NotFound for what is no log."""
    for logged in read_entries(place):
        if logged.entry is not None and logged.entry.HasField("record") and logged.at_us >= since_us:
            try:
                yield whole(logged.entry.record)
            except Damaged as error:
                log.error("entry %s of %s is left out: %s", logged.number, place, error)


def gather(records: Iterable[router_pb2.Record], by: Sequence[str]) -> dict[tuple[str, ...], Group]:
    """One group for each combination of what `by` names, some of `BY`."""
    groups: dict[tuple[str, ...], Group] = {}
    for record in records:
        seen = dict[int, Group]()
        for mode, passes, kept in _stretches(record):
            group = groups.setdefault(tuple(_word(record, mode, name) for name in by), Group())
            seen[id(group)] = group
            _add(group, passes, kept)
        if not seen:
            mode = mode_word(record.decision.plan)
            group = groups.setdefault(tuple(_word(record, mode, name) for name in by), Group())
            seen[id(group)] = group
        for group in seen.values():
            group.steps += 1
            group.errors += bool(record.error)
            outcome = _WRONG.get(record.finish.check.result)
            if outcome:
                setattr(group, outcome, getattr(group, outcome) + 1)
            group.escalations += len(record.finish.escalations)
            group.given_up += sum(len(wrong.token_ids) for wrong in record.finish.escalations)
    return dict(sorted(groups.items()))


def share_of(one: decoding_pb2.PassRecord) -> float:
    """Seconds of a pass that are this request's: by its rows among all."""
    rows = one.width + one.other_rows
    return one.duration_us / 1e6 * one.width / rows if rows else 0.0


def confidences(record: router_pb2.Record) -> dict[int, float]:
    """How sure diffusion was of tokens of the output, by their place in it, when it fixed them."""
    found, done = dict[int, float](), 0
    written, block = dict[int, float](), OpenSlots()
    for one in record.passes:
        if one.kind == _Pass.KIND_DENOISE:
            slots = block.denoise(len(one.proposed_ids), one.fixed_slots)
            sure = dict(zip(slots, one.confidences, strict=False))
            written |= {slot: sure[slot] for slot in one.fixed_slots if slot in sure}
            continue
        if one.kind == _Pass.KIND_REFRESH:
            found |= {done + slot: sure for slot, sure in written.items() if slot < len(one.committed_ids)}
        if one.kind != _Pass.KIND_PREFILL:
            written = {}
            block.close()
        done += len(one.committed_ids)
    return found


def bucket_of(sure: float) -> int:
    """Which of `BUCKETS` a confidence lies in."""
    return max(index for index, least in enumerate(BUCKETS) if sure >= least or index == 0)


def mode_word(plan: decoding_pb2.DecodePlan) -> str:
    """As policies write it, with the variant behind a slash."""
    mode = word(decoding_pb2.Mode, plan.mode)
    variant = word(decoding_pb2.Variant, plan.variant)
    return f"{mode}/{variant}" if plan.variant else mode


def _stretches(record: router_pb2.Record) -> Iterator[tuple[str, list[decoding_pb2.PassRecord], bool]]:
    """Passes that ran in one mode, and whether what they wrote is in the output."""
    decided = record.decision.plan
    plans = [decided, *(wrong.plan for wrong in record.finish.escalations)]
    for plan, wrong in zip(plans, record.finish.escalations, strict=False):
        yield mode_word(plan), list(wrong.passes), False
    own = {one.index: mode_word(one.plan) for one in record.finish.segments}
    by_mode: dict[str, list[decoding_pb2.PassRecord]] = {}
    for one in record.passes:
        by_mode.setdefault(own.get(one.segment, mode_word(plans[-1])), []).append(one)
    for mode, passes in by_mode.items():
        yield mode, passes, True


def _add(group: Group, passes: list[decoding_pb2.PassRecord], kept: bool) -> None:
    for one in passes:
        group.device_seconds += share_of(one)
        if one.kind == _Pass.KIND_PREFILL:
            continue
        group.passes += one.kind != _Pass.KIND_FORCED
        group.tokens += len(one.committed_ids) if kept else 0
        group.lossy += len(one.lossy)
        if one.sources:
            accepted = min(one.accepted, len(one.committed_ids))
            group.drafted += len(one.sources)
            group.accepted += accepted
            group.verified += 1
            group.accepted_lengths[accepted] = group.accepted_lengths.get(accepted, 0) + 1


def _word(record: router_pb2.Record, mode: str, name: str) -> str:
    match name:
        case "step":
            return word(router_pb2.StepKind, record.decision.step)
        case "mode":
            return mode
        case "rule":
            return record.decision.rule_id or "-"
        case _:
            return record.features.tenant or "-"
