"""How many properties an object has: the compiler counts only where it knows which there can be."""

from __future__ import annotations

from typing import Any


def hold_counts(schema: dict[str, Any]) -> list[str]:
    """Change `schema` to say by other keywords how many properties there are; the keywords that are lost."""
    least, most = schema.get("minProperties", 0), schema.get("maxProperties")
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(least, int) or not isinstance(most, int | None):
        return []
    if not isinstance(properties, dict) or not isinstance(required, list):
        return []
    optional = [name for name, inside in properties.items() if name not in required and inside is not False]
    closed = schema.get("additionalProperties") is False and not schema.get("patternProperties")
    lacking = least - len(required)
    room = len(optional) if most is None else most - len(required)
    if optional and closed and lacking == len(optional):
        schema["required"] = [*required, *optional]
        del schema["minProperties"]
    elif optional and room == 0:
        schema["properties"] = {**properties, **dict.fromkeys(optional, False)}
    elif optional and closed and lacking <= len(optional):
        return _hold_closed(schema, lacking, room, len(optional))
    elif not optional and not closed and lacking > 1:
        return ["minProperties"]  # a name may come twice
    return []


def _hold_closed(schema: dict[str, Any], lacking: int, room: int, optional: int) -> list[str]:
    """The compiler knows one of several, or at most one, or both."""
    lost = list[str]()
    if room != 1 and schema.pop("maxProperties", None) is not None and room < optional:
        lost.append("maxProperties")
    if lacking > 1:
        del schema["minProperties"]
        lost.append("minProperties")
    return lost
