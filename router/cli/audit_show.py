"""`triroute audit show`: one entry."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.markup import escape
from rich.tree import Tree

from triroute.router.audit.entries import Logged, find_number, one_entry
from triroute.router.audit.store import RecordStore
from triroute.router.cli.audit_list import detail
from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.record_tree import tree
from triroute.router.cli.screen import console, moment, safe


def show(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Trace or request id, or an entry's number.")],
    records: Records = DEFAULTS.records,
    as_json: Annotated[bool, typer.Option("--json", help="The entry as JSON.")] = False,
) -> None:
    """Show an entry: a step as `triroute trace` does, or an event."""
    store, number = RecordStore(records), find_number(records, wanted)
    if number is None:
        record = store.find(wanted)
    else:
        logged = one_entry(records, number)
        if logged.entry is None or logged.entry.HasField("event"):
            _event(logged, as_json)
            return
        record = store.whole(logged.entry.record)
    if as_json:
        print(json_format.MessageToJson(record, preserving_proto_field_name=True))  # noqa: T201
    else:
        console.print(tree(record))


def _event(entry: Logged, as_json: bool) -> None:
    if as_json:
        plain = {"number": entry.number, "kind": entry.kind, "at_us": entry.at_us, "detail": detail(entry)}
        print(json.dumps(plain, indent=2))  # noqa: T201
        return
    when = moment(entry.at_us, "%Y-%m-%d %H:%M:%S")
    root = Tree(f"[b]{escape(entry.kind)}[/b]  entry {entry.number}, {when}")
    for name, value in detail(entry).items():
        if isinstance(value, dict):
            branch = root.add(escape(name))
            for key, one in value.items():
                branch.add(escape(safe(f"{key}: {one}")))
        else:
            root.add(escape(safe(f"{name}: {value}")))
    console.print(root)
