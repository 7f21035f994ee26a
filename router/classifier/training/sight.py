"""The bounded parts of a request that features look at."""

from __future__ import annotations

from dataclasses import dataclass

from triroute.router.types import Request, Role, ToolChoiceKind

_WINDOW = 600


@dataclass(frozen=True, slots=True)
class Sight:
    """The last user turn (its head and tail) and the system prompt, in lower case; and who spoke last."""

    request: Request
    ask: str
    system: str
    last_role: Role | None

    @classmethod
    def of(cls, request: Request) -> Sight:
        if request.text:
            return cls(request, _bounded(request.text), "", None)
        asks = (m.content for m in reversed(request.messages) if m.role is Role.USER)
        systems = (m.content for m in request.messages if m.role is Role.SYSTEM)
        system = next(systems, "")[:_WINDOW].lower()
        return cls(request, _bounded(next(asks, "")), system, request.messages[-1].role)

    @property
    def may_call(self) -> bool:
        return bool(self.request.tools) and self.request.tool_choice.kind is not ToolChoiceKind.NONE

    @property
    def after_tool(self) -> bool:
        return self.last_role is Role.TOOL

    @property
    def inside_fence(self) -> bool:
        return self.ask.count("```") % 2 == 1


def _bounded(text: str) -> str:
    return (text if len(text) <= 2 * _WINDOW else text[:_WINDOW] + "\n" + text[-_WINDOW:]).lower()
