"""Which recorded decisions two policies make differently, gathered by rule and by what changes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from triroute.router.policy.diff import plain
from triroute.router.policy.load import Policy
from triroute.router.policy.plan import effective
from triroute.router.policy.traffic.recorded import Recorded
from triroute.router.policy.traffic.replay import Made, replay
from triroute.router.types import DecodePlan, Extras

_EXAMPLES = 3
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Group:
    """Steps that change in the same way: from rule to rule, and each parameter as (name, before, after).

    `otherwise`: whether that decodes otherwise, too. `examples` are some of their request ids.
    """

    before: str
    after: str
    parameters: tuple[tuple[str, Any, Any], ...]
    count: int
    otherwise: bool
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Changes:
    """Of so many `decisions`, those that change, the largest group first."""

    decisions: int
    groups: tuple[Group, ...]

    @property
    def changed(self) -> int:
        return sum(group.count for group in self.groups)

    @property
    def otherwise(self) -> int:
        """Those that decode otherwise as well, and not only by another rule or with a setting that plays no part."""
        return sum(group.count for group in self.groups if group.otherwise)


def changes(before: Policy, after: Policy, steps: Sequence[Recorded]) -> Changes:
    """Decide all steps by both."""
    ids: dict[tuple[str, str, str, bool], list[str]] = defaultdict(list)
    parameters: dict[tuple[str, str, str, bool], tuple[tuple[str, Any, Any], ...]] = {}
    for old, new in zip(replay(before, steps), replay(after, steps), strict=True):
        left, right = _side(old), _side(new)
        if left != right:
            moved = tuple(_moved(left, right)) if old.decision and new.decision else ()
            key = (left["rule"], right["rule"], repr(moved), _runs(old) != _runs(new))
            parameters[key] = moved
            ids[key].append(old.of.id)
    groups = [
        Group(*key[:2], parameters[key], len(same), key[-1], tuple(same[:_EXAMPLES])) for key, same in ids.items()
    ]
    return Changes(len(steps), tuple(sorted(groups, key=lambda group: -group.count)))


def _side(made: Made) -> dict[str, Any]:
    return plain(made.decision) if made.decision else {"rule": REFUSED}


def _runs(made: Made) -> tuple[DecodePlan, Extras] | None:
    return (effective(made.decision.plan), made.decision.extras) if made.decision else None


def _moved(left: dict[str, Any], right: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    for name in left:
        if name != "rule" and left[name] != right[name]:
            yield name, left[name], right[name]
