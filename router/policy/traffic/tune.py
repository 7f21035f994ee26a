"""Better numbers for a policy, as far as recorded traffic can tell. Proposed, never applied.

One knob after the other is set to what gives the most tokens a second, in two rounds. What no record can judge is not
touched: no step may move into diffusion or out of it, since that changes texts; diffusion's threshold is only ever
raised, where that costs next to nothing; and nothing is proposed that rests on the prior.
"""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from triroute.router.errors import InvalidPolicy, InvalidRequest
from triroute.router.policy.load import Policy, parse
from triroute.router.policy.plan import effective
from triroute.router.policy.traffic.evidence import Evidence
from triroute.router.policy.traffic.knobs import Knob, Setting, knobs, turned
from triroute.router.policy.traffic.pace import MOST_QUADRATIC, Engine
from triroute.router.policy.traffic.recorded import Recorded, Traffic
from triroute.router.policy.traffic.replay import Made
from triroute.router.policy.traffic.simulate import Forecast, decided, forecast
from triroute.router.types import DecodePlan, Mode, Variant

_ROUNDS = 2
_FREE = 0.005  # what a surer text may cost, as a share of the speed


@dataclass(frozen=True, slots=True)
class Proposal:
    """One change: `gain` in tokens a second of all steps over what the changes before it reach, less one.

    Of the steps, so many run otherwise; their speed `rests` on evidence of which this is the weakest.
    """

    name: str
    before: Any
    after: Any
    gain: float
    steps: int
    rests: Evidence


