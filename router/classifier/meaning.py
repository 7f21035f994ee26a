"""What of a request an encoder reads: four texts, cut."""

from __future__ import annotations

from triroute.router.classifier.encoder import Encoder, Vectors
from triroute.router.types import Request, Role

TEXTS = 4
_TOOLS, _TOOL = 8, 60  # tools, and characters of a description


def meaning(request: Request, encoder: Encoder) -> Vectors:
    """[TEXTS * width]: of the last user turn, the system prompt, the last message of others, and the tools."""
    return encoder.vectors(texts(request)).reshape(-1)


def texts(request: Request) -> tuple[str, str, str, str]:
    """What to encode. Beginnings and ends say more of what is wanted than middles."""
    asked = [message.content for message in request.messages if message.role is Role.USER]
    system = " ".join(message.content for message in request.messages if message.role is Role.SYSTEM)
    last = request.messages[-1] if request.messages else None
    answered = last.content if last is not None and last.role is not Role.USER else ""
    tools = "; ".join(f"{tool.name}: {tool.description[:_TOOL]}" for tool in request.tools[:_TOOLS])
    return _cut(asked[-1] if asked else request.text, 500, 400), _cut(system, 600, 300), _cut(answered, 200, 200), tools


def _cut(text: str, first: int, last: int) -> str:
    return text if len(text) <= first + last else f"{text[:first]} ... {text[-last:]}"
