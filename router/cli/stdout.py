"""Stdout that may not take what commands write: one line says so, and nobody's traceback."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from rich.markup import escape

from triroute.router.cli.exits import FAILED
from triroute.router.cli.screen import errors


class StdoutFailed(OSError):
    """What was to be written to stdout is not."""


class _Stdout(io.FileIO):
    """Its failures are told from those of other files."""

    def write(self, data: bytes) -> int:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise StdoutFailed(error.errno, error.strerror) from error


@contextmanager
def guarded_stdout() -> Iterator[None]:
    """For a whole command. Raises SystemExit where stdout can't be written; nothing is said where nobody reads on."""
    sys.stdout = _guarded(sys.stdout)
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except StdoutFailed as error:
        _forget(sys.stdout)
        try:
            why = escape(error.strerror or str(error))
            errors.print(f"[red]stdout can't be written[/red]: {why}", soft_wrap=True, highlight=False)
        except OSError:  # it may be the same
            _forget(sys.stderr)
        sys.exit(FAILED)
    except BrokenPipeError:
        _forget(sys.stdout)
        sys.exit(FAILED)


def _guarded(given: TextIO | None) -> TextIO:
    if given is None:  # closed: nobody is to read it
        return open(os.devnull, "w", encoding="utf-8")
    if not isinstance(given, io.TextIOWrapper):
        return given
    given.flush()
    raw = _Stdout(given.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        raw if given.write_through else io.BufferedWriter(raw),  # type: ignore[type-var]
        given.encoding,
        given.errors,
        line_buffering=given.line_buffering,
        write_through=given.write_through,
    )


def _forget(stream: TextIO) -> None:
    """What is left in its buffers goes nowhere: Python writes it once more as it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
