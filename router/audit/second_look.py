"""Would autoregression have drawn what diffusion committed? Token by token, with diffusion's own tokens before it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from triroute.proto import engine_pb2, router_pb2
from triroute.router.audit.stats import Bucket, bucket_of, confidences
from triroute.router.capture.replay import Again
from triroute.router.convert.engine import to_engine
from triroute.router.engine_client import EngineClient, EngineLost
from triroute.router.errors import EngineFailed
from triroute.router.types import DecodePlan, Mode

_AT_ONCE = 16


def tallied(
    records: Iterable[router_pb2.Record], buckets: list[Bucket], captured: list[str]
) -> Iterator[router_pb2.Record]:
    """The records, counted as they pass: how sure diffusion was of what it committed, and whom one could look at again.

    `captured` gets the request ids of the latter.
    """
    for record in records:
        found = confidences(record)
        for sure in found.values():
            buckets[bucket_of(sure)].tokens += 1
        if found and record.captured and not record.finish.escalations:
            captured.append(record.request_id)
        yield record


async def second_look(engine: EngineClient, again: Again, buckets: list[Bucket]) -> None:
    """Ask the engine for each token of a diffusion output again, and add to the buckets whether it agrees.

    Raises TrirouteError.
    """
    sure, recorded = confidences(again.record), again.record.token_ids
    sampling = replace(again.attempt.sampling, stop=())
    attempt = replace(again.attempt, plan=DecodePlan(Mode.AUTOREGRESSIVE), segments=(), sampling=sampling)
    asked = to_engine(again.message, again.request, attempt, "")
    gate = asyncio.Semaphore(_AT_ONCE)

    async def look(place: int) -> bool:
        async with gate:
            return await next_token(engine, asked, recorded[:place]) == recorded[place]

    places = sorted(sure)
    for place, agrees in zip(places, await asyncio.gather(*map(look, places)), strict=True):
        bucket = buckets[bucket_of(sure[place])]
        bucket.looked_at += 1
        bucket.agreed += agrees


async def next_token(engine: EngineClient, asked: engine_pb2.GenerateRequest, before: Sequence[int]) -> int | None:
    """The token that plain autoregression draws after these; None where it can't go on."""
    one = engine_pb2.GenerateRequest()
    one.CopyFrom(asked)
    one.request_id = f"look-{uuid.uuid4().hex}"
    one.resume_ids[:] = before
    one.sampling.max_tokens = len(before) + 1
    try:
        async with aclosing(engine.generate(one)) as events:
            async for event in events:
                if event.commit.token_ids:
                    return int(event.commit.token_ids[0])
    except EngineLost as lost:
        raise EngineFailed(f"the engine was lost: {lost}") from lost
    return None
