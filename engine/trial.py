"""A program that tries grammars, each in a process of its own that ends at its limits. llguidance bounds not all that a
grammar takes to compile, and nothing can stop it in the process that decodes.

The file stands alone, so that it starts fast. Its standard input is a socket that brings sockets: the first tells the
vocabulary; each later one brings a grammar, and takes what is wrong with it.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import time
from typing import Any

from llguidance import LLMatcher, LLParserLimits, LLTokenizer

LIMITS = LLParserLimits(verbose_errors=False, max_lexer_states=50_000)
DEAD_END = "it leads to where nothing can follow, as a part does that always contains itself"
BEGUN = b"\n"  # a trial that says no more than this was too much
_MEMORY = 128 * 2**20  # bytes, on top of what the vocabulary takes
_THREAD_STACK = 2**21  # bytes, where nothing limits stacks
_NICE = 5  # who decodes goes first
_AHEAD = 6  # steps to take: limits and dead ends mostly show in the first
_CHARACTERS = 200  # of an error; some print the grammar
_OUT_OF_VOCABULARY = "no tokenizer"  # how warnings of tokens in a grammar begin


def main() -> None:
    """Serve until the other side is gone."""
    os.nice(_NICE)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=0)
    tokenizer = None
    while fds := socket.recv_fds(control, 1, 1)[1]:
        with socket.socket(fileno=fds[0]) as job:
            if tokenizer is None:
                tokenizer = LLTokenizer(**json.loads(receive(job)))
                _try(LLMatcher.grammar_from_regex("a"), tokenizer)  # builds what all share
            elif os.fork() == 0:
                control.close()
                _serve(job, tokenizer)


def receive(job: socket.socket) -> bytes:
    """All that the other side has to say."""
    return b"".join(iter(lambda: job.recv(2**16), b""))


def short(error: str) -> str:
    """An error of llguidance in a line."""
    if error.startswith("NoExtension"):
        return DEAD_END
    return next(iter(error.strip().splitlines()), "no reason given")[:_CHARACTERS]


def _serve(job: socket.socket, tokenizer: LLTokenizer) -> None:
    """One trial, with which this process ends."""
    try:
        job.sendall(BEGUN)
        asked = json.loads(receive(job))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what a process says that runs out of memory
        _limit(asked["seconds"])
        with contextlib.suppress(MemoryError):
            found = _try(asked["grammar"], tokenizer)
            job.sendall(json.dumps({**found, "seconds": time.process_time()}).encode())
    finally:
        os._exit(0)


def _first(mask: bytes, tokenizer: LLTokenizer) -> list[int]:
    """The first token that is allowed, other than the end."""
    bits = int.from_bytes(mask, "little") & ~sum(1 << end for end in tokenizer.eos_tokens)
    return [(bits & -bits).bit_length() - 1] if bits else []


def _limit(seconds: float) -> None:
    """Less than the process that decodes has, so that what passes here passes there."""
    with open("/proc/self/statm") as file:
        data = int(file.read().split()[5]) * resource.getpagesize()
    stack = resource.getrlimit(resource.RLIMIT_STACK)[0]
    thread = _THREAD_STACK if stack == resource.RLIM_INFINITY else stack
    for kind, most in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_DATA, data + _MEMORY),
        (resource.RLIMIT_STACK, thread // 2),
    ):
        resource.setrlimit(kind, (most, resource.getrlimit(kind)[1]))
    signal.setitimer(signal.ITIMER_PROF, seconds)  # of processor time; its signal ends even what does not listen


def _try(grammar: str, tokenizer: LLTokenizer) -> dict[str, Any]:
    """What is wrong with a grammar, or else what its compiler warns of."""
    # Without the vocabulary first: only so it says whether the grammar names tokens, and lists none that there are.
    failed, messages = LLMatcher.validate_grammar_with_warnings(grammar, limits=LIMITS)
    if failed:
        return {"problem": short(messages[0])}
    if any(message.startswith(_OUT_OF_VOCABULARY) for message in messages):
        return {"problem": 'tokens (<[…]>, <…>) are not for grammars; write text as "…" and patterns as /…/'}
    matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=LIMITS)
    for _ in range(_AHEAD):
        if matcher.is_error():
            break
        mask = matcher.compute_bitmask()
        following = [] if matcher.is_error() else matcher.compute_ff_tokens() or _first(mask, tokenizer)
        if not following:
            break
        matcher.consume_tokens(following)
    return {"problem": short(matcher.get_error())} if matcher.is_error() else {"warnings": messages}


if __name__ == "__main__":
    main()
