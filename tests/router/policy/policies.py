"""Policies for tests: each name gives another revision."""

from __future__ import annotations

from triroute.router.policy import Policy, parse


def text(name: str) -> str:
    """A small valid policy."""
    return f"version: 1\nmetadata: {{name: {name}}}\nrules:\n  - id: only-{name}\n    use: {{mode: autoregressive}}\n"


def policy(name: str) -> Policy:
    """The same, parsed."""
    return parse(text(name), name)
