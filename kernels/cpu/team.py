"""A team of threads inside one compiled function, that meet between its phases without asking the system."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from triroute.kernels.cpu.lanes import LONG, WORD, Emitter, Index, Pointer, emitted

_PATIENCE = 2000


@emitted
def meet(e: Emitter, counter: Pointer, target: Index) -> None:
    """Count up, and wait until `counter` has reached `target`: all have come, and see what the others wrote.

    After some turns the thread offers its core to others at every look, in case one of the team waits for a core.
    """
    builder = e.builder
    builder.atomic_rmw("add", counter.address, LONG(1), "acq_rel")
    turns = cgutils.alloca_once_value(builder, LONG(0))
    look, wait, offer, done = (builder.append_basic_block(name) for name in ("look", "wait", "offer", "done"))
    builder.branch(look)
    builder.position_at_end(look)
    reached = builder.icmp_signed(">=", builder.load_atomic(counter.address, "acquire", 8), target)
    builder.cbranch(reached, done, wait)
    builder.position_at_end(wait)
    builder.store(builder.add(builder.load(turns), LONG(1)), turns)
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        pause = cgutils.get_or_insert_function(
            builder.module, ir.FunctionType(ir.VoidType(), []), "llvm.x86.sse2.pause"
        )
        builder.call(pause, [])
    builder.cbranch(builder.icmp_signed(">", builder.load(turns), LONG(_PATIENCE)), offer, look)
    builder.position_at_end(offer)
    builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(WORD, []), "sched_yield"), [])
    builder.branch(look)
    builder.position_at_end(done)


class Team:
    """`size` threads, the caller's among them. A function run by the team is called once by each, at once."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.counter = np.zeros(8, dtype=np.int64)
        self.met = 0
        self._task: tuple[Callable[..., int], tuple[Any, ...]] | None = None
        self._gates = [threading.Semaphore(0) for _ in range(size - 1)]
        for index, gate in enumerate(self._gates, start=1):
            threading.Thread(target=self._work, args=(index, gate), name=f"triroute-{index}", daemon=True).start()

    def run(self, function: Callable[..., int], *arguments: Any) -> None:
        """Run `function(thread, threads, counter, met, *arguments)`; it returns what `counter` came to."""
        self._task = (function, arguments)
        for gate in self._gates:
            gate.release()
        self.met = function(0, self.size, self.counter, self.met, *arguments)

    def close(self) -> None:
        """Let the other threads end."""
        self._task = None
        for gate in self._gates:
            gate.release()

    def _work(self, index: int, gate: threading.Semaphore) -> None:
        while True:
            gate.acquire()
            if self._task is None:
                return
            function, arguments = self._task
            function(index, self.size, self.counter, self.met, *arguments)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
