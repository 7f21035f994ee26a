"""`triroute audit show`: one entry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.markup import escape
from rich.tree import Tree

from triroute.proto import router_pb2
from triroute.router.audit.body import whole
from triroute.router.audit.checkpoint import Verifier
from triroute.router.audit.entries import Logged, find_number, one_entry
from triroute.router.audit.proof import read_proof
from triroute.router.audit.store import RecordStore
from triroute.router.cli.audit_list import detail
from triroute.router.cli.options import DEFAULTS, Records, public_key
from triroute.router.cli.record_tree import tree
from triroute.router.cli.screen import console, line, moment, safe
from triroute.router.errors import NotFound


def show(
    wanted: Annotated[
        str, typer.Argument(metavar="[ID]", help="Trace or request id, or an entry's number.", show_default=False)
    ] = "",
    proof: Annotated[
        Path | None,
        typer.Option(help="Show the entry that a proof of `audit prove` is of, by the bytes that it proves."),
    ] = None,
    key: Annotated[
        str, typer.Option(help="Public key for it, NAME+ID+KEY, or a file with one.", show_default="the proof's own")
    ] = "",
    records: Records = DEFAULTS.records,
    as_json: Annotated[bool, typer.Option("--json", help="The entry as JSON.")] = False,
) -> None:
    """Show an entry: a step as `triroute trace` does, or an event."""
    if bool(wanted) == bool(proof):
        raise typer.BadParameter("give an ID, or --proof FILE", param_hint="ID")
    if key and not proof:
        raise typer.BadParameter("it takes --proof FILE", param_hint="--key")
    if proof is not None:
        _proven(proof, public_key(key), as_json)
        return
    store, number = RecordStore(records), find_number(records, wanted)
    if number is None:
        record = store.find(wanted)
    else:
        logged = one_entry(records, number)
        if logged.entry is None or logged.entry.HasField("event"):
            _event(logged, as_json)
            return
        record = store.whole(logged.entry.record)
    _step(record, as_json)


def _proven(file: Path, key: Verifier | None, as_json: bool) -> None:
    """The text of its tokens is not part of an entry."""
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NotFound(f"{file} can't be read: {error}") from error
    proven = read_proof(text, key)
    entry = proven.logged.entry
    if entry is not None and entry.HasField("record"):
        _step(whole(entry.record), as_json)
    else:
        _event(proven.logged, as_json)
    if not as_json:
        about = f"entry {proven.logged.number} is one of the {proven.size} of the log that {proven.key} signs"
        line(f"[green]proved[/green]: {escape(safe(about))}")
        if key is None:
            line("[yellow]the key is the proof's own[/yellow]: compare it with the one that you know, or use --key")


def _step(record: router_pb2.Record, as_json: bool) -> None:
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
