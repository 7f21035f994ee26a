"""Worker processes as the suite sees them: started when first asked, kept over the rounds."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from triroute.bench.jobs import Batch, Job, fields_of
from triroute.bench.kinds import Kind, Unavailable, require

SECONDS = 300


class Worker:
    """One engine's process. `stop` it."""

    def __init__(self, kind: Kind, model: Path, threads: int) -> None:
        """Start and load. Raises Unavailable."""
        require(kind)
        self.kind = kind
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - `stop` closes it
        command = [sys.executable, "-m", "triroute.bench.worker", kind.value, str(model), str(threads)]
        environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._log, text=True, env=environment)
        try:
            self._answer()
        except Unavailable:
            self.stop()
            raise

    def call(self, name: str, **arguments: Any) -> Any:
        """The answer to one call. Raises Unavailable when the engine failed."""
        if self._process.stdin is None:
            raise Unavailable(f"{self.kind} was stopped")
        try:
            self._process.stdin.write(json.dumps({"call": name, "arguments": arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError as error:
            raise self._death() from error
        return self._answer()

    def run(self, jobs: Sequence[Job]) -> Batch:
        """Generations at once."""
        return Batch.of(self.call("run", jobs=fields_of(jobs)))

    def stop(self) -> None:
        """Close its input, which ends it."""
        self._process.communicate()
        self._log.close()

    def _answer(self) -> Any:
        out = self._process.stdout
        if out is not None and not select.select([out], [], [], SECONDS)[0]:
            self._process.kill()
            raise Unavailable(f"{self.kind} did not answer within {SECONDS} s; the machine is too busy, or it hangs")
        line = out.readline() if out is not None else ""
        if not line:
            raise self._death()
        answer = json.loads(line)
        if "error" in answer:
            raise Unavailable(f"{self.kind}: {answer['error']}")
        return answer["answer"]

    def _death(self) -> Unavailable:
        code = self._process.wait()
        self._log.seek(0)
        said = self._log.read().decode(errors="replace").strip().splitlines() or ["it said nothing"]
        return Unavailable(f"{self.kind} ended with {code}: {said[-1]}")


class Fleet:
    """The workers of a run, by kind. Leaving it stops them."""

    def __init__(self, model: Path, threads: int) -> None:
        self.model = model
        self.threads = threads
        self._workers: dict[Kind, Worker] = {}

    def __enter__(self) -> Fleet:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for worker in self._workers.values():
            worker.stop()

    def __getitem__(self, kind: Kind) -> Worker:
        """The worker of a kind, loaded. Raises Unavailable."""
        if kind not in self._workers:
            self._workers[kind] = Worker(kind, self.model, self.threads)
            self._workers[kind].call("warm_up")
        return self._workers[kind]

    @contextmanager
    def fresh(self, kind: Kind) -> Iterator[Worker]:
        """A process that has done nothing yet, for what a long life would blur."""
        worker = Worker(kind, self.model, self.threads)
        try:
            yield worker
        finally:
            worker.stop()
