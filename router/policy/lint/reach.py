"""Which rules can never decide, and because of whom: proved, never guessed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field

from triroute.router.policy import formula
from triroute.router.policy.document import Path
from triroute.router.policy.formula import Either, Every, Formula, Not
from triroute.router.policy.lint.space import Box, Space, TooLarge
from triroute.router.policy.vocabulary import PolicyFile


@dataclass(frozen=True, slots=True)
class Reach:
    """What is known of a rule. `region`: where it decides, or None where that takes too long to say.

    `contradiction`: the place of conditions that can't hold, with the two that exclude each other where they are two.
    """

    region: list[Box] | None
    covered_by: tuple[str, ...] = ()
    contradiction: tuple[Path, tuple[Path, ...]] | None = None
    dead: tuple[Path, ...] = field(default=())


def reach(file: PolicyFile) -> tuple[Space, list[Reach]]:
    """Each rule's reach, in order. Every later rule is judged against the enforced ones before it."""
    formulas = [formula.of(rule.when, ("rules", index, "when")) for index, rule in enumerate(file.rules)]
    space = Space(formulas)
    found: list[Reach] = []
    before: list[tuple[str, list[Box]]] = []
    for rule, whole in zip(file.rules, formulas, strict=True):
        try:
            boxes = space.boxes(whole)
        except TooLarge:
            found.append(Reach(None))
            continue
        if not boxes:
            found.append(Reach([], contradiction=_contradiction(space, whole)))
            continue
        covered_by, region = _covered(space, boxes, before)
        found.append(Reach(region, covered_by, dead=tuple(_dead(space, whole))))
        if rule.enforcement == "enforce":
            before.append((rule.id, boxes))
    return space, found


def _covered(
    space: Space, boxes: list[Box], before: list[tuple[str, list[Box]]]
) -> tuple[tuple[str, ...], list[Box] | None]:
    """The rules that take everything, one where one is enough; and what is left."""
    left: list[Box] | None = boxes
    took: list[str] = []
    for rule_id, others in before:
        try:
            if not space.minus(boxes, others):
                return (rule_id,), []
            if left is not None:
                rest = space.minus(left, others)
                took += [rule_id] * (rest != left)
                left = rest
        except TooLarge:
            left = None
        if left == []:
            return tuple(took), []
    return (), left


def _contradiction(space: Space, whole: Formula) -> tuple[Path, tuple[Path, ...]]:
    """The smallest part that can't hold, and the two parts of it that exclude each other, where they are two."""
    if isinstance(whole, Every):
        for part in whole.parts:
            if not _can_hold(space, part):
                return _contradiction(space, part)
        for pair in itertools.combinations(whole.parts, 2):
            if not _can_hold(space, Every(pair, whole.path)):
                return pair[1].path, (pair[0].path, pair[1].path)
    if isinstance(whole, Either) and len(whole.parts) == 1:
        return _contradiction(space, whole.parts[0])
    return whole.path, ()


def _dead(space: Space, whole: Formula) -> Iterator[Path]:
    """Alternatives of an `any` that can't hold."""
    match whole:
        case Either(parts):
            for part in parts:
                if not _can_hold(space, part):
                    yield _contradiction(space, part)[0]
                else:
                    yield from _dead(space, part)
        case Every(parts):
            for part in parts:
                yield from _dead(space, part)
        case Not(part):
            yield from _dead(space, part)


def _can_hold(space: Space, part: Formula) -> bool:
    try:
        return any(space.possible(box) for box in space.boxes(part))
    except TooLarge:
        return True
