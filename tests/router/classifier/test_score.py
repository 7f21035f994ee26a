"""Figures against ones made by hand."""

from __future__ import annotations

import pytest

from triroute.router.classifier.score import Scored, calibration_error, confusion, f1, macro_f1
from triroute.router.types import StepKind

CODE, PROSE, UNKNOWN = StepKind.CODE, StepKind.PROSE, StepKind.UNKNOWN
STEPS = [Scored(CODE, 0.9, CODE), Scored(CODE, 0.9, PROSE), Scored(PROSE, 0.6, PROSE), Scored(UNKNOWN, 0.5, CODE)]


def test_figures() -> None:
    assert confusion(STEPS) == {"code": {"code": 1, "unknown": 1}, "prose": {"code": 1, "prose": 1}}
    assert f1(STEPS) == {"code": 2 / 4, "prose": 2 / 3}
    assert macro_f1(STEPS) == pytest.approx((0.5 + 2 / 3) / 2)
    assert calibration_error(STEPS) == pytest.approx((0.8 + 0.4) / 3)


def test_nothing() -> None:
    assert (confusion([]), macro_f1([]), calibration_error([])) == ({}, 0.0, 0.0)
