"""Policy files that are watched: edited in place, replaced, or swapped by a symbolic link as Kubernetes does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

from triroute.router.errors import InvalidPolicy
from triroute.router.policy.source import PolicySource, candidate_path, read_source

_EVERY_SECONDS = 0.25

Signature = tuple[str, int, int, int] | None
_UNSEEN: Signature = ("", 0, 0, 0)


async def watch(
    path: Path,
    known: PolicySource | None,
    changed: Callable[[PolicySource], Awaitable[None]],
    refused: Callable[[InvalidPolicy], None],
    every: float = _EVERY_SECONDS,
) -> None:
    """Until cancelled: call `changed` with what the policy's file and its candidate hold, once two looks see the same.

    `known` is what is in force. A file that can't be used is `refused`, once.
    """
    settled, pending = [_UNSEEN], [_UNSEEN]
    source = known
    while True:
        await asyncio.sleep(every)
        now = await asyncio.to_thread(_signatures, path, source)
        moving, pending = now != pending, now
        if moving or now == settled:
            continue
        settled = now
        try:
            found = await asyncio.to_thread(read_source, path)
        except InvalidPolicy as error:
            known = None
            refused(error)
            continue
        if found != known:
            known = source = found
            await changed(found)


def _signatures(path: Path, source: PolicySource | None) -> list[Signature]:
    rollout = source.policy.file.rollout if source is not None else None
    return [signature(path), *([signature(candidate_path(rollout, path))] if rollout else [])]


def signature(path: Path) -> Signature:
    """What differs when the file is another: where its links lead, its inode, time and size. None when it is gone."""
    try:
        real = path.resolve(strict=True)
        stat = real.stat()
    except (OSError, RuntimeError):
        return None
    return str(real), stat.st_ino, stat.st_mtime_ns, stat.st_size
