"""Files that commands write: never in the place of the log that they read, and whole or not at all."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import typer

from triroute.router.audit.place import Place
from triroute.router.audit.schema import belongs

_OWNER_ALONE = 0o600


@contextmanager
def output(out: Path, records: Place, hint: str, *, private: bool = False) -> Iterator[Path]:
    """A file to write, which takes the place of `out` at the end of the block; an error leaves what was there.

    Who may read `out` still may, and nobody else; a new file that is `private` is for its owner alone. What is no
    regular file, such as a pipe, is written as it is. Raises BadParameter for a file that can't be written, or that is
    the log or belongs to it.
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
            if out.exists():
                _take_over(mine, out.stat())
            elif private:
                mine.chmod(_OWNER_ALONE)
            os.replace(mine, out)
    except OSError as error:
        raise typer.BadParameter(f"{out} can't be written: {error}", param_hint=hint) from error


def _take_over(mine: Path, of: os.stat_result) -> None:
    """Owner, group and mode of another file, as far as this user may: a group that can't be given reads nothing."""
    mode = stat.S_IMODE(of.st_mode)
    with suppress(PermissionError):  # only root gives files away
        os.chown(mine, of.st_uid, -1)
    try:
        os.chown(mine, -1, of.st_gid)
    except PermissionError:
        mode &= ~stat.S_IRWXG
    mine.chmod(mode)
