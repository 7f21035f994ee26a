"""`generate` of transformers on the same weights, unpacked to bf16."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import GgufConfig, LlamaForCausalLM

from triroute.bench.engines.base import Heard
from triroute.bench.engines.resident import resident
from triroute.bench.jobs import Job, Result


class _Stamps:
    """What `generate` calls a streamer: it is handed the prompt first, then each token."""

    def __init__(self) -> None:
        self.at: list[float] = []

    def put(self, tokens: Any) -> None:
        self.at.append(time.perf_counter())

    def end(self) -> None:
        pass


class HuggingFace:
    """One model. A generation runs where it is started."""

    def __init__(self, model: Path, threads: int) -> None:
        torch.set_num_threads(threads)
        self.model = LlamaForCausalLM.from_pretrained(
            model.parent,
            gguf_file=model.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        ).eval()
        self.model.generation_config.eos_token_id = None

    def start(self, job: Job, heard: Heard | None = None) -> Callable[[], Result]:
        stamps = _Stamps()
        ids = torch.tensor([job.ids])
        began = time.perf_counter()
        with torch.inference_mode():
            self.model.generate(
                ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=job.tokens,
                streamer=stamps,
            )
        _, first, *_, last = stamps.at
        result = Result(
            tokens=job.tokens,
            characters=0,
            passes=job.tokens,
            first_token_s=first - began,
            decoded=job.tokens - 1,
            decode_s=last - first,
            pass_ms=1000 * (last - first) / (job.tokens - 1),
        )
        return lambda: result

    def memory(self) -> dict[str, float]:
        return resident()
