"""Thousands of distinct prompts from a few hundred words, so that training needs no data from elsewhere."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from triroute.engine.training.prompts import WORKLOADS, Prompt, parse_tools

_WORDS = Path(__file__).parent / "data" / "words.json"
_SLOT = re.compile(r"\{(\w+)\}")
_SYSTEM_SHARE = 0.25  # prompts that have a system text
_MOST_TOOLS = 3


def make_prompts(count: int, seed: int) -> list[Prompt]:
    """At most `count` distinct prompts, all workloads in turn; fewer only where the words run out."""
    words: Mapping[str, Any] = json.loads(_WORDS.read_text("utf-8"))
    draw = random.Random(seed)
    made: dict[Prompt, None] = {}
    for attempt in range(4 * count):
        if len(made) == count:
            break
        made[_make(words, WORKLOADS[attempt % len(WORKLOADS)], draw)] = None
    return list(made)


def _make(words: Mapping[str, Any], workload: str, draw: random.Random) -> Prompt:
    template = draw.choice(words["templates"][workload])
    if isinstance(template, Mapping):
        return Prompt(workload, raw=_fill(template["raw"], words, draw))
    system = draw.choice(words["systems"]) if draw.random() < _SYSTEM_SHARE else ""
    if workload != "tool_call":
        return Prompt(workload, _fill(template, words, draw), system)
    tool = draw.choice(words["tools"])
    offered = [tool, *draw.sample(words["tools"], draw.randrange(_MOST_TOOLS))]
    offered = list({one["name"]: one for one in offered}.values())
    draw.shuffle(offered)
    asked = _fill(draw.choice(tool["asks"]), words, draw)
    return Prompt(workload, _fill(template, words, draw, {"ask": asked}), tools=parse_tools(offered))


def _fill(
    template: str, words: Mapping[str, Sequence[str]], draw: random.Random, given: Mapping[str, str] | None = None
) -> str:
    """`template` with each {name} replaced by a random word of that name, whose own names are replaced too."""
    known = given or {}

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        if name in known:
            return known[name]
        if name == "number":
            return str(draw.choice((2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 50, 100)))
        return _fill(draw.choice(words[name]), words, draw, known)

    filled = _SLOT.sub(replace, template)
    return filled[0].upper() + filled[1:] if template.startswith("{") and not known else filled
