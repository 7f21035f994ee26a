"""docs/telemetry_names.md, made of `names`: `python -m triroute.router.telemetry.page > docs/telemetry_names.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator

from triroute.router.telemetry import names
from triroute.router.telemetry.names import Event, Histogram, Metric, Name

_HEAD = """# Names in traces, metrics and logs

Made of [names.py](../router/telemetry/names.py) by `python -m triroute.router.telemetry.page`;
[telemetry](telemetry.md) says how they belong together. Names of `gen_ai.*`, `rpc.*`, `http.*`, `url.*`
and `error.*`, and the buckets of `gen_ai.*`, are those of OpenTelemetry's [semantic conventions](https://opentelemetry.io/docs/specs/semconv/gen-ai/);
time a token has finer buckets too."""

_IN_PROMETHEUS = "In Prometheus dots become underscores; times end in `_seconds`, counters in `_total`."


def page() -> str:
    """Markdown."""
    return "\n".join([_HEAD, *_spans(), *_events(), *_metrics(), *_logs()]) + "\n"


def of(kind: type[Name]) -> list[Name]:
    """All names of a kind, in the order of the file."""
    return [value for value in vars(names).values() if isinstance(value, kind)]


def _spans() -> Iterator[str]:
    yield "\n## Spans"
    for span, attributes in names.SPANS.items():
        yield f"\n### `{span}`\n\n{_sentence(span.what)}"
        if attributes:
            yield ""
            yield from _table(("attribute", "what it is"), ((f"`{one}`", one.what) for one in attributes))


def _events() -> Iterator[str]:
    yield "\n## Events\n"
    events = [one for one in of(Event) if isinstance(one, Event)]
    yield from _table(
        ("on", "event", "what it is", "attributes"),
        ((f"`{one.on}`", f"`{one}`", one.what, _listed(one.has)) for one in events),
    )
    yield ""
    told = dict.fromkeys(one for event in events for one in event.has)
    yield from _table(("attribute", "what it is"), ((f"`{one}`", one.what) for one in told))


def _metrics() -> Iterator[str]:
    yield "\n## Metrics\n"
    metrics = [one for one in of(Metric) if isinstance(one, Metric)]
    yield from _table(
        ("metric", "kind", "unit", "what it is", "labels"),
        ((f"`{one}`", type(one).__name__.lower(), one.unit, one.what, _listed(one.labels)) for one in metrics),
    )
    yield f"\n{_IN_PROMETHEUS}\n"
    labels = dict.fromkeys(one for metric in metrics for one in metric.labels)
    yield from _table(("label", "what it is"), ((f"`{one}`", one.what) for one in labels))
    yield ""
    buckets = (one for one in metrics if isinstance(one, Histogram))
    yield from _table(("histogram", "buckets end at"), ((f"`{one}`", _numbers(one.buckets)) for one in buckets))


def _logs() -> Iterator[str]:
    yield "\n## Log lines\n"
    lines = [(one, "all") for one in names.LOG_LINE] + [(one, "`triroute.steps`") for one in names.LOG_OF_STEPS]
    lines += [(one, "`triroute.engine`") for one in names.LOG_OF_ENGINES]
    yield from _table(("field", "of", "what it is"), ((f"`{one}`", whose, one.what) for one, whose in lines))


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield "|" + "---|" * len(head)
    for row in rows:
        yield f"| {' | '.join(row)} |"


def _listed(several: Iterable[Name]) -> str:
    return ", ".join(f"`{one}`" for one in several)


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(f"{value:.8g}" for value in values)


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


if __name__ == "__main__":
    sys.stdout.write(page())
