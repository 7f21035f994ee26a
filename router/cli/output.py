"""Files that commands write: never in the place of the log that they read, and whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from triroute.router.audit.place import Place
from triroute.router.audit.schema import belongs


@contextmanager
def output(out: Path, records: Place, hint: str) -> Iterator[Path]:
    """A file to write, which takes the place of `out` at the end of the block; an error leaves what was there.

    What is no regular file, such as a pipe, is written as it is. Raises BadParameter for a file that can't be written,
    or that is the log or belongs to it.
    """
    if belongs(records, out):
        raise typer.BadParameter(f"{out} belongs to the log {records}; name another file", param_hint=hint)
    try:
        if out.exists() and not out.is_file():
            yield out
            return
        out = out.resolve()  # a link stays one
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", ignore_cleanup_errors=True) as folder:
            mine = Path(folder, out.name)  # the ending says to some writers what to write
            yield mine
            with mine.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(mine, out)
    except OSError as error:
        raise typer.BadParameter(f"{out} can't be written: {error}", param_hint=hint) from error
