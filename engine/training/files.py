"""Safetensors files that are whole or not there, whatever happens while they are written."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from triroute.engine.errors import TrainingError

Arrays = dict[str, NDArray[Any]]


def write_tensors(path: Path, tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> None:
    """Replace `path` at once. Raises TrainingError, and leaves the file as it was."""
    write_bytes(path, save({name: np.ascontiguousarray(array) for name, array in tensors.items()}, dict(metadata)))


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` at once. Raises TrainingError, and leaves the file as it was."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TrainingError(
            f"{path} can't be written ({len(data) >> 20} MiB): {error.strerror}; "
            "make room and run the same command again: it goes on from what it last wrote"
        ) from error


def read_tensors(path: Path, wanted: str) -> tuple[Arrays, dict[str, str]]:
    """Tensors and metadata of a file of format `wanted`. Raises TrainingError."""
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{path} can't be read: {error}; delete it") from error
    if metadata.get("format") != wanted:
        raise TrainingError(f"{path} is not a file of format {wanted}; delete it, or name another --out")
    return tensors, metadata
