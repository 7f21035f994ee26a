"""One engine in a process of its own, so that engines that wait cost those that run nothing.

Reads one JSON request a line from stdin, answers one JSON object a line on stdout.
"""

from __future__ import annotations

import json
import os
import queue
import sys
from collections.abc import Callable
from typing import Any

from triroute.engine.checkpoints import default_checkpoint
from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.types import Event, Failed, Finished, ModeName, Plan, Request, Sampling

Answer = dict[str, float]
Runner = Callable[[str, int], Answer]


def triroute(mode: ModeName) -> Runner:
    """Our engine, one stream, greedy."""
    engine = Engine.load(None, EngineConfig(threads=os.cpu_count()))

    def run(prompt: str, tokens: int) -> Answer:
        events: queue.Queue[Event] = queue.Queue()
        ids = tuple(engine.tokenizer.encode(prompt))
        engine.submit(Request("bench", ids, Plan(mode, 0), Sampling(max_tokens=tokens)), None, events.put)
        while not isinstance(event := events.get(), Finished):
            if isinstance(event, Failed):
                raise RuntimeError(event.message)
        usage, timings = event.usage, event.timings
        rest = timings.queue_us + timings.prefill_us + timings.decode_us - timings.first_token_us
        return {
            "tokens": usage.completion_tokens,
            "passes": usage.passes,
            "tokens_per_second": (usage.completion_tokens - 1) / (rest / 1e6),
            "first_token_ms": timings.first_token_us / 1000,
        }

    return run


def llamacpp() -> Runner:
    """llama.cpp on the same file, one slot, greedy, no prompt cache."""
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(default_checkpoint())
    params.n_ctx, params.n_parallel, params.verbosity = 2048, 1, -1
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = os.cpu_count()
    server = xllamacpp.Server(params)

    def run(prompt: str, tokens: int) -> Answer:
        asked = {"prompt": prompt, "n_predict": tokens, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        timings = server.handle_completions(asked)["timings"]
        return {
            "tokens": timings["predicted_n"],
            "passes": timings["predicted_n"],
            "tokens_per_second": timings["predicted_per_second"],
            "first_token_ms": timings["prompt_ms"],
        }

    return run


ENGINES: dict[str, Callable[[], Runner]] = {
    "triroute ar": lambda: triroute(ModeName.AUTOREGRESSIVE),
    "triroute linear": lambda: triroute(ModeName.LINEAR_SPECULATION),
    "llama.cpp": llamacpp,
}


def main() -> None:
    """Load the engine named on the command line, then answer until stdin closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not mix with answers
    run = ENGINES[sys.argv[1]]()
    _tell(answers, {})
    for line in sys.stdin:
        asked = json.loads(line)
        _tell(answers, run(asked["prompt"], asked["tokens"]))
    os._exit(0)  # llama.cpp's threads outlive its server


def _tell(answers: Any, answer: Answer) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()


if __name__ == "__main__":
    main()
