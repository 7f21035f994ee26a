"""`triroute audit export`: the log for other tools."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from triroute.router.audit.export import to_json_lines, to_parquet
from triroute.router.cli.options import DEFAULTS, Records
from triroute.router.cli.output import output
from triroute.router.cli.screen import errors


class Format(StrEnum):
    """Of the file."""

    JSONL = "jsonl"
    PARQUET = "parquet"


def export(
    out: Annotated[Path, typer.Argument(help="File to write.")],
    format_: Annotated[
        Format | None, typer.Option("--format", help="What to write.", show_default="by the file's ending")
    ] = None,
    records: Records = DEFAULTS.records,
) -> None:
    """Write all entries to a file: JSON lines with everything, or Parquet with a row of figures a step."""
    if format_ is None:
        format_ = Format.PARQUET if out.suffix == ".parquet" else Format.JSONL
    with output(out, records, "OUT", private=True) as file:
        count = (to_parquet if format_ is Format.PARQUET else to_json_lines)(records, file)
    errors.print(f"wrote {count} entries to {out}")
