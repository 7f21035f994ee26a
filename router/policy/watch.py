"""A policy file that is watched: edited in place, replaced, or swapped by a symbolic link as Kubernetes does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from triroute.router.errors import InvalidPolicy
from triroute.router.policy.load import read_text
from triroute.router.policy.store import digest

_EVERY_SECONDS = 0.25

Signature = tuple[str, int, int, int] | None
_UNSEEN: Signature = ("", 0, 0, 0)


async def watch(
    path: Path,
    known: str,
    changed: Callable[[str], Awaitable[None]],
    refused: Callable[[InvalidPolicy], None],
    every: float = _EVERY_SECONDS,
) -> None:
    """Until cancelled: call `changed` with each new text, once it stays the same for two looks.

    `known` is the text that is in force. A file that can't be read is `refused`, once.
    """
    settled, pending, content = _UNSEEN, _UNSEEN, digest(known)
    while True:
        await asyncio.sleep(every)
        now = await asyncio.to_thread(signature, path)
        moving, pending = now != pending, now
        if moving or now == settled:
            continue
        settled = now
        try:
            text = await asyncio.to_thread(read_text, path)
        except InvalidPolicy as error:
            content = ""
            refused(error)
            continue
        if digest(text) != content:
            content = digest(text)
            await changed(text)


def signature(path: Path) -> Signature:
    """What differs when the file is another: where its links lead, its inode, time and size. None when it is gone."""
    try:
        real = path.resolve(strict=True)
        stat = real.stat()
    except (OSError, RuntimeError):
        return None
    return str(real), stat.st_ino, stat.st_mtime_ns, stat.st_size
