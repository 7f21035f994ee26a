"""Which rules can never decide, and because of whom: proved, never guessed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from triroute.router.policy import formula
from triroute.router.policy.document import Path
from triroute.router.policy.formula import Either, Every, Formula, Not
from triroute.router.policy.lint.cover import Cover
from triroute.router.policy.lint.space import Box, Space, TooLarge
from triroute.router.policy.vocabulary import PolicyFile

_MOST_NAMED = 60


@dataclass(frozen=True, slots=True)
class Reach:
    """What is known of a rule. `boxes`: where its conditions hold, None where that takes too long to say.

    `contradiction`: the place of conditions that can't hold, with the two that exclude each other where they are two.
    """

    boxes: list[Box] | None
    covered_by: tuple[str, ...] = ()
    contradiction: tuple[Path, tuple[Path, ...]] | None = None
    dead: tuple[Path, ...] = ()


class Reaches:
    """Each rule's reach, in order; every rule is judged against the enforced ones before it.

    In a session that holds an earlier load, urgent rules see another load than the rest: conditions on the load are
    then compared only among rules that see the same.
    """

    def __init__(self, file: PolicyFile) -> None:
        formulas = [formula.of(rule.when, ("rules", index, "when")) for index, rule in enumerate(file.rules)]
        self.space = Space(formulas)
        places = [self._boxes(whole) for whole in formulas]
        self._cover = Cover(self.space, [box for boxes in places for box in boxes or []])
        self.rules: list[Reach] = []
        self._before: list[tuple[int, str, list[Box]]] = []
        earlier: list[tuple[tuple[int, str, list[Box]], bool | None]] = []
        for index, (rule, whole, boxes) in enumerate(zip(file.rules, formulas, places, strict=True)):
            looks = any(atom.fact.startswith("load.") for atom in formula.atoms(whole))
            sees_now = (rule.urgent and file.session is not None) if looks else None
            self._before = [one for one, now in earlier if now is None or now is bool(sees_now)]
            self.rules.append(self._reach(whole, boxes))
            if boxes and rule.enforcement == "enforce":
                earlier.append(((index, rule.id, boxes), sees_now))
        self._before = [one for one, _ in earlier]

    def decides_in(self, index: int, box: Box) -> bool:
        """Whether the rule certainly decides some step in the box, as far as names tell."""
        boxes = [self.space.meet(own, box) for own in self.rules[index].boxes or []]
        before = [other for number, _, others in self._before if number < index for other in others]
        try:
            return not self._cover.all_of(boxes, before)
        except TooLarge:
            return False

    def _boxes(self, whole: Formula) -> list[Box] | None:
        try:
            return self.space.boxes(whole)
        except TooLarge:
            return None

    def _reach(self, whole: Formula, boxes: list[Box] | None) -> Reach:
        if boxes is None:
            return Reach(None)
        if not boxes:
            return Reach([], contradiction=_contradiction(self.space, whole))
        return Reach(boxes, self._covered_by(boxes), dead=tuple(_dead(self.space, whole)))

    def _covered_by(self, boxes: list[Box]) -> tuple[str, ...]:
        """Earlier rules that take everything, one where one is enough; none where the rule can decide."""
        try:
            if not self._cover.all_of(boxes, [other for _, _, others in self._before for other in others]):
                return ()
            one = next((name for _, name, others in self._before if self._cover.all_of(boxes, others)), None)
            return (one,) if one else self._needed(boxes)
        except TooLarge:
            return ()

    def _needed(self, boxes: list[Box]) -> tuple[str, ...]:
        """Of rules that together cover the boxes, those without which they would not."""
        needed = [(name, others) for _, name, others in self._before if self._touch(boxes, others)]
        for one in list(reversed(needed)) if len(needed) <= _MOST_NAMED else []:
            rest = [other for name, others in needed if name != one[0] for other in others]
            if self._cover.all_of(boxes, rest):
                needed.remove(one)
        return tuple(name for name, _ in needed)

    def _touch(self, boxes: list[Box], others: list[Box]) -> bool:
        return any(self.space.possible(self.space.meet(box, other)) for box in boxes for other in others)


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
