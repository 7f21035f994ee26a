"""Marks of agent frameworks."""

from __future__ import annotations

import pytest

from triroute.router.classifier.framework import FRAMEWORKS, framework
from triroute.router.types import Message, Request, Role, Tool

ASK = Message(Role.USER, "Go on.")


@pytest.mark.parametrize(
    ("request_", "name"),
    [
        (Request((Message(Role.SYSTEM, "You are Ada.\nYour personal goal is: to count"), ASK)), "crewai"),
        (Request((ASK,), tools=(Tool("final_result"),)), "pydantic-ai"),
        (Request((ASK,), tags=frozenset({"framework:autogen"})), "autogen"),
        (Request((ASK,), tags=frozenset({"framework:of-my-own"})), "other"),
        (Request((ASK,)), "other"),
        (Request(text="SETTING: You are an autonomous programmer"), "swe-agent"),
        (Request((Message(Role.ASSISTANT, "hello"),)), "other"),
    ],
)
def test_names(request_: Request, name: str) -> None:
    assert framework(request_) == name
    assert name in FRAMEWORKS
