"""A small engine for router tests: real gRPC, real process, text made by arithmetic, and faults on demand.

The raw prompt, or the last message, may be a JSON object (see `Script`) that says how this request goes wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from triroute.proto import decoding_pb2, engine_pb2, engine_pb2_grpc

MODEL = "fake-1"
_WORDS = ("sea ", "é", "海の", "stone ", "\n", "light, ", "🌊", "salt ")
_Pass = decoding_pb2.PassRecord
Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Script:
    """`kill_at`/`drop_at`: output lengths at which the process dies, or the call breaks, unless resumed from there.

    From each of the output lengths `segments` on another segment runs, by turns code and prose. `calls` are the tokens,
    from and to, of tool calls. `end` is how the stream ends: finish, silent (no finish), kill (after the finish),
    failed, invalid. `says` is logged as a real engine logs, with the trace of the call. `only` limits all that to one
    mode, as in "diffusion".
    """

    kill_at: tuple[int, ...] = ()
    drop_at: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    calls: tuple[tuple[int, int], ...] = ()
    end: str = "finish"
    delay: float = 0.0
    slow_start: float = 0.0
    says: str = ""
    only: str = ""


def command(*options: str) -> tuple[str, ...]:
    """What `Settings.engine` takes."""
    return (sys.executable, __file__, *options)


def output(seed: int, length: int) -> list[int]:
    """The output tokens of a request, however it was interrupted."""
    return [token(seed, position) for position in range(length)]


async def until(holds: Callable[[], bool]) -> None:
    """Wait for something that another process or task brings about."""
    async with asyncio.timeout(20):
        while True:
            if holds():
                return
            await asyncio.sleep(0.01)


def token(seed: int, position: int) -> int:
    """The output token at a position: like a real one, it depends on the seed and the position alone."""
    return (seed * 7919 + position * 31 + position // 5) % 997


def text(tokens: list[int]) -> str:
    """The text of tokens."""
    return "".join(_WORDS[number % len(_WORDS)] for number in tokens)


class FakeEngine(engine_pb2_grpc.EngineServicer):
    """One token a pass, or two passes for two tokens with self-speculation. The last token's text is held back."""

    def __init__(self) -> None:
        self.running: dict[str, bool] = {}  # request -> abort asked for
        self.tails: dict[str, str] = {}

    async def Generate(
        self, message: engine_pb2.GenerateRequest, context: Context
    ) -> AsyncIterator[engine_pb2.GenerateEvent]:
        script = _script(message.text or message.chat.messages[-1].content)
        if script.only and script.only != decoding_pb2.Mode.Name(message.plan.mode).removeprefix("MODE_").lower():
            script = Script()
        if script.end == "invalid":
            await _invalid(context)
        if script.says:
            trace = dict(context.invocation_metadata() or ()).get("traceparent", "")
            told = {"level": "ERROR", "logger": "triroute.engine", "message": script.says, "trace_ids": [trace]}
            print(json.dumps(told), file=sys.stderr, flush=True)
        await asyncio.sleep(script.slow_start)
        self.running[message.request_id] = False
        try:
            yield engine_pb2.GenerateEvent(started=engine_pb2.Started(prompt_tokens=7))
            async for event in self._commits(message, script, context):
                yield event
            if script.end == "failed":
                await context.abort(grpc.StatusCode.INTERNAL, "a tensor went missing")
            if script.end == "silent":
                return
            yield self._finish(message)
            if script.end == "kill":
                await asyncio.sleep(0.05)  # the finish is on the wire, the status is not
                os.kill(os.getpid(), signal.SIGKILL)
        finally:
            del self.running[message.request_id]

    async def Abort(self, message: engine_pb2.AbortRequest, context: Context) -> engine_pb2.AbortResponse:
        found = message.request_id in self.running
        if found:
            self.running[message.request_id] = True
        return engine_pb2.AbortResponse(found=found)

    async def Describe(self, message: engine_pb2.DescribeRequest, context: Context) -> engine_pb2.Description:
        costs = engine_pb2.Costs(pass_seconds=[0.001] * 65)
        return engine_pb2.Description(model=MODEL, context_length=1024, costs=costs)

    async def TokenText(self, message: engine_pb2.TokenTextRequest, context: Context) -> engine_pb2.TokenTextResponse:
        return engine_pb2.TokenTextResponse(text=[text([number]) for number in message.token_ids or range(1000)])

    async def WatchLoad(self, message: engine_pb2.WatchLoadRequest, context: Context) -> AsyncIterator[engine_pb2.Load]:
        told = -1
        while True:
            if told != len(self.running):
                told = len(self.running)
                yield engine_pb2.Load(running=told, cache_tokens_used=10 * told, cache_tokens=100)
            await asyncio.sleep(0.01)

    async def _commits(
        self, message: engine_pb2.GenerateRequest, script: Script, context: Context
    ) -> AsyncIterator[engine_pb2.GenerateEvent]:
        out = list(message.resume_ids)
        sent, resumed = message.resume_characters, len(out)
        speculating = message.plan.mode == decoding_pb2.MODE_SELF_SPECULATION
        index = 0
        while len(out) < message.sampling.max_tokens and not self.running[message.request_id]:
            await _break(script, len(out), resumed, context)
            await asyncio.sleep(script.delay)
            room = message.sampling.max_tokens - len(out)
            new = [token(message.sampling.seed, len(out) + n) for n in range(min(room, 2 if speculating else 1))]
            out += new
            final = text(out[:-1])
            commit = engine_pb2.Commit(token_ids=new, text=final[sent:], passes=_passes(new, index, speculating))
            _place(commit, script, resumed, len(out) - len(new), len(out), len(message.segments))
            index += len(commit.passes)
            sent = max(sent, len(final))
            yield engine_pb2.GenerateEvent(commit=commit)
        self.tails[message.request_id] = text(out)[sent:]

    def _finish(self, message: engine_pb2.GenerateRequest) -> engine_pb2.GenerateEvent:
        aborted = self.running[message.request_id]
        reason = decoding_pb2.FINISH_REASON_ABORTED if aborted else decoding_pb2.FINISH_REASON_LENGTH
        tail = self.tails.pop(message.request_id)
        timings = decoding_pb2.Timings(queue_us=100, prefill_us=200, decode_us=300, first_token_us=350)
        return engine_pb2.GenerateEvent(finish=engine_pb2.Finish(reason=reason, timings=timings, text=tail))


