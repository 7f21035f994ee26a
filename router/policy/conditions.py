"""Formulas to closures over a step's values, and what fails in words, with the actual value."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

from triroute.router.policy.formula import Atom, Either, Every, Formula, Named, Not, OneOf, Switched, Within
from triroute.router.types import Trip

Values: TypeAlias = Sequence[Any]
Test: TypeAlias = Callable[[Values], bool]
Places: TypeAlias = dict[str, int]

SWITCHES = "switches"  # where `Values` hold the load's switches
_MISSED = {"any": "not any of", "all": "not all of", "none": "some of"}


def compiled(formula: Formula, places: Places) -> Test:
    """A closure that says whether the formula holds. `places`: where each fact stands among the values."""
    match formula:
        case Every(parts):
            tests = tuple(compiled(part, places) for part in parts)
            return _every(tests)
        case Either(parts):
            return _some(tuple(compiled(part, places) for part in parts))
        case Not(part):
            inner = compiled(part, places)
            return lambda values: not inner(values)
    return _atom(formula, places)


def _every(tests: tuple[Test, ...]) -> Test:
    if len(tests) == 1:
        return tests[0]

    def holds(values: Values) -> bool:
        for test in tests:  # noqa: SIM110  # `all` would make a generator each time
            if not test(values):
                return False
        return True

    return holds


def _some(tests: tuple[Test, ...]) -> Test:
    def holds(values: Values) -> bool:
        for test in tests:  # noqa: SIM110
            if test(values):
                return True
        return False

    return holds


def _atom(atom: Atom, places: Places) -> Test:
    at = places[atom.fact]
    match atom:
        case OneOf(values=wanted):
            if len(wanted) == 1:
                only = wanted[0]
                return lambda values: bool(values[at] == only)
            words = frozenset(wanted)
            return lambda values: values[at] in words
        case Within():
            return _within(atom, at)
        case Switched(trip=trip, wanted=is_wanted):
            switches = places[SWITCHES]
            return lambda values: _tripped(trip, values[at], values[switches]) is is_wanted
        case Named():
            return _named(atom, at)


def _within(atom: Within, at: int) -> Test:
    low, low_counts = atom.low or (float("-inf"), True)
    high, high_counts = atom.high or (float("inf"), True)

    def holds(values: Values) -> bool:
        value = values[at]
        if value is None or value < low or value > high:
            return False
        return (low_counts or value != low) and (high_counts or value != high)

    return holds


def _tripped(trip: Trip, value: float, switches: frozenset[Trip]) -> bool:
    state = trip.state(value)
    return trip in switches if state is None else state


def _named(atom: Named, at: int) -> Test:
    if not atom.glob:
        wanted = frozenset(atom.patterns)
        match atom.how:
            case "any":
                return lambda values: not wanted.isdisjoint(values[at])
            case "all":
                return lambda values: wanted.issubset(values[at])
            case _:
                return lambda values: wanted.isdisjoint(values[at])
    if not any("*" in pattern or "?" in pattern for pattern in atom.patterns):
        names = frozenset(atom.patterns)
        return lambda values: not names.isdisjoint(values[at])
    matches = re.compile("|".join(as_regex(pattern) for pattern in atom.patterns)).fullmatch
    return lambda values: any(map(matches, values[at]))


def as_regex(glob: str) -> str:
    """A glob with `*` and `?` alone as a regular expression; brackets are letters."""
    return fnmatch.translate(glob.replace("[", "[[]"))


def failure(formula: Formula, values: Values, places: Places, withheld: Collection[str] = ()) -> str:
    """Why a formula that does not hold does not, in words; without the values of facts that are `withheld`."""
    match formula:
        case Every(parts):
            return next(
                (failure(part, values, places, withheld) for part in parts if not compiled(part, places)(values)),
                "it holds",
            )
        case Either(parts):
            return "none of any: " + "; ".join(failure(part, values, places, withheld) for part in parts)
        case Not(part):
            facts = sorted({atom.fact for atom in _atoms(part)} - {*withheld})
            told = ", ".join(f"{fact} {_actual(values[places[fact]])}" for fact in facts)
            return f"not: holds, with {told}" if told else "not: holds"
    return _unquoted(formula) if formula.fact in withheld else _why(formula, values[places[formula.fact]])


def _atoms(formula: Formula) -> list[Atom]:
    match formula:
        case Every(parts) | Either(parts):
            return [atom for part in parts for atom in _atoms(part)]
        case Not(part):
            return _atoms(part)
    return [formula]


def _why(atom: Atom, actual: Any) -> str:
    if isinstance(atom, Named):
        return f"{_are(atom.fact, actual)}, wanted {atom.how} of {', '.join(atom.patterns)}"
    if actual is None:
        return f"{atom.fact} is not given, wanted {_wanted(atom, actual)}"
    return f"{atom.fact} is {_actual(actual)}, wanted {_wanted(atom, actual)}"


def _unquoted(atom: Atom) -> str:
    if isinstance(atom, Named):
        return f"{_subject(atom.fact)} {_MISSED[atom.how]} {', '.join(atom.patterns)}"
    return f"{atom.fact} is not {_wanted(atom, None)}"


def _wanted(atom: OneOf | Within | Switched, actual: Any) -> str:
    match atom:
        case OneOf(values=words):
            return " or ".join(_actual(word) for word in words)
        case Within():
            return _bound(atom, actual)
        case Switched(trip=trip, wanted=True):
            least = f"{'at least' if trip.inclusive else 'more than'} {trip.bound:g}"
            return f"{least} since it was at most {trip.reset:g}"
        case Switched(trip=trip):
            most = f"{'less than' if trip.inclusive else 'at most'} {trip.bound:g}"
            return f"{most}, or at most {trip.reset:g} after that"


def _bound(atom: Within, actual: Any) -> str:
    """The bound that `actual` misses, the upper one first."""
    below = f"{'at least' if atom.low[1] else 'more than'} {atom.low[0]:g}" if atom.low else ""
    above = f"{'at most' if atom.high[1] else 'less than'} {atom.high[0]:g}" if atom.high else ""
    if not below or not above or actual is None:
        return " and ".join(filter(None, (below, above)))
    high, counts = atom.high or (0.0, True)
    return above if actual > high or (actual == high and not counts) else below


def _are(fact: str, names: Any) -> str:
    return f"{_subject(fact)} {', '.join(sorted(names)) or 'none'}"


def _subject(fact: str) -> str:
    if fact == "tenant":
        return "tenant is"
    return f"{'tools' if fact == 'tool' else fact} are"


def _actual(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | int):
        return f"{value:g}"
    return ", ".join(sorted(value)) or "none" if isinstance(value, frozenset | list | tuple) else str(value)
