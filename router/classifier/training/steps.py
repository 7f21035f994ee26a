"""The training data as it is kept: features of steps and what followed, no text. One line a step, gzipped."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from triroute.router.classifier.certain import certain
from triroute.router.classifier.encoder import Vectors
from triroute.router.classifier.model import KINDS, features
from triroute.router.classifier.sight import see
from triroute.router.classifier.training.chats import Example
from triroute.router.classifier.training.vote import vote
from triroute.router.types import Request, Role, StepKind

DATA = Path(__file__).parent / "steps.jsonl.gz"
_VERSION = 1
_LEAST_SESSIONS = 3  # with fewer, a feature is left out: it could tell who wrote


@dataclass(frozen=True, slots=True)
class Row:
    """A step. `session` is the hash of the conversation's first user turn; `rules` is what the rules alone would say.

    `certain` is what structure leaves no choice about, or unknown.
    """

    source: str
    framework: str
    session: str
    label: StepKind
    rules: StepKind
    certain: StepKind
    features: tuple[str, ...]
    meaning: Vectors | None = field(default=None, repr=False, compare=False)  # an encoder's; kept in no file


def to_row(example: Example) -> Row:
    """An example without its text."""
    seen = tuple(sorted(set(features(see(example.request)))))
    asked = [m.content for m in example.request.messages if m.role is Role.USER] or [example.request.text]
    normal = re.sub(r"[\W\d]+", " ", asked[0][:600].lower())
    session = _digest(normal)
    kind = vote(example.request).kind
    known = certain(example.request)
    sure = known[0] if known else StepKind.UNKNOWN
    return Row(example.source, example.framework, session, example.label, kind, sure, seen)


def unrepeated(examples: Iterable[Example]) -> Iterator[Example]:
    """Each answer to each request once: what several models make of one request are steps of their own."""
    seen: set[tuple[Request, StepKind, str]] = set()
    for one in examples:
        key = (one.request, one.label, one.said)
        if key not in seen:
            seen.add(key)
            yield one


def thin(rows: Iterable[Row], most: int) -> list[Row]:
    """At most so many, of every session as many as there can be; in an order that neither splits nor kinds go by."""
    sessions: dict[str, list[Row]] = {}
    for row in sorted(rows, key=lambda row: (_digest(" ".join(row.features)), row.label)):
        sessions.setdefault(row.session, []).append(row)
    turns = [(turn, name[::-1], row) for name, kept in sessions.items() for turn, row in enumerate(kept)]
    return [row for _, _, row in sorted(turns, key=lambda one: one[:2])[:most]]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def write(rows: list[Row], path: Path) -> None:
    """Keep rows, without the features that too few sessions have."""
    sessions: dict[str, set[str]] = {}
    for row in rows:
        for name in row.features:
            sessions.setdefault(name, set()).add(row.session)
    names = sorted(name for name, among in sessions.items() if len(among) >= _LEAST_SESSIONS)
    numbers = {name: number for number, name in enumerate(names)}
    lines = [json.dumps({"version": _VERSION, "kinds": [kind.value for kind in KINDS], "features": names})]
    for row in rows:
        seen = [numbers[name] for name in row.features if name in numbers]
        lines.append(
            json.dumps(
                [row.source, row.framework, row.session, row.label.value, row.rules.value, row.certain.value, seen]
            )
        )
    with gzip.GzipFile(path, "wb", mtime=0) as file:
        file.write("\n".join(lines).encode())


def read(path: Path = DATA) -> list[Row]:
    """Rows of a file that `write` made. Raises ValueError where it is none."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        head = json.loads(next(file))
        if head.get("version") != _VERSION or head.get("kinds") != [kind.value for kind in KINDS]:
            raise ValueError(f"{path} is of another version; build it again")
        names = head["features"]
        return [
            Row(
                source,
                framework,
                session,
                StepKind(label),
                StepKind(rules),
                StepKind(sure),
                tuple(names[n] for n in seen),
            )
            for source, framework, session, label, rules, sure, seen in map(json.loads, file)
        ]


def balance(rows: Iterable[Row]) -> dict[str, Counter[str]]:
    """How many steps of each kind a source has."""
    counted: dict[str, Counter[str]] = {}
    for row in rows:
        counted.setdefault(row.source, Counter())[row.label.value] += 1
    return counted
