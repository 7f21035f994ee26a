"""By which door a step came: its server span by the conventions of that door, and its caller's trace."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from opentelemetry import trace

from triroute.router.telemetry import names

_CLIENTS_FAULT = range(400, 500)


@dataclass(frozen=True, slots=True)
class Entry:
    """`headers` carry the caller's `traceparent`. `status` is the HTTP status that a step gets for the reason why it
    failed, empty where it did not; 0 where it gets none."""

    span: str
    about: Mapping[str, str]
    headers: Mapping[str, str]
    status: Callable[[str], int] = lambda reason: 0
    stream: bool = True  # whether the output comes as it is written

    def end(self, span: trace.Span, reason: str, error: str) -> None:
        """What the span says of the end. What the caller did wrong is no error of an HTTP server."""
        status = self.status(reason)
        if status:
            span.set_attribute(names.HTTP_STATUS, status)
        if reason:
            span.set_attribute(names.ERROR, reason)
        if reason and status not in _CLIENTS_FAULT:
            span.set_status(trace.Status(trace.StatusCode.ERROR, error))


def by_grpc(metadata: Mapping[str, str]) -> Entry:
    """A call of Generate."""
    return Entry(names.SERVER, {names.RPC_SYSTEM: "grpc", names.RPC_METHOD: names.SERVER}, metadata)


def by_http(path: str, scheme: str, headers: Mapping[str, str], status: Callable[[str], int], *, stream: bool) -> Entry:
    """A POST to a path that is a route."""
    about: dict[str, str] = {
        names.HTTP_METHOD: "POST",
        names.HTTP_ROUTE: path,
        names.URL_PATH: path,
        names.URL_SCHEME: scheme,
    }
    return Entry(names.HTTP_SERVER.format(route=path), about, headers, status, stream)
