"""A rule's conditions as a formula over facts: what `decide` compiles, and what `lint` proves things about."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from triroute.router.policy.document import Path
from triroute.router.policy.facts import FACTS, Words
from triroute.router.policy.part import Part
from triroute.router.policy.when import HintsGiven, LoadRange, Range, Tags, When
from triroute.router.types import Trip


@dataclass(frozen=True, slots=True)
class OneOf:
    """The field has one of these values."""

    fact: str
    values: tuple[Any, ...]
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Within:
    """The number lies between the bounds; each is (bound, whether the bound itself counts), or None."""

    fact: str
    low: tuple[float, bool] | None
    high: tuple[float, bool] | None
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Switched:
    """The switch is tripped, or it is not."""

    fact: str
    trip: Trip
    wanted: bool
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Named:
    """The field's names match `any`, `all` or `none` of the patterns. Only globs have patterns; others are literal."""

    fact: str
    how: str
    patterns: tuple[str, ...]
    glob: bool
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Every:
    """Every part holds."""

    parts: tuple[Formula, ...]
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Either:
    """At least one part holds."""

    parts: tuple[Formula, ...]
    path: Path = field(compare=False)


@dataclass(frozen=True, slots=True)
class Not:
    """The part does not hold."""

    part: Formula
    path: Path = field(compare=False)


Atom: TypeAlias = OneOf | Within | Switched | Named
Formula: TypeAlias = Atom | Every | Either | Not


def of(when: When | None, path: Path) -> Every:
    """The formula of a `when`; each part knows its place in the file. None: always."""
    return Every(tuple(_parts(when, path, "")) if when else (), path)


def atoms(formula: Formula) -> Iterator[Atom]:
    """Every atom, from the left."""
    match formula:
        case Every() | Either():
            for part in formula.parts:
                yield from atoms(part)
        case Not():
            yield from atoms(formula.part)
        case _:
            yield formula


def _parts(part: Part, path: Path, prefix: str) -> Iterator[Formula]:
    for name, info in type(part).model_fields.items():
        value = getattr(part, name)
        if value is not None:
            key = info.alias or name
            yield from _one(key, value, (*path, key), prefix)


def _one(key: str, value: Any, path: Path, prefix: str) -> Iterator[Formula]:
    fact = prefix + key
    match value:
        case LoadRange(resume_at=float()):
            yield _switched(fact, value, path)
        case Range():
            yield _within(fact, value, path)
        case Tags() | HintsGiven():
            groups = (("any", value.any), ("all", value.all), ("none", value.none))
            for how, names in groups:
                if names:
                    yield Named(fact, how, tuple(names), False, (*path, how))
        case When():
            yield Not(Every(tuple(_parts(value, path, "")), path), path)
        case Part():
            yield from _parts(value, path, f"{fact}.")
        case list() if value and isinstance(value[0], When):
            options = tuple(of(one, (*path, index)) for index, one in enumerate(value))
            yield Every(options, path) if key == "all" else Either(options, path)
        case _:
            values = tuple(value) if isinstance(value, list) else (value,)
            yield (
                OneOf(fact, values, path) if isinstance(FACTS[fact], Words) else Named(fact, "any", values, True, path)
            )


def _within(fact: str, bounds: Range, path: Path) -> Within:
    lows = [(bound, counts) for bound, counts in ((bounds.gt, False), (bounds.gte, True)) if bound is not None]
    highs = [(bound, counts) for bound, counts in ((bounds.lt, False), (bounds.lte, True)) if bound is not None]
    low = max(lows, key=lambda one: (one[0], not one[1]), default=None)
    high = min(highs, key=lambda one: (one[0], one[1]), default=None)
    return Within(fact, low, high, path)


def _switched(fact: str, bounds: LoadRange, path: Path) -> Switched:
    figure, reset = fact.removeprefix("load."), float(bounds.resume_at or 0)
    for bound, inclusive, wanted in (
        (bounds.lt, True, False),
        (bounds.lte, False, False),
        (bounds.gt, False, True),
        (bounds.gte, True, True),
    ):
        if bound is not None:
            return Switched(fact, Trip(figure, bound, inclusive, reset), wanted, path)
    raise ValueError("resume_at without a bound")
