"""Everything that can be set, with its default, in one place. The command line reads it from here."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from triroute.router import policy
from triroute.router.audit.place import Place


def home() -> Path:
    """Where Triroute keeps its records and sockets: $TRIROUTE_HOME, or the user's state folder."""
    given = os.environ.get("TRIROUTE_HOME")
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(given) if given else Path(state) / "triroute"


def admin_socket(port: int) -> Path:
    """Where the PolicyAdmin of the service on this port listens by default."""
    return home() / "admin" / f"{port}.sock"


@dataclass(frozen=True, slots=True)
class Settings:
    """How a service runs. None leaves the choice to the engine."""

    listen: str = "127.0.0.1:50151"
    policy: Path = policy.DEFAULT
    engine: tuple[str, ...] = (sys.executable, "-m", "triroute.engine.server")  # the command, without its options
    checkpoint: Path | None = None
    adapter: Path | None = None  # "none" for none, None for the one that ships
    classifier: Path | None = None  # weights of the classifier of steps; None for those that ship
    encoder: Path | None = None  # the folder of a sentence encoder that the classifier also asks; None for none
    records: Place = field(default_factory=lambda: home() / "records.sqlite")
    audit_key: Path | None = None  # signs the audit log's checkpoints; None for a key beside `records`
    threads: int | None = None
    cache_mb: int = 512
    most_in_flight: int = 256
    most_resumes: int = 3
    drain_seconds: float = 30.0
    start_seconds: float = 120.0
    message_bytes: int = 16 * 2**20
    admin: str = ""  # where PolicyAdmin listens: HOST:PORT, unix:PATH, "auto" for a socket in `home`, "" for nowhere
    http: str = ""  # where HTTP listens: HOST:PORT, "auto" for the port behind `listen`'s, "" for nowhere
    http_token: str = field(default="", repr=False)  # what viewer and /v1 ask for; a must beyond this machine
    capture_key: Path | None = None  # seals what is captured; None for no seal
    content_days: float = 30.0  # how long captured requests stay
    redis: str = ""  # URL of the fleet's store; "" for a router that stands alone
    fleet: str = "default"  # routers of one fleet, in one Redis, follow one policy
    replica: str = ""  # this router's name in the fleet; "" for HOST:PORT
    last_good: Path | None = None  # keep the last good policy here, for a start without the store
    stopped: Path | None = None  # remember stopped canaries here, so that a policy's file does not start them again
    otlp_endpoint: str = field(default_factory=lambda: os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT", ""))
