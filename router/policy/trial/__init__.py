"""A second policy on live steps: without effect (shadow), or for a share of them (canary)."""

from __future__ import annotations

from triroute.router.policy.trial.candidate import Candidate, Key

__all__ = ["Candidate", "Key"]
