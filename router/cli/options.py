"""Options that several commands take; their defaults are those of `Settings`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from triroute.router.audit.checkpoint import BadCheckpoint, Verifier
from triroute.router.audit.place import BadPlace, Place, to_place
from triroute.router.settings import Settings

DEFAULTS = Settings()
MOST_ROWS = 1_000_000_000  # that a command is asked for; far more are no number of a database's


def _place(text: str | Path) -> Place:
    try:
        return to_place(text)
    except BadPlace as error:
        raise typer.BadParameter(str(error)) from error


RECORDS = typer.Option(
    parser=_place,
    metavar="PLACE",
    envvar="TRIROUTE_RECORDS",
    help="The audit log: a SQLite file, or postgresql://USER@HOST/DATABASE.",
)

Listen = Annotated[str, typer.Option(help="HOST:PORT to serve on; port 0 takes a free one.")]
PolicyFile = Annotated[Path, typer.Option("--policy", help="Policy YAML.", show_default="the one that ships")]
Adapter = Annotated[
    Path | None, typer.Option(help="Draft adapter, or `none`.", show_default="the one that ships for the checkpoint")
]
Checkpoint = Annotated[Path | None, typer.Option(help="GGUF checkpoint.", show_default="the embedded SmolLM2-135M")]
Records = Annotated[Place, RECORDS]
AuditKey = Annotated[
    Path | None,
    typer.Option(envvar="TRIROUTE_AUDIT_KEY", help="Ed25519 key that signs the audit log.", show_default="beside it"),
]
CaptureKey = Annotated[
    Path | None,
    typer.Option(
        envvar="TRIROUTE_CAPTURE_KEY", help="32 bytes in base64 that seal captured requests.", show_default="no seal"
    ),
]
Threads = Annotated[int | None, typer.Option(min=1, help="Threads of a pass.", show_default="all cores")]
CacheMB = Annotated[int, typer.Option("--cache-mb", min=8, help="Memory for the KV cache, MiB.")]


def public_key(text: str) -> Verifier | None:
    """The one that an option names, by itself or by a file; None where there is nothing. Raises BadParameter."""
    if not text:
        return None
    file = Path(text)
    try:
        return Verifier.parse(file.read_text(encoding="utf-8") if file.is_file() else text)
    except (BadCheckpoint, UnicodeDecodeError, OSError) as error:
        raise typer.BadParameter(str(error), param_hint="--key") from error
