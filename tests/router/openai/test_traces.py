"""Spans of steps that come by HTTP: below the request's trace, an HTTP server's by the conventions."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from triroute.router.service import Service

from .. import fake_engine
from .conftest import user

pytestmark = pytest.mark.asyncio(loop_scope="module")

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
HEADERS = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=opaque,other=1"}
CHAT, TEXT = "POST /v1/chat/completions", "POST /v1/completions"
ERRORS = {"invalid": (400, "INVALID_REQUEST", StatusCode.UNSET), "failed": (500, "ENGINE_FAILED", StatusCode.ERROR)}


@pytest.fixture
def exporter(service: Service) -> InMemorySpanExporter:
    one = InMemorySpanExporter()
    service.pipeline.telemetry.provider.add_span_processor(SimpleSpanProcessor(one))
    return one


async def server(exporter: InMemorySpanExporter, name: str) -> ReadableSpan:
    await fake_engine.until(lambda: any(span.name == name for span in exporter.get_finished_spans()))
    (span,) = (span for span in exporter.get_finished_spans() if span.name == name)
    return span


def tags(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


@pytest.mark.parametrize("stream", [False, True])
async def test_server_span(client: openai.AsyncOpenAI, exporter: InMemorySpanExporter, stream: bool) -> None:
    told: Any = await client.chat.completions.create(
        model="fake-1", messages=user(), max_tokens=3, stream=stream, extra_headers=HEADERS
    )
    first = (await anext(told)) if stream else told
    if stream:
        [chunk async for chunk in told]
    span = await server(exporter, CHAT)
    assert span.kind is SpanKind.SERVER
    assert span.parent is not None
    assert (f"{span.parent.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.parent.trace_state.get("vendor") == "opaque"
    assert {one.context.trace_id for one in exporter.get_finished_spans()} == {int(TRACE, 16)}
    assert first.triroute["trace_id"] == TRACE
    assert tags(await server(exporter, "chat fake-1"))["gen_ai.request.stream"] is stream
    assert tags(span) == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "http.response.status_code": 200,
        "triroute.request.id": first.triroute["request_id"],
    }


async def test_raw_text_and_odd_traces(client: openai.AsyncOpenAI, exporter: InMemorySpanExporter) -> None:
    for headers in ({}, {"traceparent": "00-zz-1"}):
        exporter.clear()
        await client.completions.create(model="fake-1", prompt="go on", max_tokens=3, extra_headers=headers)
        span = await server(exporter, TEXT)
        assert (span.parent, tags(span)["http.route"]) == (None, "/v1/completions")


@pytest.mark.parametrize("end", ERRORS)
async def test_failures(client: openai.AsyncOpenAI, exporter: InMemorySpanExporter, end: str) -> None:
    """What the caller did wrong is no error of the server."""
    with pytest.raises(openai.APIStatusError) as caught:
        await client.chat.completions.create(model="fake-1", messages=user(end=end))
    span = await server(exporter, CHAT)
    status, reason, state = ERRORS[end]
    assert caught.value.status_code == tags(span)["http.response.status_code"] == status
    assert (tags(span)["error.type"], span.status.status_code) == (reason, state)


async def test_a_stream_that_breaks_off_was_well_when_it_began(
    client: openai.AsyncOpenAI, exporter: InMemorySpanExporter
) -> None:
    with pytest.raises(openai.APIError, match="a tensor"):
        async for _ in await client.chat.completions.create(model="fake-1", messages=user(end="failed"), stream=True):
            pass
    span = await server(exporter, CHAT)
    assert tags(span)["http.response.status_code"] == 200
    assert (tags(span)["error.type"], span.status.status_code) == ("ENGINE_FAILED", StatusCode.ERROR)


async def test_no_status_where_nobody_was_told_one(
    client: openai.AsyncOpenAI, exporter: InMemorySpanExporter, service: Service
) -> None:
    asking = asyncio.create_task(client.chat.completions.create(model="fake-1", messages=user(slow_start=5)))
    await fake_engine.until(lambda: bool(service.pipeline.running))
    asking.cancel()
    span = await server(exporter, CHAT)
    assert "http.response.status_code" not in tags(span)
    assert tags(span)["error.type"] == "CANCELLED"