@dataclass(frozen=True, slots=True)
class Tuning:
    """All proposals, as a text and its unified diff; the forecasts of the policy as it is and as proposed.

    `unknown`: the rules that decided too few steps to say anything about them.
    """

    text: str
    diff: str
    proposals: tuple[Proposal, ...]
    before: Forecast
    after: Forecast
    unknown: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """What a proposal must reach: a gain, as a share, and steps that run otherwise; and have in its name."""

    gain: float = 0.02
    steps: int = 20
    only: str = ""


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A text, its decisions of the steps that ran, and what they come to."""

    text: str
    made: list[Made]
    forecast: Forecast


@dataclass(frozen=True, slots=True)
class _Choice:
    """A knob, and the setting that was taken for it."""

    knob: Knob
    before: Any
    after: Any
    setting: Setting


@dataclass(slots=True)
class _Search:
    """The best so far: `chosen` settings, by name of the knob, and what they make of the policy."""

    source: str
    traffic: Traffic
    engine: Engine
    bar: Bar
    best: _Candidate
    chosen: dict[str, _Choice] = field(default_factory=dict)


def tune(text: str, source: str, traffic: Traffic, engine: Engine, bar: Bar) -> Tuning:
    """Search. Raises InvalidPolicy, and InvalidRequest for `only` that names nothing."""
    policy = parse(text, source)
    first = _candidate(text, policy, traffic, engine)
    search = _Search(source, traffic, engine, bar, first)
    for _ in range(_ROUNDS):
        before = search.best.text
        for knob in _wanted(knobs(before, parse(before, source)), bar.only):
            _turn(search, knob)
        if search.best.text == before:
            break
    proposals, last = _told(search, first, _needed(search, first))
    lines = text.splitlines(keepends=True), last.text.splitlines(keepends=True)
    difference = "".join(difflib.unified_diff(*lines, fromfile=source, tofile=source))
    counts = Counter(made.decision.rule_id for made in first.made if made.decision)
    unknown = tuple(rule.id for rule in policy.file.rules if counts[rule.id] < bar.steps)
    return Tuning(last.text, difference, tuple(proposals), first.forecast, last.forecast, unknown)


def _wanted(known: Sequence[Knob], only: str) -> list[Knob]:
    """Raises InvalidRequest where `only` is in no name."""
    found = [knob for knob in known if only in knob.name]
    if only and not found:
        names = ", ".join(knob.name for knob in known) or "none"
        raise InvalidRequest(f"--only {only}: no number of this policy has that in its name; there are {names}")
    return found


def _turn(search: _Search, knob: Knob) -> None:
    """Take the best setting of a knob, if it is worth it."""
    tried = [(value, setting, _tried(search, search.best, setting)) for value, setting in knob.settings]
    options = [(_gain(search.best, one), value, setting, one) for value, setting, one in tried if one is not None]
    if knob.surer:
        options = [option for option in options if option[0] > -_FREE][-1:]
    else:
        options = [max(options, key=lambda option: option[0])] if options else []
        options = [option for option in options if option[0] >= search.bar.gain]
    for _, value, setting, one in options:
        known = search.chosen.get(knob.name)
        search.chosen[knob.name] = _Choice(knob, known.before if known else knob.now, value, setting)
        search.best = one


def _needed(search: _Search, first: _Candidate) -> list[_Choice]:
    """The choices without those that others have made superfluous."""
    needed, speed = list(search.chosen.values()), search.best.forecast.tokens_per_second
    for choice in tuple(needed):
        rest = [one for one in needed if one is not choice]
        text = first.text
        for other in rest:
            text = turned(text, other.setting) or text
        if not choice.knob.surer:
            without = _candidate(text, parse(text, search.source), search.traffic, search.engine)
            if without.forecast.tokens_per_second >= speed * (1 - _FREE):
                needed = rest
    return needed


def _told(search: _Search, first: _Candidate, choices: list[_Choice]) -> tuple[list[Proposal], _Candidate]:
    """What each choice does on top of those before it, and what all come to."""
    proposals, now = [], first
    for choice in choices:
        text = turned(now.text, choice.setting) or now.text
        then = _candidate(text, parse(text, search.source), search.traffic, search.engine)
        moved = _moved(now, then)
        rests = Evidence.weakest(one for pair in moved for one in _rests(search, pair))
        gain = _gain(now, then)
        proposals.append(Proposal(choice.knob.name, choice.before, choice.after, gain, len(moved), rests))
        now = then
    return proposals, now


def _gain(before: _Candidate, after: _Candidate) -> float:
    return after.forecast.tokens_per_second / before.forecast.tokens_per_second - 1


def _moved(before: _Candidate, after: _Candidate) -> list[tuple[Recorded, DecodePlan, DecodePlan]]:
    """The steps that run otherwise: what they ran as, and what they would."""
    pairs = zip(before.made, after.made, strict=True)
    both = ((old.of, old.decision, new.decision) for old, new in pairs if old.decision and new.decision)
    plans = [(step, effective(was.plan), effective(now.plan)) for step, was, now in both]
    return [(step, was, now) for step, was, now in plans if was != now]


def _rests(search: _Search, pair: tuple[Recorded, DecodePlan, DecodePlan]) -> tuple[Evidence, Evidence]:
    """What the speeds before and after rest on; it does not depend on the company."""
    step, was, now = pair
    return search.engine.pace(step, was, 1.0).evidence, search.engine.pace(step, now, 1.0).evidence


def _tried(search: _Search, best: _Candidate, setting: Setting) -> _Candidate | None:
    """The policy with a setting; None where it can't be, or must not be proposed."""
    text = turned(best.text, setting)
    if text is None:
        return None
    try:
        policy = parse(text, search.source)
    except InvalidPolicy:
        return None
    one = _candidate(text, policy, search.traffic, search.engine)
    if not all(_allowed(was, now) for was, now in zip(best.made, one.made, strict=True)):
        return None
    moved = _moved(best, one)
    known = all(Evidence.PRIOR not in _rests(search, pair) for pair in moved)
    return one if known and len(moved) >= search.bar.steps else None


def _candidate(text: str, policy: Policy, traffic: Traffic, engine: Engine) -> _Candidate:
    made = decided(policy, traffic)
    return _Candidate(text, made, forecast(policy.name, made, engine))


def _allowed(was: Made, now: Made) -> bool:
    """Whether a step's text stays what it is, or becomes surer, and the engine can run it."""
    if was.decision is None or now.decision is None:
        return was.decision is now.decision is None
    before, after = effective(was.decision.plan), effective(now.decision.plan)
    if after.variant is Variant.QUADRATIC and after.block_length > MOST_QUADRATIC:
        return False
    if Mode.DIFFUSION not in (before.mode, after.mode):
        return True
    same = (before.mode, before.block_length, before.fixed_steps) == (after.mode, after.block_length, after.fixed_steps)
    return same and after.confidence_threshold >= before.confidence_threshold
