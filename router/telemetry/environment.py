"""OpenTelemetry's own variables, which its packages read where they are made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from triroute.router.errors import StartFailed


@contextmanager
def opentelemetry_variables() -> Iterator[None]:
    """Around whatever reads them. Raises StartFailed where they say what can't be."""
    try:
        yield
    except Exception as error:  # each variable has its own, of no common kind
        raise StartFailed(f"OpenTelemetry can't be set up: {error}; correct the OTEL_* variables") from error
