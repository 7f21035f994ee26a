"""`triroute trace`: how every token of a step came to be."""

from __future__ import annotations

from typing import Annotated

import typer
from google.protobuf import json_format
from rich.table import Table

from triroute.router.audit.store import RecordStore
from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.record_tree import tree
from triroute.router.cli.screen import console, moment
from triroute.router.errors import NotFound

_LISTED = 20


def trace(
    wanted: Annotated[
        str | None,
        typer.Argument(metavar="[ID]", help="Trace or request id, or its beginning; the latest when absent."),
    ] = None,
    latest: Annotated[bool, typer.Option("--list", help="Show the latest records.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The record as JSON; with --list one a line.")] = False,
    records: Records = DEFAULTS.records,
) -> None:
    """Show a step's decision and passes: accepted draft tokens in green (✓), rejected ones in red (✗)."""
    store = RecordStore(records)
    if latest and as_json:
        for record in store.latest(_LISTED):
            print(json_format.MessageToJson(record, preserving_proto_field_name=True, indent=None))  # noqa: T201
        return
    if latest:
        console.print(_listing(store))
        return
    found = [store.find(wanted)] if wanted else store.latest(1)
    if not found:
        raise NotFound(f"no records in {records} yet; run `triroute demo` or `triroute generate` first")
    if as_json:
        print(json_format.MessageToJson(found[0], preserving_proto_field_name=True))  # noqa: T201
    else:
        console.print(tree(found[0]))


def _listing(store: RecordStore) -> Table:
    table = Table(title=str(store.place), title_justify="left")
    for name in ("when", "trace", "rule", "tokens", "ended"):
        table.add_column(name, no_wrap=True)
    for record in store.latest(_LISTED):
        when = moment(record.arrived_us)
        ended = record.error.split(":")[0] if record.error else "ok"
        table.add_row(when, record.decision.trace_id[:12], record.decision.rule_id, str(len(record.token_ids)), ended)
    return table
