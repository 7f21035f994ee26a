"""What commands exit with. 2, for wrong usage, is typer's own."""

from __future__ import annotations

FAILED, INVALID_POLICY, TESTS_FAILED, BELOW_THE_BAR, REVISION_MOVED = 1, 3, 4, 5, 6