def _script(prompt: str) -> Script:
    asked = json.loads(prompt) if prompt.startswith("{") else {}
    return Script(**{key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()})


def _place(commit: engine_pb2.Commit, script: Script, resumed: int, start: int, end: int, plans: int) -> None:
    """The segment that a commit is in, counted from where this engine began; and the calls that it completes."""
    if script.segments:
        passed, before = (sum(length >= at for at in script.segments) for length in (start, resumed))
        commit.segment, commit.plan = passed - before, min(passed % 2, plans)
        commit.kind = decoding_pb2.SEGMENT_KIND_CODE if passed % 2 else decoding_pb2.SEGMENT_KIND_PROSE
    for record in commit.passes:
        record.segment = commit.segment
    for number, (first, after) in enumerate(script.calls):
        if start < after <= end:
            commit.call_pieces.add(number=number, name="search", arguments_json="{}")
            commit.calls.add(name="search", arguments_json="{}", first_token=first, end_token=after, number=number)


async def _break(script: Script, length: int, resumed: int, context: Context) -> None:
    """Die or hang up here, unless this is where an earlier run already did."""
    if length and length <= resumed:
        return
    if length in script.kill_at:
        await asyncio.sleep(0.1)  # what was committed is on its way
        os.kill(os.getpid(), signal.SIGKILL)
    if length in script.drop_at:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "hung up")


def _passes(new: list[int], index: int, speculating: bool) -> list[_Pass]:
    start = 300 + 50 * index
    if not speculating:
        return [_Pass(kind=_Pass.KIND_DECODE, width=1, committed_ids=new, start_us=start, duration_us=50, batch=1)]
    draft = _Pass(kind=_Pass.KIND_DRAFT, width=3, proposed_ids=[*new[:1], 998], confidences=[0.5, 0.25], start_us=start)
    verify = _Pass(
        kind=_Pass.KIND_VERIFY,
        width=3,
        accepted=1,
        rejected_ids=[998],
        sources=[decoding_pb2.DRAFT_SOURCE_DIFFUSION] * 2,
        committed_ids=new,
        start_us=start + 50,
    )
    return [draft, verify]


async def _invalid(context: Context) -> None:
    violation = error_details_pb2.BadRequest.FieldViolation(
        field="sampling.max_tokens", description="shorten the prompt"
    )
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    words = "sampling.max_tokens: shorten the prompt"
    status = status_pb2.Status(code=3, message=words, details=[detail])
    trailer = (("grpc-status-details-bin", status.SerializeToString()),)
    await context.abort(grpc.StatusCode.INVALID_ARGUMENT, words, trailer)


async def _serve(options: argparse.Namespace) -> None:
    if options.fail_start:
        print(options.fail_start, file=sys.stderr)
        sys.exit(2)
    if options.noise:
        sys.stderr.write("x" * options.noise)
        sys.stderr.flush()
    server = grpc.aio.server()
    engine_pb2_grpc.add_EngineServicer_to_server(FakeEngine(), server)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    if options.ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if options.parent_pipe:
        loop.add_reader(sys.stdin.fileno(), stop.set)
    if not options.deaf:
        server.add_insecure_port(f"unix:{options.socket}")
        await server.start()
    if options.live:
        loop.call_later(options.live, stop.set)
    await stop.wait()
    await server.stop(0)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--parent-pipe", action="store_true")
    parser.add_argument("--log-format")
    parser.add_argument("--fail-start", help="say this on stderr and exit with 2")
    parser.add_argument("--deaf", action="store_true", help="never listen")
    parser.add_argument("--ignore-term", action="store_true", help="only a kill ends it")
    parser.add_argument("--live", type=float, help="end after this many seconds")
    parser.add_argument("--noise", type=int, help="write a line of this length, with no end, to stderr")
    parser.add_argument("--cache-mb")
    parser.add_argument("--checkpoint")
    parser.add_argument("--threads")
    return parser.parse_args()


if __name__ == "__main__":
    asyncio.run(_serve(_options()))
