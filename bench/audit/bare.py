"""`triroute` with neither records nor spans: what the audit log and traces are measured against."""

from __future__ import annotations

import os

from triroute.router import service
from triroute.router.cli import main
from triroute.router.pipeline import Pipeline
from triroute.router.run import Run


class Bare(Pipeline):
    """Keeps nothing of a step."""

    def _record(self, run: Run) -> None:
        pass


if __name__ == "__main__":
    os.environ["OTEL_TRACES_SAMPLER"] = "always_off"
    os.environ.pop("OTEL_EXPORTER_OTLP_ENDPOINT", None)
    vars(service)["Pipeline"] = Bare
    main()
