"""`triroute serve`: router and engine, supervised together, until Ctrl-C."""

from __future__ import annotations

import asyncio
import logging
import signal
from pathlib import Path
from typing import Annotated

import typer
from rich.panel import Panel
from rich.table import Table

from triroute.router.cli.options import (
    DEFAULTS,
    Adapter,
    AuditKey,
    CacheMB,
    CaptureKey,
    Checkpoint,
    Listen,
    PolicyFile,
    Records,
    Threads,
)
from triroute.router.cli.screen import console, progress
from triroute.router.service import Service
from triroute.router.settings import Settings, home

log = logging.getLogger("triroute.service")


def serve(
    listen: Listen = DEFAULTS.listen,
    policy: PolicyFile = DEFAULTS.policy,
    checkpoint: Checkpoint = None,
    adapter: Adapter = None,
    records: Records = DEFAULTS.records,
    audit_key: AuditKey = None,
    threads: Threads = None,
    cache_mb: CacheMB = DEFAULTS.cache_mb,
    admin: Annotated[
        str, typer.Option(help="Where PolicyAdmin listens: unix:PATH, HOST:PORT, or `none`.", show_default="a socket")
    ] = "auto",
    http: Annotated[
        str, typer.Option(help="Where HTTP listens: HOST:PORT, or `none`.", show_default="the next port, local")
    ] = "auto",
    http_token: Annotated[
        str,
        typer.Option(envvar="TRIROUTE_HTTP_TOKEN", help="What viewer and /v1 ask for, and must beyond this machine."),
    ] = "",
    classifier: Annotated[
        Path | None, typer.Option(help="Weights of the classifier of steps.", show_default="the ones that ship")
    ] = None,
    encoder: Annotated[
        Path | None,
        typer.Option(help="Folder of a sentence encoder that it also asks: milliseconds a step.", show_default="none"),
    ] = None,
    capture_key: CaptureKey = None,
    content_days: Annotated[float, typer.Option(min=0, help="Days that captured requests stay.")] = (
        DEFAULTS.content_days
    ),
    redis: Annotated[
        str, typer.Option(envvar="TRIROUTE_REDIS", help="URL of the Redis whose fleet this router joins.")
    ] = DEFAULTS.redis,
    fleet: Annotated[str, typer.Option(help="Which fleet in that Redis.")] = DEFAULTS.fleet,
    replica: Annotated[str, typer.Option(help="This router's name in the fleet.", show_default="HOST:PORT")] = "",
    last_good: Annotated[
        Path | None,
        typer.Option(help="Keep the last good policy in this file.", show_default="with --redis, one for the fleet"),
    ] = None,
    drain: Annotated[float, typer.Option(min=0, help="Seconds that running steps get after Ctrl-C.")] = (
        DEFAULTS.drain_seconds
    ),
) -> None:
    """Serve until Ctrl-C. The first Ctrl-C lets running steps finish, the second does not."""
    settings = Settings(
        listen=listen,
        policy=policy,
        checkpoint=checkpoint,
        adapter=adapter,
        classifier=classifier,
        encoder=encoder,
        records=records,
        audit_key=audit_key,
        threads=threads,
        cache_mb=cache_mb,
        drain_seconds=drain,
        admin="" if admin == "none" else admin,
        http="" if http == "none" else http,
        http_token=http_token,
        capture_key=capture_key,
        content_days=content_days,
        redis=redis,
        fleet=fleet,
        replica=replica,
        stopped=home() / f"stopped-canaries-{fleet}.json",
        last_good=last_good or (home() / f"policy-{fleet}.json" if redis else None),
    )
    asyncio.run(_serve(settings))


async def _serve(settings: Settings) -> None:
    loop, stop, at_once = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

    def interrupted() -> None:
        (at_once if stop.is_set() else stop).set()

    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, interrupted)
    starting = asyncio.create_task(_start(settings))
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([starting, stopping], return_when=asyncio.FIRST_COMPLETED)
    if not starting.done():
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        return
    service = await starting
    try:
        console.print(_welcome(service))
        await stop.wait()
        log.warning("finishing running steps, for up to %g s; Ctrl-C again stops at once", settings.drain_seconds)
        draining, cut = asyncio.create_task(service.drain()), asyncio.create_task(at_once.wait())
        await asyncio.wait([draining, cut], return_when=asyncio.FIRST_COMPLETED)
        draining.cancel()
        cut.cancel()
        await asyncio.gather(draining, cut, return_exceptions=True)
    finally:
        await service.__aexit__(None, None, None)


async def _start(settings: Settings) -> Service:
    with progress() as stage:
        return await Service(settings, stage).__aenter__()


def _welcome(service: Service) -> Panel:
    table = Table.grid(padding=(0, 2))
    rows = {
        "address": service.address,
        "model": service.supervisor.description.model,
        "policy": f"{service.policy.name} {service.policy.revision[:12]}",
        "admin": service.admin.address or "none",
        "viewer": f"http://{service.http.address}/ui/" if service.http.address else "none",
        "OpenAI's API": f"http://{service.http.address}/v1" if service.http.address else "none",
        "store": service.keeper.store.health().where,
        "records": str(service.settings.records),
        "traces": service.settings.otlp_endpoint or "kept out; set OTEL_EXPORTER_OTLP_ENDPOINT to export them",
        "try": f'triroute generate --address {service.address} "Plan a picnic"',
    }
    for name, value in rows.items():
        table.add_row(f"[dim]{name}[/dim]", value)
    return Panel(table, title="Triroute serves", title_align="left", expand=False)
