"""The numbers of a policy that `tune` may turn, and what to try for each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from triroute.router.policy import document
from triroute.router.policy.document import Path
from triroute.router.policy.edit import changed
from triroute.router.policy.load import Policy
from triroute.router.types import Mode

_BLOCKS = (2, 3, 4, 6, 8, 12, 16, 24, 32)
_COUNTS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
_SHARES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_CONFIDENCES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_DRAFT_THRESHOLDS = (0.0, 0.2, 0.4, 0.6)
_SURE = (0.95, 0.97, 0.99)
_BOUNDS = ("lt", "lte", "gt", "gte")

Setting = tuple[tuple[Path, Any], ...]


@dataclass(frozen=True, slots=True)
class Knob:
    """One number, or several that go together: `name` in words, what it is `now`, and `settings` to try.

    `surer`: a higher threshold, which makes diffusion's text better and no faster.
    """

    name: str
    now: Any
    settings: tuple[tuple[Any, Setting], ...]
    surer: bool = False


def turned(text: str, setting: Setting) -> str | None:
    """The policy's text with this setting; None where the text can't be edited so."""
    edited: str | None = text
    for path, value in setting:
        edited = edited and changed(edited, path, value)
    return edited


def knobs(text: str, policy: Policy) -> list[Knob]:
    """All of a policy's, in the order of its rules."""
    data = document.read(text).data
    found = list(_uses(("defaults",), "defaults", data.get("defaults") or {}, policy)) if data.get("defaults") else []
    for index, rule in enumerate(data["rules"]):
        found += _uses(("rules", index, "use"), f"rule {rule['id']}", rule["use"] or {}, policy, index)
        found += _confidences(("rules", index, "when"), f"rule {rule['id']}", rule.get("when") or {})
    return [*found, *_loads(data)]


def _uses(at: Path, name: str, use: dict[str, Any], policy: Policy, index: int | None = None) -> Iterator[Knob]:
    limits = policy.file.limits
    plan = policy.compiled.rules[index].plan if index is not None else None
    if "block_length" in use or (plan and plan.mode is not Mode.AUTOREGRESSIVE):
        least, most = limits.block_length
        now = use.get("block_length", "as the defaults say")
        options = ["auto", *(n for n in _BLOCKS if least <= n <= most)]
        yield _single(f"{name}: block_length", now, (*at, "block_length"), options)
    if "draft_threshold" in use:
        yield _single(
            f"{name}: draft_threshold", use["draft_threshold"], (*at, "draft_threshold"), list(_DRAFT_THRESHOLDS)
        )
    if "confidence_threshold" in use:
        now = use["confidence_threshold"]
        options = [one for one in _SURE if now < one <= limits.confidence_threshold[1]]
        yield _single(f"{name}: confidence_threshold", now, (*at, "confidence_threshold"), options, surer=True)


def _single(name: str, now: Any, path: Path, options: list[Any], *, surer: bool = False) -> Knob:
    return Knob(name, now, tuple((one, ((path, one),)) for one in options if one != now), surer)


def _confidences(at: Path, name: str, when: Any) -> Iterator[Knob]:
    """Bounds on the classifier's confidence, wherever they stand in the conditions."""
    for path, part in _walk(at, when):
        if path[-1] == "confidence" and isinstance(part, dict):
            for bound in _BOUNDS:
                if bound in part:
                    yield _single(f"{name}: confidence {bound}", part[bound], (*path, bound), list(_CONFIDENCES))


def _loads(data: dict[str, Any]) -> Iterator[Knob]:
    """Bounds on the load; equal ones are one knob, since they are meant to switch together."""
    alike: dict[tuple[str, float, float | None], list[Path]] = defaultdict(list)
    for index, rule in enumerate(data["rules"]):
        for path, part in _walk(("rules", index, "when"), rule.get("when") or {}):
            if len(path) > 1 and path[-2] == "load" and isinstance(part, dict):
                for name in _BOUNDS:
                    if name in part:
                        alike[str(path[-1]), part[name], part.get("resume_at")].append((*path, name))
    for (figure, bound, reset), paths in alike.items():
        names = ", ".join(dict.fromkeys(f"rule {data['rules'][path[1]]['id']}" for path in paths))
        words = "/".join(dict.fromkeys(str(path[-1]) for path in paths))
        settings = []
        for value in _SHARES if figure == "cache_used" else _COUNTS:
            if value != bound:
                edits: list[tuple[Path, Any]] = [(path, value) for path in paths]
                if reset is not None and bound:
                    lower = _lower(figure, value, reset / bound)
                    edits += [((*path[:-1], "resume_at"), lower) for path in paths]
                settings.append((value, tuple(edits)))
        yield Knob(f"{names}: load.{figure} {words}", bound, tuple(settings))


def _lower(figure: str, bound: float, share: float) -> float:
    """Where a switch resets, the same share under its bound."""
    return round(bound * share, 3) if figure == "cache_used" else min(round(bound * share), int(bound) - 1)


def _walk(path: Path, part: Any) -> Iterator[tuple[Path, Any]]:
    yield path, part
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield from _walk((*path, key), value)
