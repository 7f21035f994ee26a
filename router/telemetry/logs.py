"""What a service logs: lines for people on a terminal, JSON elsewhere; those about a step name its trace.

No line holds text of a prompt or an output. A bug's message may quote some, so that where a step is concerned only its
kind and its place are logged.
"""

from __future__ import annotations

import json
import logging
import traceback
from contextvars import ContextVar
from typing import NamedTuple

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

from triroute.router.run import CANCELLED, Run
from triroute.router.telemetry import names
from triroute.router.telemetry.spans import step_words

steps = logging.getLogger("triroute.steps")
_engine = logging.getLogger("triroute.engine")

_LONGEST_LINE = 500
_OF_ENGINES = {names.LOG_LEVEL, names.LOG_LOGGER, names.LOG_MESSAGE, names.LOG_TIME}


class About(NamedTuple):
    """The step that a task works for; empty where there is none yet."""

    request_id: str = ""
    trace_id: str = ""
    span_id: str = ""


_about: ContextVar[About | None] = ContextVar("triroute_step", default=None)


def about(step: About) -> None:
    """From here on, this task and those that it starts work for `step`."""
    _about.set(step)


class Steps(logging.Filter):
    """Adds to each line the step that it is about, and takes from a traceback what could quote the step's text."""

    def filter(self, record: logging.LogRecord) -> bool:
        step = _about.get()
        if step is not None:
            for name, value in zip((names.LOG_REQUEST_ID, names.TRACE_ID, names.SPAN_ID), step, strict=True):
                if value:
                    setattr(record, name, value)
            if record.exc_info and record.exc_info[1] is not None:
                record.exc_text, record.exc_info = _place(record.exc_info[1]), None
        return True


def handler_of_json() -> logging.Handler:
    """Writes each line as a JSON object to stderr."""
    handler = logging.StreamHandler()
    renamed = {"levelname": names.LOG_LEVEL, "name": names.LOG_LOGGER, "exc_info": names.LOG_EXCEPTION}
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "name", "message"],
            rename_fields=dict(renamed),
            timestamp=names.LOG_TIME,
            reserved_attrs=[*RESERVED_ATTRS, "color_message"],  # the last is uvicorn's, for terminals
        )
    )
    return handler


def step_ended(run: Run) -> None:
    """One line for a step, at INFO."""
    if not steps.isEnabledFor(logging.INFO):
        return
    told = step_words(run)
    seconds = (run.ended_ns - run.arrived_ns) / 1e9
    outcome = told.get(names.ERROR) or told.get(names.FINISH_REASONS) or CANCELLED
    steps.info(
        "step of %s by rule %s: %s after %.3f s",
        *(told.get(names.STEP_KIND, "no kind"), told.get(names.POLICY_RULE) or "none", outcome, seconds),
        extra={**told, names.LOG_SECONDS: round(seconds, 6)},
    )


def heard(line: str) -> str:
    """Log a line that an engine wrote on stderr: JSON of its own logger, or anything. What it says, for people."""
    try:
        told = json.loads(line)
        level = logging.getLevelNamesMapping()[told[names.LOG_LEVEL]]
        words = str(told[names.LOG_MESSAGE])
    except (ValueError, TypeError, KeyError):
        level, told, words = logging.WARNING, {}, line.rstrip()[:_LONGEST_LINE]
    _engine.log(level, "engine: %s", words, extra={key: told[key] for key in told if key not in _OF_ENGINES})
    return words


def _place(error: BaseException) -> str:
    """Its kind, and where it came from."""
    return "".join([*traceback.format_tb(error.__traceback__), type(error).__qualname__])
