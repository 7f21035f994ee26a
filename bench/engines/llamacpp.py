"""llama.cpp's server inside this process, by xllamacpp: its own defaults, and our thread count."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import xllamacpp

from triroute.bench.engines.base import Heard
from triroute.bench.engines.resident import resident
from triroute.bench.jobs import Job, Result

_CONTEXT = 2048


class LlamaCpp:
    """A server with so many slots, each with a context of 2,048 tokens."""

    def __init__(self, model: Path, threads: int, slots: int) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(model)
        params.n_ctx, params.n_parallel, params.verbosity = _CONTEXT * slots, slots, -1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        params.cache_ram_mib = 0  # it would copy each slot's cache aside between requests, for reuse that is off here
        self.server = xllamacpp.Server(params)
        self.pool = ThreadPoolExecutor(max_workers=2 * slots)  # calls release the GIL and share the slots

    def start(self, job: Job, heard: Heard | None = None) -> Callable[[], Result]:
        asked: dict[str, Any] = {
            "prompt": list(job.ids),
            "n_predict": job.tokens,
            "temperature": 0,
            "ignore_eos": job.endless,
            "cache_prompt": False,
        }
        if job.schema:
            asked["json_schema"] = json.loads(job.schema)
        run = self._whole if heard is None else self._streamed
        return self.pool.submit(run, asked, heard).result

    def memory(self) -> dict[str, float]:
        return resident()

    def _whole(self, asked: dict[str, Any], heard: Heard | None) -> Result:
        answer = self.server.handle_completions(asked)
        return _result(answer, answer["choices"][0]["text"])

    def _streamed(self, asked: dict[str, Any], heard: Heard | None) -> Result:
        chunks: list[dict[str, Any]] = []

        def take(chunk: dict[str, Any]) -> None:
            chunks.append(chunk)
            if heard is not None and chunk["choices"] and not chunk["choices"][0]["finish_reason"]:
                heard(1)

        self.server.handle_completions({**asked, "stream": True}, take)
        last = next((chunk for chunk in reversed(chunks) if "timings" in chunk), chunks[-1])
        return _result(last, "".join(chunk["choices"][0]["text"] for chunk in chunks if chunk["choices"]))


def _result(answer: dict[str, Any], text: str) -> Result:
    """Its `predicted_ms` begins when the first token is there, as our decode time does."""
    if "timings" not in answer:
        raise RuntimeError(f"llama.cpp answered {json.dumps(answer)[:300]}")
    timings = answer["timings"]
    tokens, decode_s = timings["predicted_n"], timings["predicted_ms"] / 1000
    return Result(
        tokens=tokens,
        characters=len(text),
        passes=tokens,
        first_token_s=timings["prompt_ms"] / 1000,
        decoded=tokens - 1,
        decode_s=decode_s,
        pass_ms=1000 * decode_s / max(1, tokens - 1),
    )
