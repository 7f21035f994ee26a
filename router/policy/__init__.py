"""Operators' YAML: parsed once, frozen, decided without I/O."""

from __future__ import annotations

from pathlib import Path

from triroute.router.policy.decide import decide
from triroute.router.policy.latches import Latches
from triroute.router.policy.load import Policy, load, parse

DEFAULT = Path(__file__).parents[1].joinpath("../policies/default.yaml").resolve()

__all__ = ["DEFAULT", "Latches", "Policy", "decide", "load", "parse"]
