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

from triroute.kernels.cpu.compiled import compiled
from triroute.kernels.cpu.lanes import LONG, WORD, Emitter, Index, Pointer, emitted

_PATIENCE, _OFFERS = 2000, 2000
_AWAY, _WAITING, _CALLED, _DISMISSED = range(4)
_LINE = 8  # numbers of a cache line


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
    _pause(builder)
    builder.cbranch(builder.icmp_signed(">", builder.load(turns), LONG(_PATIENCE)), offer, look)
    builder.position_at_end(offer)
    _offer(builder)
    builder.branch(look)
    builder.position_at_end(done)


def _pause(builder: ir.IRBuilder) -> None:
    """Tell the processor that this thread spins."""
    if sys.platform == "linux" and os.uname().machine == "x86_64":
        nothing = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, nothing, "llvm.x86.sse2.pause"), [])


def _offer(builder: ir.IRBuilder) -> None:
    """Offer the core to other threads."""
    builder.call(cgutils.get_or_insert_function(builder.module, ir.FunctionType(WORD, []), "sched_yield"), [])


@emitted
def _wait(e: Emitter, state: Pointer, at: Index, called: Pointer, to: Index) -> None:
    """Say WAITING at `state`; when CALLED, 1 to `called`. When DISMISSED, or after a while, AWAY, and 0 to `called`."""
    builder = e.builder
    cell, answer = builder.gep(state.address, [at]), builder.gep(called.address, [to])
    builder.store_atomic(LONG(_WAITING), cell, "release", 8)
    turns = cgutils.alloca_once_value(builder, LONG(0))
    names = ("look", "wait", "pause", "offer", "leave", "go", "stay", "done")
    look, wait, pause, offer, leave, go, stay, done = (builder.append_basic_block(name) for name in names)
    builder.branch(look)
    builder.position_at_end(look)
    switch = builder.switch(builder.load_atomic(cell, "acquire", 8), wait)
    switch.add_case(LONG(_CALLED), stay)
    switch.add_case(LONG(_DISMISSED), go)
    builder.position_at_end(stay)
    builder.store(LONG(1), answer)
    builder.branch(done)
    builder.position_at_end(go)
    builder.store(LONG(0), answer)
    builder.store_atomic(LONG(_AWAY), cell, "release", 8)
    builder.branch(done)
    builder.position_at_end(wait)
    builder.store(builder.add(builder.load(turns), LONG(1)), turns)
    builder.cbranch(builder.icmp_signed("<", builder.load(turns), LONG(_PATIENCE)), pause, offer)
    builder.position_at_end(pause)
    _pause(builder)
    builder.branch(look)
    builder.position_at_end(offer)
    _offer(builder)
    builder.cbranch(builder.icmp_signed("<", builder.load(turns), LONG(_PATIENCE + _OFFERS)), look, leave)
    builder.position_at_end(leave)
    left = builder.cmpxchg(cell, LONG(_WAITING), LONG(_AWAY), "acq_rel", "acquire")
    builder.store(LONG(0), answer)
    builder.cbranch(builder.extract_value(left, 1), done, look)
    builder.position_at_end(done)


@emitted
def _ring(e: Emitter, state: Pointer, at: Index, wanted: Index, found: Pointer) -> None:
    """Once a thread has done what it was CALLED for: change its state from WAITING to CALLED, if that is `wanted`.

    Where it waits and is not wanted, DISMISSED, until it is AWAY. To `found` what it came to, CALLED or AWAY.
    """
    builder = e.builder
    cell = builder.gep(state.address, [at])
    names = ("look", "busy", "change", "changed", "away", "done")
    look, busy, change, changed, away, done = (builder.append_basic_block(name) for name in names)
    builder.branch(look)
    builder.position_at_end(look)
    switch = builder.switch(builder.load_atomic(cell, "acquire", 8), busy)
    switch.add_case(LONG(_AWAY), away)
    switch.add_case(LONG(_WAITING), change)
    builder.position_at_end(busy)
    _offer(builder)
    builder.branch(look)
    builder.position_at_end(change)
    swapped = builder.extract_value(builder.cmpxchg(cell, LONG(_WAITING), wanted, "acq_rel", "acquire"), 1)
    called = builder.and_(swapped, builder.icmp_signed("==", wanted, LONG(_CALLED)))
    builder.cbranch(called, changed, look)
    builder.position_at_end(changed)
    builder.store(LONG(_CALLED), found.address)
    builder.branch(done)
    builder.position_at_end(away)
    builder.store(LONG(_AWAY), found.address)
    builder.branch(done)
    builder.position_at_end(done)


@compiled
def stand_by(board: Any, thread: int) -> bool:
    """How a task ends: whether to run once more, with the same arguments. Never for the caller's own thread.

    Others wait for a moment where they are, and need neither the system nor the interpreter to begin again.
    """
    if thread == 0:
        return False
    at = thread * _LINE
    _wait(board, at, board, at + 1)
    called: bool = board[at + 1] == 1
    return called


@compiled
def _call(board: Any, thread: int, wanted: int) -> bool:
    """Whether a thread waited, was wanted, and has begun; else it is away."""
    found = np.zeros(1, dtype=np.int64)
    _ring(board, thread * _LINE, wanted, found)
    begun: bool = found[0] == _CALLED
    return begun


class Team:
    """`size` threads, the caller's among them. A task run by the team is called once by each, at once.

    `board` int64: the counter that they meet at, and for each thread a line with its state and what it was told.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self.board = np.zeros(size * _LINE, dtype=np.int64)
        self.met = 0
        self._task: tuple[Callable[..., int], tuple[Any, ...]] | None = None
        self._gates = [threading.Semaphore(0) for _ in range(size - 1)]
        self._threads = [
            threading.Thread(target=self._work, args=(index, gate), name=f"triroute-{index}", daemon=True)
            for index, gate in enumerate(self._gates, start=1)
        ]
        for thread in self._threads:
            thread.start()

    def run(self, task: Callable[..., int], *arguments: Any) -> None:
        """Run `task(thread, threads, board, met, *arguments)`, which returns what the counter came to.

        It must run once more, on every thread, as long as `stand_by` says so.
        """
        again = self._is_current(task, arguments)
        begun = [_call(self.board, index, _CALLED if again else _DISMISSED) for index in range(1, self.size)]
        self._task = (task, arguments)
        for index, (gate, runs) in enumerate(zip(self._gates, begun, strict=True), start=1):
            if not runs:
                self.board[index * _LINE] = _CALLED
                gate.release()
        self.met = task(0, self.size, self.board, self.met, *arguments)

    def close(self) -> None:
        """End the other threads."""
        self._task = None
        for index, (gate, thread) in enumerate(zip(self._gates, self._threads, strict=True), start=1):
            _call(self.board, index, _DISMISSED)
            gate.release()
            thread.join()

    def _is_current(self, task: Callable[..., int], arguments: tuple[Any, ...]) -> bool:
        """Whether threads that wait would do just this."""
        if self._task is None or self._task[0] is not task or len(self._task[1]) != len(arguments):
            return False
        return all(mine is theirs for mine, theirs in zip(self._task[1], arguments, strict=True))

    def _work(self, index: int, gate: threading.Semaphore) -> None:
        while True:
            gate.acquire()
            if self._task is None:
                return
            task, arguments = self._task
            task(index, self.size, self.board, self.met, *arguments)


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
