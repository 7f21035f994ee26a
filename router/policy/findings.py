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
        hint = f"; {self.hint}" if self.hint else ""
        return (
            f"{self.file}:{self.line}:{self.column}: {self.message}{hint}{f' (rule {self.rule})' if self.rule else ''}"
        )

    def as_dict(self) -> dict[str, str | int]:
        """The finding for JSON: {code, severity, file, line, column, rule, message, hint}."""
        return dataclasses.asdict(self) | {"severity": self.severity.name.lower()}
