"""The engine's expected failures.

EngineError
├── InvalidRequest    a request that can't run, with the field that says so
├── CheckpointError   a checkpoint that can't be loaded, or an adapter that does not fit it
├── TrainingError     training data that can't be used, or a run that can't go on
└── Duplicate         a request id that is already running
"""

from __future__ import annotations


class EngineError(Exception):
    """An expected failure; the message says what to do."""


class InvalidRequest(EngineError):
    """A request that can't run. `field` is its path in triroute.v1.GenerateRequest."""

    def __init__(self, field: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.field = field
        self.description = description


class CheckpointError(EngineError):
    """A checkpoint or adapter that is missing, damaged or of a kind that Triroute does not run."""


class TrainingError(EngineError):
    """Training data that can't be used, or a training run that can't go on."""


class Duplicate(EngineError):
    """A request id that is already running."""
