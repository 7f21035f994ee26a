"""What servers of others have in common, for measures and tests: they can be killed, frozen and let go on."""

from __future__ import annotations

import signal
import subprocess


class ServerProcess:
    """A server in a process of its own, once `start` of its kind has run."""

    _process: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """As a crash would."""
        self._signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait()

    def freeze(self) -> None:
        """Connections stay open, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """End it, whatever its state."""
        if self._process is not None and self._process.poll() is None:
            self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)
