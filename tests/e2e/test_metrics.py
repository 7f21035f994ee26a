"""`/metrics` of a real service; the dashboard and the page about telemetry name what there is."""

from __future__ import annotations

import asyncio
import json
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families

from triroute.router.convert.request import to_request
from triroute.router.policy import load
from triroute.router.policy.live import ActivePolicy
from triroute.router.prompts import build
from triroute.router.run import Run
from triroute.router.settings import Settings
from triroute.router.telemetry import names
from triroute.router.telemetry.entry import by_grpc
from triroute.router.telemetry.metrics import Metrics
from triroute.router.telemetry.page import of, page
from triroute.router.telemetry.tracer import Telemetry, trace_id

from .conftest import Running

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana/dashboards/triroute.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
SCHEMA = {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
STEPS: list[dict[str, Any]] = [
    {"prompt": "Write a Python function that adds two numbers.", "max_tokens": 40},
    {"prompt": "A number as JSON.", "json_schema": SCHEMA, "max_tokens": 20},
    {"prompt": "Tell me a story.", "mode": "diffusion", "max_tokens": 16},
]
SECRET = "zanzibar quince"
METRICS = [one for one in of(names.Metric) if isinstance(one, names.Metric)]


@pytest.fixture(scope="module")
def served(settings: Settings) -> Iterator[Running]:
    service = Running(replace(settings, http="127.0.0.1:0"))
    for step in STEPS:
        list(service.stub.Generate(build(step, "a step")))
    call = service.stub.Generate(build({"prompt": SECRET, "max_tokens": 400}, "a step"))
    next(call)
    call.cancel()
    asyncio.run_coroutine_threadsafe(service.service.pipeline.idle.wait(), service.loop).result(timeout=30)
    yield service
    service.close()


def scrape(service: Running, accept: str = "") -> tuple[str, str]:
    asked = urllib.request.Request(f"http://{service.service.http.address}/metrics", headers={"accept": accept})
    with urllib.request.urlopen(asked, timeout=10) as answer:
        return answer.read().decode(), answer.headers["content-type"]


def samples(page: str) -> dict[str, set[str]]:
    """By name, the labels."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


def as_prometheus(metric: names.Metric) -> str:
    """As a metric is called there, without what the kind of it adds."""
    return metric.replace(".", "_") + ("_seconds" if metric.unit == "s" else "")


def test_labels_are_those_that_the_page_tells_of(served: Running) -> None:
    shown = samples(scrape(served)[0])
    for metric in METRICS:
        named = [labels for name, labels in shown.items() if re.match(rf"{as_prometheus(metric)}(?:_[a-z]+)?$", name)]
        assert set().union(*named) - {"le"} <= {label.replace(".", "_") for label in metric.labels}, metric


def test_steps_are_counted(served: Running) -> None:
    page, kind = scrape(served)
    assert kind.startswith("text/plain")
    assert "application/openmetrics-text" in scrape(served, "application/openmetrics-text; version=1.0.0")[1]
    families = {family.name: family for family in text_string_to_metric_families(page)}
    duration = families["gen_ai_server_request_duration_seconds"]
    counts: Counter[tuple[str, str]] = Counter()
    for sample in duration.samples:
        if sample.name.endswith("_count"):
            counts[sample.labels["triroute_mode"], sample.labels["error_type"]] += int(sample.value)
    assert counts["diffusion", ""] == 1
    assert sum(counts.values()) == len(STEPS) + 1
    assert [error for _, error in counts if error] == ["CANCELLED"]
    tokens = sum(sample.value for sample in families["triroute_decoded"].samples if sample.name.endswith("_total"))
    assert tokens > 20
    (policy,) = families["triroute_policy_info"].samples
    assert policy.labels == {"policy": "default", "revision": served.service.policy.revision[:12]}
    assert SECRET not in page


def test_what_a_schema_held_is_what_it_was_taken_for(served: Running) -> None:
    """Whatever its value is: a number is no less JSON than an object."""
    before = claims(served)
    step = {"prompt": "Yes or no?", "json_schema": {"enum": ["yes", "no"]}, "max_tokens": 8}
    list(served.stub.Generate(build(step, "a step")))
    asyncio.run_coroutine_threadsafe(served.service.pipeline.idle.wait(), served.loop).result(timeout=30)
    assert claims(served) - before == Counter({("1.0", "true"): 1})


def claims(service: Running) -> Counter[tuple[str, str]]:
    """Steps by how surely they were taken for something, and whether they were that."""
    found: Counter[tuple[str, str]] = Counter()
    for family in text_string_to_metric_families(scrape(service)[0]):
        for sample in family.samples:
            if sample.name == "triroute_classifier_claims_total":
                found[sample.labels["confidence"], sample.labels["right"]] += int(sample.value)
    return found


def test_every_query_names_what_there_is(served: Running) -> None:
    known = samples(scrape(served)[0])
    for metric in METRICS:  # those that nothing has happened to yet
        counter = "_total" if isinstance(metric, names.Counter) else ""
        known.setdefault(as_prometheus(metric) + counter, {label.replace(".", "_") for label in metric.labels})
    for query in [*QUERIES, *(one["expr"] for one in DASHBOARD["annotations"]["list"])]:
        named = re.findall(r"\b(?:gen_ai|triroute)_\w+(?=[\[{)\s]|$)", query)
        labels = {word.strip() for inside in re.findall(r"by \(([^)]*)\)", query) for word in inside.split(",")}
        labels |= set(re.findall(r"(\w+)[!=~]+\"", query))
        used = [name for name in named if name not in labels]
        assert used, query
        for name in used:
            assert name in known, query
            assert labels <= known[name], query


def test_exemplars_lead_to_traces(settings: Settings) -> None:
    """Both in what a collector gets and in what Prometheus reads as OpenMetrics."""
    reader = InMemoryMetricReader()
    counted = Metrics("", ActivePolicy(load(settings.policy)), [reader])
    run = Run(build(STEPS[0], "a step"), to_request(build(STEPS[0], "a step")))
    span = Telemetry("").begin(run, by_grpc({}))
    run.ended_ns = run.arrived_ns + 1_000_000
    counted.steps.count(run, span, "m")
    data = reader.get_metrics_data()
    assert data is not None
    points = {
        metric.name: metric.data.data_points
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    }
    (point,) = points[names.DURATION]
    (exemplar,) = point.exemplars
    assert exemplar.trace_id == span.get_span_context().trace_id
    openmetrics.generate_latest(counted.registry)  # for another reader: the SDK gives each exemplar once
    page = openmetrics.generate_latest(counted.registry).decode()
    (family,) = (one for one in openmetrics_families(page) if one.name == "gen_ai_server_request_duration_seconds")
    (sample,) = (one for one in family.samples if one.exemplar)
    assert sample.exemplar is not None
    assert sample.exemplar.labels["trace_id"] == trace_id(span)
    assert (sample.labels["le"], sample.exemplar.value) == ("0.01", 0.001)
    assert float(sample.exemplar.timestamp or 0) == pytest.approx(time.time(), abs=60)
    counted.close()


def test_page_is_current() -> None:
    assert (ROOT / "docs/telemetry_names.md").read_text(encoding="utf-8") == page()


def test_every_name_is_used_and_written_nowhere_else() -> None:
    """The page tells of what there is, and of all of it."""
    files = [path for path in (ROOT / "router/telemetry").glob("*.py") if path.name not in ("names.py", "page.py")]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    patterns = (names.CHAT, names.DECODE)
    others = (names.LOG_EXCEPTION, names.REQUEST_IDS, names.TRACE_IDS)  # the formatter's, and the engine's
    for constant, value in vars(names).items():
        if isinstance(value, names.Name) and value not in (*patterns, *others):
            assert re.search(rf"\b{constant}\b", code), constant
    written = re.findall(r"\"((?:gen_ai|triroute)\.[\w.]+)\"", code)
    assert not [one for one in written if one in {*of(names.Name)}]


def test_no_name_is_a_namespace_too() -> None:
    """As OpenTelemetry asks: what stores attributes as a tree has no place for both."""
    known = {str(one) for one in of(names.Name)}
    assert [one for one in known if any(other.startswith(f"{one}.") for other in known)] == []


def test_files_fit_together() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text(encoding="utf-8"))
    for service in compose["services"].values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert (DEPLOY / source).exists() if source.startswith(".") else source in compose["volumes"]
    (scraped,) = yaml.safe_load((DEPLOY / "prometheus.yaml").read_text(encoding="utf-8"))["scrape_configs"]
    (target,) = scraped["static_configs"][0]["targets"]
    host, _, port = target.partition(":")
    assert host in compose["services"]
    assert f'"--http", "0.0.0.0:{port}"' in (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    sources = yaml.safe_load((DEPLOY / "grafana/provisioning/datasources/prometheus.yaml").read_text(encoding="utf-8"))
    uids = {source["uid"] for source in sources["datasources"]}
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} <= uids
    for source in sources["datasources"]:
        assert source["url"].split("//")[1].split(":")[0] in compose["services"]
