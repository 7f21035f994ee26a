"""`triroute audit replay`: recorded steps once more, byte by byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.progress import track
from rich.table import Table

from triroute.proto import router_pb2
from triroute.router.audit.entries import one_entry, read_entries
from triroute.router.audit.place import Place
from triroute.router.audit.store import RecordStore
from triroute.router.capture.content import ContentGone, ContentStore, Seal, content_file
from triroute.router.capture.replay import Again, Replayed, Replayer
from triroute.router.cli.connect import own_engine
from triroute.router.cli.options import DEFAULTS, MOST_ROWS, Adapter, CaptureKey, Checkpoint, Records, Threads
from triroute.router.cli.screen import console, errors, line, quoted
from triroute.router.errors import NotFound
from triroute.router.settings import Settings

_LOOKED_AT = 10_000  # entries, for captured steps
_AROUND = 24  # characters shown before and after a difference


def replay(
    wanted: Annotated[
        list[str] | None, typer.Argument(metavar="[ID]...", help="Trace or request ids, or their beginnings.")
    ] = None,
    last: Annotated[
        int, typer.Option("--last", "-n", min=0, max=MOST_ROWS, help="The newest so many that were captured.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    records: Records = DEFAULTS.records,
    capture_key: CaptureKey = None,
    checkpoint: Checkpoint = None,
    adapter: Adapter = None,
    threads: Threads = None,
) -> None:
    """Run captured steps again: as they ran, and where exact modes ran by plain autoregression, which must agree."""
    if bool(wanted) == bool(last):
        raise typer.BadParameter("give IDs, or --last N", param_hint="ID")
    store = RecordStore(records)
    again = captured(store, records, wanted or [], last, capture_key)
    settings = Settings(checkpoint=checkpoint, adapter=adapter, threads=threads)
    replayed = asyncio.run(_replay(again, store, settings))
    if as_json:
        for one in replayed:
            print(json.dumps(_plain(one)))  # noqa: T201
    else:
        _show(replayed)
    if not all(one.same for one in replayed):
        raise typer.Exit(1)


def captured(store: RecordStore, records: Place, wanted: list[str], last: int, key: Path | None) -> list[Again]:
    """Steps that can run again. Of the `last` ones, those without content are skipped.

    Raises NotFound, StartFailed, and Damaged where it can't be known which they are.
    """
    contents = ContentStore(content_file(records), Seal.of(key))
    if wanted:
        return [Again.of(store.find(one), contents) for one in wanted]
    found = list(islice(_captured(records), last))
    if not found:
        raise NotFound(f"no captured step among the newest {_LOOKED_AT:,} entries of {records}; see `capture: content`")
    there = list[Again]()
    for request_id in found:
        try:
            there.append(Again.of(store.find(request_id), contents))
        except ContentGone as error:
            errors.print(f"[yellow]skipped[/yellow]: {escape(str(error))}", soft_wrap=True, highlight=False)
    if not there:
        raise NotFound(f"nothing to replay: of the newest {len(found)} captured steps of {records}, no content is left")
    return there


def _captured(records: Place) -> Iterator[str]:
    """Request ids, the newest first."""
    for logged in read_entries(records, newest=_LOOKED_AT):
        if logged.damage:
            one_entry(records, logged.number)  # says so
        record = logged.entry.record if logged.entry is not None else None
        if record is not None and record.captured and record.decision.rule_id:
            yield record.request_id


async def _replay(again: list[Again], store: RecordStore, settings: Settings) -> list[Replayed]:
    async with own_engine(settings) as engine:
        runs = Replayer(engine)
        watched = track(again, "replaying", console=errors, transient=True)
        return [await runs.replay(one, store.kept(one.record.engine_sha256)) for one in watched]


def _show(replayed: list[Replayed]) -> None:
    table = Table(box=None, pad_edge=False)
    for name in ("step", "tokens", "as it ran", "autoregression"):
        table.add_column(name, justify="right" if name == "tokens" else "left")
    for one in replayed:
        verdicts = [_verdict(compared.same, one.again) for compared in one.runs]
        missing = ["[dim]not comparable[/dim]"] * (2 - len(verdicts))
        table.add_row(one.again.record.request_id[:12], str(len(one.again.record.token_ids)), *verdicts, *missing)
    console.print(table)
    for one in replayed:
        for compared in one.runs:
            if not compared.same:
                where = _where(one.again.record, compared.ran.text, compared.differs_at)
                line(f"[red]✗[/red] {one.again.record.request_id[:12]}, {compared.how}: {where}")
    if any(one.again.may_differ and not one.same for one in replayed):
        line("[yellow]as it may[/yellow]: relaxed verification with `block_length: auto` is not the same each time")
    tell_builds(words for one in replayed for words in one.engine)
    same = sum(one.same for one in replayed)
    line(f"{same} of {len(replayed)} steps gave the same bytes")


def tell_builds(differences: Iterable[str]) -> None:
    """What is another about the engine, each once."""
    for words in dict.fromkeys(differences):
        line(f"[yellow]another build[/yellow]: {escape(words)}")


def _verdict(same: bool, again: Again) -> str:
    if same:
        return "[green]✓ the same[/green]"
    return "[yellow]✗ differs, as it may[/yellow]" if again.may_differ else "[red]✗ differs[/red]"


def _where(record: router_pb2.Record, text: str, differs_at: int | None) -> str:
    """Where the outputs part, with the text of both around it."""
    if differs_at is None:
        return "the same tokens, and another reason to end"
    pieces = [record.token_text[token] for token in record.token_ids]
    before = len("".join(pieces[:differs_at]))
    was = "".join(pieces)
    start = max(0, before - _AROUND)
    return (
        f"token {differs_at} is another: {quoted(was[start : before + _AROUND])} became"
        f" {quoted(text[start : before + _AROUND])}"
    )


def _plain(one: Replayed) -> dict[str, Any]:
    return {
        "request_id": one.again.record.request_id,
        "same": one.same,
        "may_differ": one.again.may_differ,
        "runs": [
            {
                "how": compared.how,
                "same": compared.same,
                "differs_at": compared.differs_at,
                "tokens": len(compared.ran.token_ids),
                "passes": compared.ran.passes,
                "seconds": round(compared.ran.seconds, 4),
            }
            for compared in one.runs
        ],
        "another_build": list(one.engine),
    }
