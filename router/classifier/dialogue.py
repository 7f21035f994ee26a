"""What passes between a user and an agent with tools: what was asked, what is given, what of it was looked up."""

from __future__ import annotations

import re

from triroute.router.types import Message, Request, Role

_TAIL = 160  # characters of what the agent said last
_IDS = 4  # of an ask
_TOOLS = 8  # that are looked for among the calls
_ID = re.compile(r"[A-Z\d][A-Z\d_]{3,}|\d{3,}")  # or the number at the end of one
_DIGIT = re.compile(r"\d")
_CONFIRM = re.compile(r"confirm|proceed|go ahead|shall i|\byes\b|want me to|like me to")
_PROVIDE = re.compile(r"provide|share|tell me|let me know|could you|can you|what|which|specify")
_CONSENT = re.compile(
    r"\W*(yes|yeah|sure|ok|okay|please (do|go|proceed)|go ahead|that works|correct|perfect|i confirm)\b"
)
_THANKS = re.compile(r"thank|that'?s (all|it)|bye|###|no,? that")


def dialogue(request: Request, recent: tuple[Message, ...], ask: str) -> list[str]:
    """Facts of the last exchange; `recent` is newest first, `ask` the window of the last user turn."""
    messages = request.messages
    ids = [found[0] for word in ask.split() if not word.isalpha() and (found := _ID.search(word))][:_IDS]
    gives = "an address" if "@" in ask else "an id" if ids else "a number" if _DIGIT.search(ask) else "nothing"
    if messages[-1].role is Role.TOOL:
        return _loop(request, recent, ids, ask)
    said = next((message.content for message in recent if message.role is Role.ASSISTANT), "")
    if not said:
        return []
    tail = said[-_TAIL:].lower()
    wanted = "consent" if _CONFIRM.search(tail) else "something" if _PROVIDE.search(tail) else "nothing"
    lower = ask[:60].lower()
    answer = "consents" if _CONSENT.match(lower) else "thanks" if _THANKS.search(ask.lower()) else "goes on"
    question = ", asks" if ask.rstrip().endswith("?") else ""
    return [
        f"wanted {wanted}, user {answer}",
        f"wanted {wanted}, user gives {gives}",
        f"user {answer}, gives {gives}{question}",
        f"wanted {wanted}, user {answer}, gives {gives}",
    ]


def _loop(request: Request, recent: tuple[Message, ...], ids: list[str], ask: str) -> list[str]:
    """Of a tool loop: how many calls of the newest's name there are, and what of the ask was not used yet."""
    names, used = [], []
    for message in recent:
        if message.role is Role.USER:
            break
        for call in message.tool_calls[:3]:
            names.append(call.name)
            used.append(call.arguments[:200])
    newest = names[0] if names else "nothing"
    verb = newest[:20].split("_", 1)[0].lower()
    told = " ".join(used)
    left = sum(one not in told for one in ids)
    same = names.count(newest)
    offered = [tool.name for tool in request.tools[:_TOOLS]]
    idle = sum(name not in names for name in offered)
    named = sum(name not in names for name in offered if name in ask)
    return [
        f"loop: {verb}, {min(same, 4)} times, {min(left, 3)} left",
        f"loop: {min(left, 3)} of {len(ids)} left",
        f"loop: {newest[:30]} after {names[1][:30] if len(names) > 1 else 'nothing'}",
        f"loop: {newest[:30]} at {min(len(names), 6)}",
        f"loop: {'all' if not idle else 'not all'} tools called, {min(len(names), 3)} calls",
        f"loop: {min(named, 2)} named in the ask not called",
    ]
