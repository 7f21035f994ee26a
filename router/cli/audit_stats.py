"""`triroute audit stats`: what steps cost, and how well they went."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich import box
from rich.markup import escape
from rich.table import Table

from triroute.router.audit.place import Place
from triroute.router.audit.second_look import second_look, tallied
from triroute.router.audit.stats import BUCKETS, BY, Bucket, Group, gather, read_records
from triroute.router.audit.store import RecordStore
from triroute.router.capture.content import ContentStore, Seal, content_file
from triroute.router.capture.replay import Again
from triroute.router.cli.connect import own_engine
from triroute.router.cli.moments import METAVAR, moment
from triroute.router.cli.options import DEFAULTS, MOST_ROWS, Adapter, CaptureKey, Checkpoint, Records, Threads
from triroute.router.cli.output import output
from triroute.router.cli.screen import console, errors, safe
from triroute.router.errors import NotFound, StartFailed
from triroute.router.settings import Settings

_MONEY = 6  # digits behind the point
_NAME_WIDTH = 18
_DEAREST = 1_000_000_000


def _price(price: float) -> float:
    if not 0 <= price <= _DEAREST:  # not a number neither
        raise typer.BadParameter(f"{price:g} is no price: it takes 0 to {_DEAREST:,}")
    return price


def stats(
    since: Annotated[
        int | None,
        typer.Option(parser=moment, metavar=METAVAR, help="What is newer than this: 30d, 12h, 4w, or a date."),
    ] = None,
    by: Annotated[str, typer.Option(help="Some of step, mode, rule, tenant, with commas.")] = "step,mode",
    price_per_hour: Annotated[float, typer.Option(callback=_price, help="Price of an hour of the device.")] = 0.0,
    look: Annotated[
        int,
        typer.Option(
            "--second-look", min=0, max=MOST_ROWS, help="So many captured diffusion outputs, token by token again."
        ),
    ] = 0,
    plot: Annotated[Path | None, typer.Option(help="Write plots: a .png or .svg.")] = None,
    records: Records = DEFAULTS.records,
    capture_key: CaptureKey = None,
    checkpoint: Checkpoint = None,
    adapter: Adapter = None,
    threads: Threads = None,
    as_json: Annotated[bool, typer.Option("--json", help="The figures as JSON.")] = False,
) -> None:
    """Tokens a forward, device seconds and cost, acceptance, validity and escalations, by step, mode, rule or tenant.

    A pass that requests shared is shared out by their rows in it.
    """
    names = tuple(by.split(","))
    if not set(names) <= set(BY) or len(set(names)) != len(names):
        raise typer.BadParameter(
            f"{by!r}: name some of {', '.join(BY)}, each once, with commas between", param_hint="--by"
        )
    buckets, sure = [Bucket(least) for least in BUCKETS], list[str]()
    groups = gather(tallied(read_records(records, since or 0), buckets, sure), names)
    if look:
        settings = Settings(records=records, checkpoint=checkpoint, adapter=adapter, threads=threads)
        contents = ContentStore(content_file(records), Seal.of(capture_key))
        asyncio.run(_look(settings, contents, sure, look, buckets))
    if plot is not None:
        _plot(plot, records, groups, buckets)
    if as_json:
        figures = {
            "groups": [_plain(names, key, group, price_per_hour) for key, group in groups.items()],
            "diffusion_confidence": [_bucket(one) for one in buckets if one.tokens],
        }
        print(json.dumps(figures, indent=2))  # noqa: T201
        return
    console.print(_table(names, groups, price_per_hour))
    if any(one.tokens for one in buckets):
        console.print(_sureness(buckets))


async def _look(
    settings: Settings, contents: ContentStore, steps: list[str], count: int, buckets: list[Bucket]
) -> None:
    """At the newest so many. Raises NotFound where there are none."""
    chosen, store = list[Again](), RecordStore(settings.records)
    for request_id in reversed(steps):  # the newest first
        if len(chosen) == count:
            break
        with suppress(NotFound):
            chosen.append(Again.of(store.find(request_id), contents))
    if not chosen:
        raise NotFound("no captured diffusion output to look at; a rule with `use: {capture: content}` makes some")
    async with own_engine(settings) as engine:
        for again in chosen:
            await second_look(engine.client, again, buckets)


def _table(names: tuple[str, ...], groups: dict[tuple[str, ...], Group], price: float) -> Table:
    """Fits 80 columns: what a group is called takes a line for each of its names."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("\n".join(names), overflow="fold", min_width=_NAME_WIDTH)
    for name in ("\nsteps", "\ntokens", "a\npass", "device\nseconds", "\ncost", "drafts\nkept", "\nvalid", "\nagain"):
        table.add_column(name, justify="right", no_wrap=True)
    for key, group in groups.items():
        table.add_row(
            "\n".join(escape(safe(word)).replace("/", "\n ") for word in key),
            str(group.steps),
            str(group.tokens),
            _figure(group.tokens_per_forward),
            f"{group.device_seconds:.2f}",
            f"{group.cost(price):.4f}" if price else "",
            _figure(group.accepted_length),
            f"{group.validity:.0%}" if group.validity is not None else "",
            str(group.escalations or ""),
        )
    return table


def _sureness(buckets: list[Bucket]) -> Table:
    table = Table(title="diffusion: how sure, and what a second look says", title_justify="left", box=box.SIMPLE_HEAD)
    for name in ("confidence from", "tokens", "looked at", "agreed"):
        table.add_column(name, justify="right")
    for one in buckets:
        if one.tokens:
            agreed = f"{one.agreed / one.looked_at:.0%}" if one.looked_at else ""
            table.add_row(f"{one.least:g}", str(one.tokens), str(one.looked_at), agreed)
    return table


def _plot(path: Path, records: Place, groups: dict[tuple[str, ...], Group], buckets: list[Bucket]) -> None:
    """Raises StartFailed without matplotlib, BadParameter for a file that can't be written."""
    try:
        from triroute.router.audit.stats_plot import write_plot

        with output(path, records, "--plot") as file:
            write_plot(file, groups, buckets)
    except ModuleNotFoundError as error:
        raise StartFailed("--plot needs matplotlib; install `triroute[bench]`") from error
    except ValueError as error:
        raise typer.BadParameter(
            f"{path} can't be written: {error}; name a .png or .svg", param_hint="--plot"
        ) from error
    errors.print(f"plots: {escape(str(path))}", soft_wrap=True, highlight=False)  # stdout may be read as JSON


def _figure(value: float | None) -> str:
    return f"{value:.2f}" if value is not None else ""


def _plain(names: tuple[str, ...], key: tuple[str, ...], group: Group, price: float) -> dict[str, Any]:
    counts = {name: getattr(group, name) for name in Group.__slots__ if name != "accepted_lengths"}
    return {
        **dict(zip(names, key, strict=True)),
        **counts,
        "device_seconds": round(group.device_seconds, _MONEY),
        "cost": round(group.cost(price), _MONEY),
        "tokens_per_forward": group.tokens_per_forward,
        "accepted_length": group.accepted_length,
        "accepted_lengths": {str(length): group.accepted_lengths[length] for length in sorted(group.accepted_lengths)},
        "validity": group.validity,
    }


def _bucket(one: Bucket) -> dict[str, Any]:
    return {"least": one.least, "tokens": one.tokens, "looked_at": one.looked_at, "agreed": one.agreed}
