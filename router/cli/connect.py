"""A client for one command: of a running service, or of one that is started for it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc

from triroute.router.cli.options import DEFAULTS
from triroute.router.cli.screen import progress
from triroute.router.client import Client
from triroute.router.errors import EngineUnavailable
from triroute.router.service import Service
from triroute.router.settings import Settings
from triroute.router.supervisor import Supervisor

_LOOK_SECONDS = 0.5
_CONNECT_SECONDS = 5.0


@asynccontextmanager
async def client_of(address: str | None, settings: Settings) -> AsyncIterator[Client]:
    """At `address` or $TRIROUTE_ADDRESS; else at the default address; else of a fresh service.

    Raises EngineUnavailable when nobody answers at a given address.
    """
    given = address or os.environ.get("TRIROUTE_ADDRESS")
    if given:
        if not await _answers(given, _CONNECT_SECONDS):
            raise EngineUnavailable(f"no service answers at {given}; start one with `triroute serve`")
        async with Client(given) as client:
            yield client
    elif await _answers(DEFAULTS.listen, _LOOK_SECONDS):
        async with Client(DEFAULTS.listen) as client:
            yield client
    else:
        async with own_service(settings) as service, Client(service.address) as client:
            yield client


@asynccontextmanager
async def own_service(settings: Settings) -> AsyncIterator[Service]:
    """A service for this command alone."""
    service = Service(settings)
    with progress() as stage:
        service.progress = stage
        await service.__aenter__()
    try:
        yield service
    finally:
        await service.__aexit__(None, None, None)


@asynccontextmanager
async def own_engine(settings: Settings) -> AsyncIterator[Supervisor]:
    """An engine for this command alone, without a service. Raises StartFailed."""
    supervisor = Supervisor(settings)
    try:
        with progress() as stage:
            await supervisor.start(stage)
        yield supervisor
    finally:
        await supervisor.close()


async def _answers(address: str, seconds: float) -> bool:
    channel = grpc.aio.insecure_channel(address)
    try:
        await asyncio.wait_for(channel.channel_ready(), seconds)
    except TimeoutError:
        return False
    finally:
        await channel.close(None)
    return True
