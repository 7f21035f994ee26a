"""The finite space behind a policy's conditions, in which rules can be proved shadowed, unreachable or contradictory.

Numbers fall into cells between the bounds that some rule names, words and switches are few, and each tag or pattern is
yes or no. A rule is then a union of boxes; a box gives a set of cells (a bit each) for each variable that it limits.
Where names relate (a pattern covers another), only what is certain is used: the space holds every request that can
be, and some that can't. So what is proved empty is empty.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Hashable, Iterable, Iterator
from typing import Any, TypeAlias

from triroute.router.policy.conditions import as_regex, compiled
from triroute.router.policy.facts import FACTS, Names, Numbers, Words
from triroute.router.policy.formula import Either, Every, Formula, Named, Not, OneOf, Switched, Within, atoms

Box: TypeAlias = dict[Hashable, int]

NO, YES, BOTH = 1, 2, 3
MOST_BOXES = 2_000


class TooLarge(Exception):
    """More boxes than a proof may take."""


class Space:
    """The variables of all rules of a policy."""

    def __init__(self, formulas: Iterable[Formula]) -> None:
        used = [atom for formula in formulas for atom in atoms(formula)]
        self._cells: dict[str, tuple[Any, ...]] = {}
        for fact in {"step", "segment", "schema", "tools", "tool_choice", *(atom.fact for atom in used)}:
            known = FACTS[fact]
            if isinstance(known, Words):
                self._cells[fact] = known.values
            elif isinstance(known, Numbers):
                points = {point for atom in used if atom.fact == fact for point in _points(atom)}
                self._cells[fact] = tuple(_samples(known, points))

        self._optional_call = self.cell("tool_choice", "auto") | self.cell("tool_choice", "none")

    def full(self, variable: Hashable) -> int:
        """All cells of a variable."""
        return (1 << len(self._cells[variable])) - 1 if isinstance(variable, str) else BOTH

    def cell(self, fact: str, value: Any) -> int:
        """The cell of one of a word's values."""
        return 1 << self._cells[fact].index(value)

    def boxes(self, formula: Formula, holds: bool = True) -> list[Box]:
        """Where the formula holds, or where it does not. Raises TooLarge."""
        match formula:
            case Not(part):
                return self.boxes(part, not holds)
            case Every(parts) | Either(parts):
                lists = [self.boxes(part, holds) for part in parts]
                if isinstance(formula, Every) is holds:
                    return self._product(lists)
                return _bounded([box for boxes in lists for box in boxes])
            case OneOf() | Within():
                mask = self._mask(formula)
                return [{formula.fact: mask if holds else self.full(formula.fact) & ~mask}]
            case Switched():
                return self._switched(formula, formula.wanted is holds)
            case Named():
                return _named(formula, holds)

    def possible(self, box: Box) -> bool:
        """False where no request can be in the box."""
        return all(box.values()) and self._tools_agree(box) and _names_agree(box)

    def meet(self, first: Box, second: Box) -> Box:
        """The part of a box that lies in another."""
        return {key: first.get(key, -1) & second.get(key, -1) for key in (*first, *second)}

    def _mask(self, atom: OneOf | Within) -> int:
        """The cells where the atom holds, by the same closure that decides."""
        test = compiled(atom, {atom.fact: 0})
        return sum(1 << bit for bit, sample in enumerate(self._cells[atom.fact]) if test((sample,)))

    def _switched(self, atom: Switched, tripped: bool) -> list[Box]:
        states = [atom.trip.state(sample) for sample in self._cells[atom.fact]]
        certain = sum(1 << bit for bit, state in enumerate(states) if state is tripped)
        between = sum(1 << bit for bit, state in enumerate(states) if state is None)
        return [{atom.fact: certain}, {atom.fact: between, atom.trip: YES if tripped else NO}]

    def _product(self, lists: list[list[Box]]) -> list[Box]:
        product: list[Box] = [{}]
        for boxes in lists:
            met = (self.meet(first, second) for first, second in itertools.product(product, boxes))
            product = _bounded([box for box in met if self.possible(box)])
        return product

    def _tools_agree(self, box: Box) -> bool:
        """A tool with a name is a tool, and a call can be asked for only where there are tools."""
        may_have = box.get("tools", BOTH) & YES
        needs = any(mask == YES for (fact, _), mask in _names(box) if fact == "tool")
        choices = box.get("tool_choice", -1)
        asks = not choices & self._optional_call
        return bool(may_have) or not (needs or asks)


def _bounded(boxes: list[Box]) -> list[Box]:
    if len(boxes) > MOST_BOXES:
        raise TooLarge
    return boxes


def _points(atom: Formula) -> Iterator[float]:
    match atom:
        case Within():
            yield from (bound[0] for bound in (atom.low, atom.high) if bound)
        case Switched():
            yield from (atom.trip.bound, atom.trip.reset)


def _samples(known: Numbers, points: set[float]) -> Iterator[float | None]:
    """One value for each point, and for each gap between points, that the field can have."""
    if known.optional:
        yield None
    edges = sorted(point for point in points | {known.least, known.most} if known.least <= point <= known.most)
    for edge, after in itertools.zip_longest(edges, edges[1:]):
        if not math.isinf(edge) and not (known.whole and edge != int(edge)):
            yield edge
        if after is None:
            return
        inside = math.floor(edge) + 1 if known.whole or math.isinf(after) else (edge + after) / 2
        if edge < inside < after:
            yield inside


def _named(atom: Named, holds: bool) -> list[Box]:
    wanted = YES if (atom.how != "none") is holds else NO
    keys = [(atom.fact, pattern) for pattern in dict.fromkeys(atom.patterns)]
    at_once = (atom.how == "any") is not holds
    return [dict.fromkeys(keys, wanted)] if at_once else [{key: wanted} for key in keys]


def _names(box: Box) -> Iterator[tuple[tuple[str, str], int]]:
    return ((key, mask) for key, mask in box.items() if isinstance(key, tuple))


def _names_agree(box: Box) -> bool:
    """No name is there whose pattern a missing one covers; a field with one name has one."""
    names = list(_names(box))
    for ((fact, there), yes), ((other, pattern), mask) in itertools.permutations(names, 2):
        if fact != other or yes != YES or fact not in _GLOBS:
            continue
        if mask == NO and covers(pattern, there):
            return False
        single = FACTS[fact]
        alone = isinstance(single, Names) and single.single and _literal(there)
        if alone and mask == YES and not covers(pattern, there):
            return False
    return True


_GLOBS = ("tool", "tenant")


def covers(pattern: str, other: str) -> bool:
    """Whether every name that matches `other` matches `pattern`, as far as that is certain."""
    return re.fullmatch(as_regex(pattern.replace("?", "\0")).replace("\0", "[^*]"), other) is not None


def _literal(pattern: str) -> bool:
    return "*" not in pattern and "?" not in pattern
