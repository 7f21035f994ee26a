"""What is wrong, or may be, at a place of a policy file."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from enum import IntEnum


class Severity(IntEnum):
    """How bad. An error makes a policy invalid, or a rule of it useless."""

    NOTE = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding. Line and column count from 1; `rule` is empty outside of rules; `hint` says what to do."""

    code: str
    severity: Severity
    file: str
    line: int
    column: int
    rule: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.place}: {self.told}"

    @property
    def place(self) -> str:
        """`FILE:LINE:COLUMN`."""
        return f"{self.file}:{self.line}:{self.column}"

    @property
    def told(self) -> str:
        """The message, what to do, and the rule."""
        return self.message + (f"; {self.hint}" if self.hint else "") + (f" (rule {self.rule})" if self.rule else "")

    def as_dict(self) -> dict[str, str | int]:
        """The finding for JSON: {code, severity, file, line, column, rule, message, hint}."""
        return dataclasses.asdict(self) | {"severity": self.severity.word}
