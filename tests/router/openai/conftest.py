"""A real service on a small engine, and OpenAI's own client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
import pytest_asyncio

from triroute.router.service import Service
from triroute.router.settings import Settings

from .. import fake_engine


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return settings_in(tmp_path_factory.mktemp("openai"))


def settings_in(folder: Path) -> Settings:
    return Settings(
        listen="127.0.0.1:0",
        http="127.0.0.1:0",
        records=folder / "r.sqlite",
        engine=fake_engine.command(),
        otlp_endpoint="",
    )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def service(settings: Settings) -> AsyncIterator[Service]:
    async with Service(settings) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(service: Service) -> AsyncIterator[openai.AsyncOpenAI]:
    async with client_of(service) as one:
        yield one


def client_of(service: Service, key: str = "none") -> openai.AsyncOpenAI:
    """It asks once."""
    return openai.AsyncOpenAI(base_url=f"http://{service.http.address}/v1", api_key=key, max_retries=0, timeout=20)


def user(text: str = "go on", **script: Any) -> list[Any]:
    """A conversation; `script` is what the engine does then."""
    return [{"role": "user", "content": json.dumps(script) if script else text}]
