"""What is added to a schema."""

from __future__ import annotations

from typing import Any


def add_part(schema: dict[str, Any], part: dict[str, Any]) -> None:
    """Ask for one thing more."""
    parts = schema.get("allOf", [])
    schema["allOf"] = [*(parts if isinstance(parts, list) else [parts]), part]
