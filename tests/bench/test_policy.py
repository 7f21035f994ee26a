"""The measure of what a policy costs: its table, and a few real calls."""

from __future__ import annotations

import io

from rich.console import Console

from triroute.bench.policy import calls
from triroute.bench.policy.result import Result, table


def test_table_says_what_is_met() -> None:
    results = [Result("fast", "others 4 ms", 0.3, 0.4, "ms"), Result("slow", "", 2.0, 1.0, "s", "a note")]
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(table(results))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines[1] == ["fast", "others", "4", "ms", "≤", "0.4", "ms", "0.3", "ms", "✓"]
    assert lines[2] == ["slow", "≤", "1", "s", "2", "s", "✗", "a", "note"]
    assert [one.as_dict()["met"] for one in results] == [True, False]


def test_calls_are_measured_in_pairs() -> None:
    results = calls.measure(10)
    assert [one.unit for one in results] == ["ms", "ms"]
    assert all("10 pairs" in one.note for one in results)
