"""JSON Schemas as the grammar compiler can hold them."""

from triroute.engine.schemas.hold import Held, hold

__all__ = ["Held", "hold"]
