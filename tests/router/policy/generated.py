"""Policies made at random that have nothing wrong, and YAML whose places are known without the reader under test."""

from __future__ import annotations

import json
import random
from typing import Any

Place = tuple[int, int]
Path = tuple[str | int, ...]

LIMITS = {"block_length": [2, 32], "confidence_threshold": [0.5, 0.99], "max_steps": [1, 64]}
SAFE_STEPS = ["plan", "code", "prose", "unknown"]


def good_policy(rng: random.Random) -> dict[str, Any]:
    """A policy without a finding: every rule asks for a tag, tenant or tool of its own."""
    rules = [_rule(rng, number) for number in range(rng.randint(3, 9))]
    rules.append({"id": "otherwise", "use": {"mode": "autoregressive"}})
    return {
        "version": 1,
        "metadata": {"name": f"policy-{rng.randint(0, 999)}", "owner": "somebody"},
        "defaults": {"block_length": "auto", "max_steps": rng.randint(1, 64)},
        "limits": {name: list(bounds) for name, bounds in LIMITS.items()},
        "hints": {"allow": rng.sample(["step", "mode", "variant", "block_length"], 2)},
        "rules": rules,
    }


def _rule(rng: random.Random, number: int) -> dict[str, Any]:
    own = rng.choice(
        [{"tags": {"any": [f"tag{number}"]}}, {"tenant": f"tenant-{number}-*"}, {"tool": [f"tool{number}_?", "x"]}]
    )
    if "tool" in own:
        own["tool"] = [f"tool{number}_*"]
    when = {**own, **_also(rng)}
    use: dict[str, Any] = {"mode": rng.choice(["autoregressive", "diffusion", "self_speculation"])}
    if use["mode"] == "diffusion":
        when |= {"step": rng.sample(SAFE_STEPS, rng.randint(1, 3))}
        use |= {"block_length": rng.randint(2, 32), "confidence_threshold": rng.choice([0.5, 0.75, 0.99])}
    if use["mode"] == "self_speculation":
        use |= {"variant": rng.choice(["linear", "quadratic"]), "max_steps": rng.randint(1, 64)}
    rule = {"id": f"rule-{number}", "when": when, "use": use}
    return rule | ({"enforcement": "shadow"} if rng.random() < 0.2 else {})


def _also(rng: random.Random) -> dict[str, Any]:
    """Conditions that all can hold together."""
    bound = rng.randint(4, 40)
    options: dict[str, Any] = {
        "confidence": {rng.choice(["gte", "gt"]): rng.choice([0.2, 0.5, 0.8])},
        "max_tokens": {"gt": rng.randint(1, 100), "lte": rng.randint(200, 900)},
        "schema": rng.random() < 0.5,
        "session": rng.random() < 0.5,
        "last_role": rng.choice(["user", ["tool", "user"]]),
        "turn": {"tool_loop": {"gte": rng.randint(0, 5)}, "last_tool_failed": rng.random() < 0.5},
        "latency": {"class": rng.choice(["interactive", ["batch", "standard"]])},
        "load": {"running": {rng.choice(["lt", "gte"]): bound, "resume_at": bound - rng.randint(1, 3)}},
        "any": [{"prompt_characters": {"lt": rng.randint(1, 999)}}, {"hints": {"none": ["mode"]}}],
        "not": {"expected_tokens": {"lt": rng.randint(1, 99)}},
    }
    return {name: options[name] for name in rng.sample(sorted(options), rng.randint(0, 4))}


def written(data: dict[str, Any]) -> tuple[str, dict[Path, Place]]:
    """YAML in block style; where each value stands, and under (*path, "<key>") where its key does."""
    lines: list[str] = []
    places: dict[Path, Place] = {}
    _write(data, (), 0, "", lines, places)
    return "\n".join(lines) + "\n", places


def _write(value: Any, path: Path, indent: int, head: str, lines: list[str], places: dict[Path, Place]) -> None:
    """`head` is what already stands on the line that comes next."""
    if isinstance(value, dict) and value:
        for number, (key, item) in enumerate(value.items()):
            start = head if number == 0 and head.endswith("- ") else " " * indent
            place = (len(lines) + 1, len(start) + 1)
            places.setdefault(path, place)
            places[(*path, key, "<key>")] = place
            nested = isinstance(item, dict | list) and item
            if nested:
                lines.append(f"{start}{key}:")
                _write(item, (*path, key), indent + 2, "", lines, places)
            else:
                text = f"{start}{key}: "
                places[(*path, key)] = (len(lines) + 1, len(text) + 1)
                lines.append(text + _scalar(item))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            start = " " * indent + "- "
            places.setdefault(path, (len(lines) + 1, indent + 1))
            if isinstance(item, dict):
                _write(item, (*path, number), indent + 2, start, lines, places)
            else:
                places[(*path, number)] = (len(lines) + 1, len(start) + 1)
                lines.append(start + _scalar(item))


def _scalar(value: Any) -> str:
    return json.dumps(value)
