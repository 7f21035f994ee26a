"""Spans on their way to a collector: batched, bounded, and counted where they are lost."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_BSP_MAX_QUEUE_SIZE
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult

log = logging.getLogger("triroute.telemetry")

_EXPORT_SECONDS, _CLOSE_SECONDS, _CANCEL_SECONDS = 3.0, 2.0, 0.5
_BATCH, _BATCH_MS = 512, 500
_MOST_QUEUED = 2_048

# The SDK logs each failed batch and each dropped span; `_Exporter` says it once.
logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter").setLevel(logging.CRITICAL)
logging.getLogger("opentelemetry.sdk._shared_internal").setLevel(logging.ERROR)


@dataclass(frozen=True, slots=True)
class Dropped:
    """Spans that no collector got, by what they were lost to."""

    queue_full: int = 0
    export_failed: int = 0


class SpanExport(SpanProcessor):
    """To one endpoint, from a thread of its own. The SDK drops what its queue can't hold uncounted: this asks first."""

    def __init__(self, endpoint: str) -> None:
        given = os.environ.get(OTEL_BSP_MAX_QUEUE_SIZE, "")
        self._most = int(given) if given.isdecimal() and int(given) else _MOST_QUEUED
        self._exporter = _Exporter(endpoint)
        self._lock = threading.Lock()
        self._queued = self._overflowed = 0
        self._batches = BatchSpanProcessor(
            self._exporter,
            max_queue_size=self._most,
            max_export_batch_size=min(_BATCH, self._most),
            schedule_delay_millis=_BATCH_MS,
        )

    @property
    def dropped(self) -> Dropped:
        """So far. What a collector takes and then discards is not known here."""
        return Dropped(self._overflowed, self._exporter.failed)

    def on_end(self, span: ReadableSpan) -> None:
        if not (span.context and span.context.trace_flags.sampled):
            return
        with self._lock:
            full = self._queued - self._exporter.taken >= self._most
            self._queued += not full
            self._overflowed += full
        if not full:
            self._batches.on_end(span)

    def shutdown(self) -> None:
        self._batches.shutdown()  # type: ignore[no-untyped-call]

    def close(self) -> None:
        """Export what is left, within two seconds; the rest is dropped."""
        shutdown = threading.Thread(target=self.shutdown, name="triroute-telemetry", daemon=True)
        shutdown.start()
        shutdown.join(_CLOSE_SECONDS)
        if shutdown.is_alive():
            self._exporter.shutdown()  # ends the call that a hanging collector holds
            shutdown.join(_CANCEL_SECONDS)
        lost = self.dropped.queue_full + self.dropped.export_failed
        if lost:
            log.warning("%d spans were never sent", lost)


class _Exporter(SpanExporter):
    """OTLP, with one log line when the collector goes away and one when it is back."""

    def __init__(self, endpoint: str) -> None:
        insecure = not endpoint.startswith("https://")
        self._otlp = OTLPSpanExporter(endpoint=endpoint, insecure=insecure, timeout=_EXPORT_SECONDS)
        self._endpoint = endpoint
        self._failing = False
        self.taken = self.failed = 0  # spans

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        self.taken += len(spans)
        result = SpanExportResult.FAILURE
        try:
            result = self._otlp.export(spans)
        except ValueError:  # `shutdown` closed the channel meanwhile
            pass
        finally:
            self._note(len(spans), failing=result is not SpanExportResult.SUCCESS)
        return result

    def _note(self, spans: int, failing: bool) -> None:
        if failing:
            self.failed += spans
        if failing and not self._failing:
            log.warning("spans can't be sent to %s; requests go on without", self._endpoint)
        elif self._failing and not failing:
            log.warning("spans are sent to %s again", self._endpoint)
        self._failing = failing

    def shutdown(self) -> None:
        self._otlp.shutdown()
