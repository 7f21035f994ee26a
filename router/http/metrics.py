"""`/metrics`: what Prometheus scrapes."""

from __future__ import annotations

import asyncio

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def metrics_page(registry: CollectorRegistry) -> Route:
    """In the text format, or as OpenMetrics for who asks for that."""

    async def answer(request: Request) -> Response:
        try:
            encode, kind = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # it asks for a version that is no number
            encode, kind = choose_encoder("")
        return Response(await asyncio.to_thread(encode, registry), headers={"content-type": kind})

    return Route("/metrics", answer)
