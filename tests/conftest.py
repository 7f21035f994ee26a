"""Fixtures that many tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from triroute.engine.config import EngineConfig
from triroute.engine.engine import Engine
from triroute.engine.testing import tiny_checkpoint


@pytest.fixture(scope="session")
def tiny_engine() -> Iterator[Engine]:
    """A real engine on a tiny random model."""
    engine = Engine(tiny_checkpoint, EngineConfig(threads=1, cache_mb=4))
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """A real engine on the embedded model."""
    engine = Engine.load(None, EngineConfig(threads=2, cache_mb=128))
    yield engine
    engine.close()
