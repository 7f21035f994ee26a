"""How the lines of the log look: for people, or as JSON."""

from __future__ import annotations

import logging
from enum import StrEnum

from rich.logging import RichHandler

from triroute.router.cli.screen import errors
from triroute.router.telemetry.logs import Steps, handler_of_json


class LogFormat(StrEnum):
    """`auto` is JSON for a service whose stderr is no terminal."""

    AUTO = "auto"
    TEXT = "text"
    JSON = "json"


def configure(wanted: LogFormat, is_service: bool, verbose: bool) -> None:
    """All that is logged from here on. Of a service its operator hears warnings, of one call what failed it."""
    quiet = logging.WARNING if is_service else logging.ERROR
    handler = _handler(wanted, is_service, verbose)
    handler.addFilter(Steps())
    logging.basicConfig(level=logging.INFO if verbose else quiet, handlers=[handler])


def _handler(wanted: LogFormat, is_service: bool, verbose: bool) -> logging.Handler:
    if wanted is LogFormat.JSON or (wanted is LogFormat.AUTO and is_service and not errors.is_terminal):
        return handler_of_json()
    if errors.is_terminal:
        rich = RichHandler(console=errors, show_path=False, show_time=verbose)
        rich.setFormatter(logging.Formatter("%(message)s"))
        return rich
    plain = logging.StreamHandler()  # a file: nothing is wrapped
    plain.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return plain
