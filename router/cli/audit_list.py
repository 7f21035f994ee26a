"""`triroute audit list`: the newest entries."""

from __future__ import annotations

import json
import re
import sys
from itertools import islice
from typing import Annotated, Any

import typer
from google.protobuf import json_format
from rich.markup import escape
from rich.table import Table

from triroute.proto import decoding_pb2
from triroute.router.audit.entries import Logged, read_entries
from triroute.router.cli.options import DEFAULTS, MOST_ROWS, Records
from triroute.router.cli.screen import console, moment, safe
from triroute.router.words import word


def list_entries(
    last: Annotated[int, typer.Option("--last", "-n", min=1, max=MOST_ROWS, help="At most so many.")] = 20,
    kind: Annotated[str, typer.Option(help="Only these: `step`, or an event such as `policy.changed`.")] = "",
    records: Records = DEFAULTS.records,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Show the newest entries, newest first: steps, and what happened to the service."""
    if kind:
        every = read_entries(records, newest=sys.maxsize)
        found = list(islice((one for one in every if one.kind == kind), last))
    else:
        found = list(read_entries(records, newest=last))
    if as_json:
        for one in found:
            print(json.dumps(_plain(one)))  # noqa: T201
        return
    table = Table(box=None, pad_edge=False)
    for name in ("#", "when", "what", "about"):
        table.add_column(name, no_wrap=name != "about", justify="right" if name == "#" else "left")
    for one in found:
        when = moment(one.at_us) if one.at_us else ""
        table.add_row(str(one.number), when, one.kind, escape(safe(about(one))))
    console.print(table)


def about(one: Logged) -> str:
    """The entry in one line."""
    if one.entry is None:
        return one.damage or f"hash {one.leaf.hex()[:16]}"
    if one.entry.HasField("event"):
        told = {name: value for name, value in detail(one).items() if not isinstance(value, dict)}
        return ", ".join(f"{name} {_short(value)}" for name, value in told.items())
    record = one.entry.record
    mode = word(decoding_pb2.Mode, record.decision.plan.mode)
    ended = record.error.split(":")[0] if record.error else f"{len(record.token_ids)} tokens"
    return f"{record.request_id[:12]} {record.decision.rule_id} {mode}, {ended}"


def _short(value: Any) -> str:
    """A digest's beginning; anything else as it is."""
    return re.sub(r"^([0-9a-f]{12})[0-9a-f]{52}$", r"\1", str(value))


def detail(one: Logged) -> dict[str, Any]:
    """What an event says. One of a kind that this version does not know says nothing."""
    if one.entry is None:
        return {}
    try:
        told = json_format.MessageToDict(one.entry.event.detail, preserving_proto_field_name=True)
    except TypeError:
        return {}
    return {name: value for name, value in told.items() if name != "@type"}


def _plain(one: Logged) -> dict[str, Any]:
    plain: dict[str, Any] = {"number": one.number, "kind": one.kind, "at_us": one.at_us, "leaf": one.leaf.hex()}
    if one.entry is not None and one.entry.HasField("record"):
        record = one.entry.record
        plain |= {"request_id": record.request_id, "trace_id": record.decision.trace_id}
        plain |= {"rule_id": record.decision.rule_id, "tokens": len(record.token_ids), "error": record.error}
    elif one.entry is not None:
        plain["detail"] = detail(one)
    return plain
