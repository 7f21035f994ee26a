"""A collector that is frozen while steps run: they are as fast as ever, and each span that it misses is counted."""

from __future__ import annotations

import os
import signal
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from triroute.router.prompts import build
from triroute.router.settings import Settings

from .conftest import Running

ASKED = {"prompt": "Tell me a story.", "mode": "autoregressive", "temperature": 0.7, "seed": 3}
SPANS = 6  # of a step that decodes one segment
ROUNDS, STEPS = 5, 4
QUEUE, BATCH = 3 * SPANS, SPANS
PATIENCE_SECONDS = 60.0


class Collector:
    """A process that can be frozen."""

    def __init__(self) -> None:
        command = [sys.executable, str(Path(__file__).with_name("collector.py"))]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self._said = self.process.stdout
        self.address = self._said.readline().strip()
        self.spans: Counter[str] = Counter()  # by trace
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self.process.pid, os.WSTOPPED | os.WNOWAIT)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join()
        self._said.close()

    def _read(self) -> None:
        for line in self._said:
            self.spans[line.strip()] += 1


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    one = Collector()
    yield one
    one.close()


@pytest.fixture(scope="module")
def service(collector: Collector, settings: Settings) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (
            ("OTEL_BSP_MAX_QUEUE_SIZE", QUEUE),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", BATCH),
            ("OTEL_METRIC_EXPORT_INTERVAL", 500),
        ):
            patch.setenv(name, str(value))
        one = Running(replace(settings, http="127.0.0.1:0", otlp_endpoint=collector.address))
    yield one
    one.close()


def run(service: Running, tokens: int = 2) -> tuple[str, float]:
    """A step: its trace, and its tokens a second as its caller sees them."""
    start = time.perf_counter()
    events = list(service.stub.Generate(build({**ASKED, "max_tokens": tokens}, "a step")))
    seconds = time.perf_counter() - start
    assert len(events[-1].finish.segments) == 1
    return events[0].decision.trace_id, events[-1].finish.usage.completion_tokens / seconds


def dropped(service: Running) -> Counter[str]:
    """Spans by reason, as Prometheus sees them."""
    with urllib.request.urlopen(f"http://{service.service.http.address}/metrics", timeout=10) as answer:
        page = answer.read().decode()
    (found,) = (one for one in text_string_to_metric_families(page) if one.name == "triroute_telemetry_dropped")
    return Counter({sample.labels["reason"]: int(sample.value) for sample in found.samples})


def until_it_gets_steps(collector: Collector, service: Running) -> None:
    """Until it has a whole step again. All that waited before has gone then, or is lost."""
    collector.thaw()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        trace, _ = run(service)
        time.sleep(1)
        if collector.spans[trace] == SPANS:
            return
        assert time.monotonic() < deadline


def test_steps_do_not_notice(collector: Collector, service: Running) -> None:
    speeds: dict[str, list[float]] = {"running": [], "frozen": []}
    until_it_gets_steps(collector, service)
    for _ in range(ROUNDS):
        for how, change in (("running", collector.thaw), ("frozen", collector.freeze)):
            change()
            speeds[how] += [run(service, tokens=16)[1] for _ in range(STEPS)]
    running, frozen = (statistics.median(speeds[how]) for how in ("running", "frozen"))
    print(f"\nwith a frozen collector {frozen / running:.2f} of the tokens a second with one that runs")
    assert frozen > 0.3 * running  # a step that waits for an export takes fifty times as long


def test_each_span_that_it_misses_is_counted(collector: Collector, service: Running) -> None:
    until_it_gets_steps(collector, service)
    before = dropped(service)
    collector.freeze()
    received, steps = collector.spans.total(), 0
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (dropped(service) - before).keys() != before.keys() and time.monotonic() < deadline:
        run(service)
        steps += 1
    assert (dropped(service) - before).keys() == {"queue_full", "export_failed"}
    lost = before.total() + steps * SPANS
    while dropped(service).total() < lost and time.monotonic() < deadline:
        time.sleep(0.1)
    assert (dropped(service).total(), collector.spans.total()) == (lost, received)
    until_it_gets_steps(collector, service)
    assert dropped(service).total() == lost


def test_service_stops_all_the_same(collector: Collector, service: Running) -> None:
    """The last, because it stops the service."""
    until_it_gets_steps(collector, service)
    before = dropped(service)
    collector.freeze()
    for _ in range(3):
        run(service)
    start = time.monotonic()
    service.close()
    seconds = time.monotonic() - start
    print(f"\nthe service stopped within {seconds:.1f} s")
    assert seconds < 20  # the SDK alone waits 30 s for its queue, and the engine is stopped as well
    lost = asdict(service.service.pipeline.telemetry.dropped)
    assert Counter(lost) - before == Counter(export_failed=3 * SPANS)
