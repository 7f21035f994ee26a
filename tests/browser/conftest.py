"""A real service with the embedded model, some steps, and Debian's Chromium."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from triroute.router.prompts import build
from triroute.router.settings import Settings

from ..e2e.conftest import Running

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser") or ""
ARGUMENTS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
POLICY = """
version: 1
metadata: {name: tour, owner: docs}
hints: {allow: [step, mode, variant, block_length]}
defaults: {mode: self_speculation, block_length: 4}
rules:
  - {id: busy, when: {load: {running: {gte: 8, resume_at: 6}}}, use: {mode: autoregressive}}
  - id: tools
    when: {step: tool_call}
    use: {grammar: required, segments: {tool_call: {mode: self_speculation, variant: quadratic, block_length: 4}}}
  - {id: draft-code, when: {step: code, tags: {any: [draft]}}, use: {mode: diffusion, block_length: 16}}
  - {id: code-inside, when: {segment: code}, use: {mode: self_speculation, variant: quadratic}}
  - {id: otherwise, use: {}}
"""
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 20}, "unit": {"enum": ["celsius", "fahrenheit"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TRIP = "trip-to-lisbon"
STEPS: list[dict[str, Any]] = [
    {"prompt": "Plan a weekend in Lisbon in four steps.", "session_id": TRIP, "max_tokens": 90},
    {
        "prompt": "What is the weather in Lisbon?",
        "tools": [TOOL],
        "tool_choice": "required",
        "session_id": TRIP,
        "max_tokens": 60,
    },
    {
        "prompt": "Write a Python function that converts Celsius to Fahrenheit, and explain it in a sentence.",
        "session_id": TRIP,
        "max_tokens": 120,
    },
    {"prompt": "Tell me a short story about a lighthouse.", "mode": "diffusion", "block_length": 8, "max_tokens": 64},
    {"prompt": "Tell me a short story about a lighthouse.", "max_tokens": 60, "mode": "autoregressive"},
    {"prompt": "Say it.", "regex": r"<script>alert\(1\)</script><img src=x onerror=alert\(2\)>", "max_tokens": 60},
    {
        "prompt": "The patient is Zebulon Quixfeather, of 12 Wombat Lane. The cat sat. Again:\nThe patient is",
        "raw": True,
        "temperature": 2.5,
        "seed": 9,
        "max_tokens": 12,
    },
]
LONG = {"prompt": "Count.", "regex": "[a-z ]{9000,}", "max_tokens": 4000, "mode": "self_speculation"}


@pytest.fixture(scope="session")
def viewed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("viewed")
    (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
    settings = Settings(
        listen="127.0.0.1:0", http="127.0.0.1:0", policy=folder / "policy.yaml", records=folder / "r.sqlite"
    )
    service = Running(settings)
    for step in (LONG, *STEPS):
        list(service.stub.Generate(build(step, "a step")))
    yield service
    service.close()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    assert CHROMIUM, "there is no chromium; `make test-browser` installs it, or set CHROMIUM to its path"
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def complaints() -> list[str]:
    """What a window says of errors, and whom else it asks."""
    return []


@contextmanager
def window(browser: Browser, service: Running, complaints: list[str]) -> Iterator[Page]:
    """Complains when it asks anybody else than the service for anything."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    opened = context.new_page()
    base = f"http://{service.service.http.address}/"
    opened.on("console", lambda said: complaints.append(said.text) if said.type in ("error", "warning") else None)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda asked: None if asked.url.startswith(base) else complaints.append(asked.url))
    opened.on("dialog", lambda dialog: complaints.append(f"dialog {dialog.message}"))
    yield opened
    context.close()


@pytest.fixture
def page(browser: Browser, viewed: Running, complaints: list[str]) -> Iterator[Page]:
    """A window, which must not complain."""
    with window(browser, viewed, complaints) as opened:
        yield opened
    assert complaints == []


@pytest.fixture(scope="session")
def pictures() -> Path | None:
    """Where to put pictures for the docs: $TRIROUTE_PICTURES."""
    folder = os.environ.get("TRIROUTE_PICTURES")
    return Path(folder) if folder else None
