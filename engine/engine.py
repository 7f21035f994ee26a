"""The engine as its owner sees it: load a checkpoint, submit requests, listen to their events."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from triroute.engine.adapters import head, packed
from triroute.engine.checkpoints import default_checkpoint, load_checkpoint, shipped_adapter, with_adapter
from triroute.engine.checkpoints.weights import Checkpoint
from triroute.engine.config import EngineConfig
from triroute.engine.core import Core
from triroute.engine.errors import Duplicate, EngineError
from triroute.engine.grammar import Constraint
from triroute.engine.grammar import warm_up as warm_up_grammars
from triroute.engine.model import Model
from triroute.engine.sampling import warm_up as warm_up_draws
from triroute.engine.sequence import Sink
from triroute.engine.types import Event, Failed, Finished, Load, Request
from triroute.kernels.cpu.team import available_cores

log = logging.getLogger("triroute.engine")


class Engine:
    """Owns the model, the cache and the thread that loads and runs passes. Any thread may call its public methods."""

    def __init__(self, source: Callable[[], Checkpoint], config: EngineConfig) -> None:
        """Load from `source` and begin to run passes. Raises what `source` raises."""
        self.config = config
        self._source = source
        self._calls: deque[Callable[[], object]] = deque()
        self._ids: set[str] = set()
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._loaded = threading.Event()
        self._load_error: Exception | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._live, name="triroute-engine", daemon=True)
        self._thread.start()
        self._loaded.wait()
        if self._load_error is not None:
            raise self._load_error

    @classmethod
    def load(
        cls, path: Path | None, config: EngineConfig, adapter: Path | None = None, *, adapted: bool = True
    ) -> Engine:
        """From a checkpoint file; None takes the embedded default. Raises CheckpointError.

        Without an `adapter`, the one that ships for this checkpoint is used, if any, unless not `adapted`.
        """

        def source() -> Checkpoint:
            checkpoint = load_checkpoint(path or default_checkpoint())
            return with_adapter(checkpoint, (adapter or shipped_adapter(checkpoint.sha256)) if adapted else None)

        return cls(source, config)

    def close(self) -> None:
        """Stop after the current pass. Requests that still run end with Failed."""
        self._closing = True
        self._wake.set()
        self._thread.join()
        self.model.close()

    def submit(self, request: Request, constraint: Constraint | None, sink: Sink) -> None:
        """Queue a request. `sink` is called from the engine's thread. Raises Duplicate or InvalidRequest."""
        with self._lock:
            if request.request_id in self._ids:
                raise Duplicate(f"request {request.request_id} is already running; use a fresh id")
            self._ids.add(request.request_id)

        def tell(event: Event) -> None:
            if isinstance(event, (Finished, Failed)):
                with self._lock:
                    self._ids.discard(request.request_id)
            sink(event)

        try:
            self._call(self.core.prepare(request, constraint, tell))
        except EngineError:
            with self._lock:
                self._ids.discard(request.request_id)
            raise

    def abort(self, request_id: str) -> bool:
        """End a request at the next pass boundary. False where it is not running."""
        with self._lock:
            known = request_id in self._ids
        if known:
            self._call(lambda: self.loop.abort(request_id))
        return known

    def load_now(self) -> Load:
        """How busy the engine is."""
        return self.scheduler.load()

    def _call(self, call: Callable[[], object]) -> None:
        self._calls.append(call)
        self._wake.set()

    def _live(self) -> None:
        """The engine's thread: load, then run until closed."""
        try:
            self._load()
        except Exception as error:
            self._load_error = error
            return
        finally:
            self._loaded.set()
        self._run()

    def _load(self) -> None:
        checkpoint = self._source()
        self.tokenizer = checkpoint.tokenizer
        self.chat_template = checkpoint.chat_template
        self.model_name = checkpoint.name
        self.checkpoint_sha256 = checkpoint.sha256
        adapter = packed(checkpoint.adapter, checkpoint.weights.config.layers)
        self.model = Model(
            checkpoint.weights, self.config.threads or available_cores(), adapter, head(checkpoint.adapter)
        )
        self.adapter_sha256 = checkpoint.adapter.sha256 if checkpoint.adapter else ""
        self.model.warm_up()
        warm_up_draws(self.model.config.vocab)
        warm_up_grammars(self.tokenizer)
        self.context_length = self.model.config.context_length
        self.core = Core(self.tokenizer, self.model, self.config)
        self.scheduler, self.loop = self.core.scheduler, self.core.loop

    def _run(self) -> None:
        while not self._closing:
            self._wake.clear()
            while self._calls:
                self._calls.popleft()()
            try:
                busy = self.loop.step()
            except Exception:
                requests = [sequence.request for sequence in self.scheduler.running]
                log.exception(
                    "a pass failed; the requests in it end",
                    extra={
                        "request_ids": [request.request_id for request in requests],
                        "trace_ids": [request.trace_id for request in requests],
                    },
                )
                self._fail_all("the engine failed in a pass; see its log")
                busy = True
            if not busy:
                self._wake.wait()
        self._fail_all("the engine is shutting down")

    def _fail_all(self, message: str) -> None:
        for sequence in [*self.scheduler.running, *self.scheduler.waiting]:
            self.scheduler.remove(sequence)
            sequence.sink(Failed(message))
