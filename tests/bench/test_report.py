"""Tables, JSON and plots, written for real."""

from __future__ import annotations

import json
import struct
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

from rich.console import Console

from triroute.bench.measure import Outcome, Setting
from triroute.bench.plot import write_plot
from triroute.bench.report import table, write_json


def test_table_says_everything_in_80_columns(outcomes: tuple[Outcome, ...]) -> None:
    screen = StringIO()
    Console(file=screen, width=80).print(table(outcomes))
    lines = screen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert all(outcome.measure.name in screen.getvalue() for outcome in outcomes)
    fast, large, wish, absent = (next(line for line in lines if line.startswith(f"{name} ")) for name in _NAMES)
    assert fast.split() == ["fast", "190", "100", "tok/s", "1.9", "1.5..2.1", "≥", "1.2", "✓"]
    assert large.split()[-1] == "✗"
    assert wish.split()[-3:] == ["≤", "1", "✗"]
    assert absent.split()[-3:] == ["≥", "8", "–"]
    assert "…" not in screen.getvalue()
    assert "something, against a peer; 3 rounds" in screen.getvalue()
    assert "nothing is installed; install something" in " ".join(screen.getvalue().split())


def test_json_keeps_every_round(outcomes: tuple[Outcome, ...], setting: Setting, tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bench.json"
    write_json(path, outcomes, setting)
    report = json.loads(path.read_text(encoding="utf-8"))
    assert report["machine"]["threads"] == 2
    assert report["machine"]["cores"] >= 1
    assert (report["model"], report["rounds"], report["others_share"]) == ("tiny.gguf", 3, 0.25)
    fast, absent = report["measures"]["fast"], report["measures"]["absent"]
    assert (fast["ratio"], fast["least"], fast["most"], fast["met"]) == (1.9, 1.5, 2.1, True)
    assert fast["rounds"][0] == {"ours": 150, "peer": 100, "ratio": 1.5, "details": {"tokens": 8}}
    assert absent["problem"].startswith("nothing is installed")
    assert "ratio" not in absent


def test_png_is_a_picture(outcomes: tuple[Outcome, ...], setting: Setting, tmp_path: Path) -> None:
    path = tmp_path / "bench.png"
    write_plot(path, outcomes, setting)
    picture = path.read_bytes()
    assert picture.startswith(b"\x89PNG")
    width, height = struct.unpack(">II", picture[16:24])
    assert width >= 1000
    assert height >= 300


def test_svg_is_well_formed(outcomes: tuple[Outcome, ...], setting: Setting, tmp_path: Path) -> None:
    path = tmp_path / "bench.svg"
    write_plot(path, outcomes, setting)
    assert ElementTree.parse(path).getroot().tag.endswith("svg")


def test_nothing_measured_draws_nothing(outcomes: tuple[Outcome, ...], setting: Setting, tmp_path: Path) -> None:
    write_plot(tmp_path / "bench.png", outcomes[-1:], setting)
    assert not (tmp_path / "bench.png").exists()


_NAMES = ("fast", "large", "wish", "absent")
