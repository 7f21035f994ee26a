"""Prompts to train and to measure on: what they are, and how they are read from JSON lines.

A line holds `workload` and either `user` text, with an optional `system` text and `tools`, or `raw` text to go on with:

    {"workload": "plan", "user": "Plan a picnic for six."}
    {"workload": "tool_call", "user": "Is it raining in Oslo?", "tools": [{"name": "weather", "parameters": {}}]}
    {"workload": "code", "raw": "def add(a, b):"}
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from triroute.engine.chat import Message, Role, Tool, encode_chat
from triroute.engine.errors import TrainingError
from triroute.engine.tokenizer import Tokenizer

WORKLOADS = ("plan", "tool_call", "code", "prose", "chat", "summary")
HELD_OUT = Path(__file__).parent / "data" / "held_out.jsonl"  # to measure on: nothing is trained on it
_KEYS = {"workload", "user", "system", "tools", "raw"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """One prompt. Either `raw` or `user` is not empty."""

    workload: str
    user: str = ""
    system: str = ""
    tools: tuple[Tool, ...] = ()
    raw: str = ""

    def encode(self, template: str | None, tokenizer: Tokenizer) -> tuple[int, ...]:
        """Token ids as a request with this prompt would have them. Raises InvalidRequest."""
        if self.raw:
            return tuple(tokenizer.encode(self.raw))
        system = (Message(Role.SYSTEM, self.system),) if self.system else ()
        return encode_chat((*system, Message(Role.USER, self.user)), self.tools, template, tokenizer)


def read_prompts(path: Path) -> list[Prompt]:
    """The prompts of a JSON lines file. Raises TrainingError, with FILE:LINE."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise TrainingError(f"{path}: can't be read: {error}") from error
    return list(_parse(lines, str(path)))


def _parse(lines: Iterable[str], where: str) -> Iterable[Prompt]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            yield _prompt(json.loads(line))
        except (ValueError, RecursionError) as error:
            raise TrainingError(f"{where}:{number}: {error}") from error


def _prompt(fields: Any) -> Prompt:
    """Raises ValueError."""
    if not isinstance(fields, dict):
        raise ValueError("a prompt is a JSON object with workload and user, or workload and raw")
    unknown = sorted(fields.keys() - _KEYS)
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r}; a prompt has {', '.join(sorted(_KEYS))}")
    if fields.get("workload") not in WORKLOADS:
        raise ValueError(f"workload is {fields.get('workload')!r}; it must be one of {', '.join(WORKLOADS)}")
    texts = {key: fields.get(key, "") for key in ("user", "system", "raw")}
    strange = [key for key, text in texts.items() if not isinstance(text, str)]
    if strange:
        raise ValueError(f"{strange[0]} must be text")
    if bool(texts["user"]) == bool(texts["raw"]):
        raise ValueError("exactly one of user and raw must hold text")
    return Prompt(fields["workload"], tools=parse_tools(fields.get("tools", [])), **texts)


def parse_tools(listed: Any) -> tuple[Tool, ...]:
    """Raises ValueError."""
    good = isinstance(listed, list) and all(isinstance(t, dict) and isinstance(t.get("name"), str) for t in listed)
    if not good:
        raise ValueError("tools must be a list of objects with a name")
    return tuple(
        Tool(tool["name"], str(tool.get("description", "")), json.dumps(tool.get("parameters", {}))) for tool in listed
    )
