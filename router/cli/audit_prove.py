"""`triroute audit prove`: a proof for somebody else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from triroute.router.audit import proof
from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.output import output
from triroute.router.cli.screen import line


def prove(
    wanted: Annotated[str, typer.Argument(metavar="ID", help="Trace or request id, or an entry's number.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write to this file.", show_default="stdout")] = None,
    records: Records = DEFAULTS.records,
) -> None:
    """Write a proof that an entry is in the log, as JSON: docs/check_proof.py checks it, without Triroute."""
    text = json.dumps(proof.prove(records, wanted), indent=1)
    if out is None:
        print(text)  # noqa: T201
        return
    with output(out, records, "--out", private=True) as file:
        file.write_text(f"{text}\n", encoding="utf-8")
    line(f"wrote {out}")
