"""What the classifier sees of a request: facts of its structure, and words of windows of its text. All of it bounded.

Whatever the length of a history, at most `WINDOW` characters of each part are read, and `REACH` messages back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice

from triroute.router.classifier.form import INSTRUCTIONS, demands, glance, heading, orders, shown, stops
from triroute.router.classifier.tokens import asked, tokens
from triroute.router.classifier.verbs import LEXICONS, NOISE, SPEAKERS
from triroute.router.types import Message, Request, Role, ToolCall, ToolChoiceKind

WINDOW = 400  # characters of the last user turn: two thirds of its head, a third of its tail
_SYSTEM_WINDOW = 300
REACH = 24  # messages
_TOOLS = 6  # tools whose words are compared with the ask
_FAILED = re.compile(r"error|exception|traceback|failed|not found|invalid|denied", re.IGNORECASE)
_OBSERVED = re.compile(r"observation|exit ?code|output|result|error|traceback", re.IGNORECASE)
_PRINTED = re.compile(r"```(?:output|result|console|stdout)\s*\n(?!.*```\s*\S)(.*?)```\s*\Z", re.DOTALL)
_COUNTED = 16_000  # characters of an ask whose fences are counted
_HEAD = 30  # characters that tell an observation from what a person writes
_RESULT_HEAD, _RESULT_TAIL = 200, 100  # characters of a result
_STEM = 5
_KEPT = 256  # texts that come with each step of a session and are read once: tools, system prompts


@dataclass(frozen=True, slots=True)
class Sight:
    """`facts` are whole features; `ask` and `system` are words.

    `cut`: characters of the two, and of a tool's result that has just come, that were not read.
    """

    facts: tuple[str, ...]
    ask: tuple[str, ...]
    system: tuple[str, ...]
    cut: int


def see(request: Request) -> Sight:
    """Look at a request once."""
    messages = request.messages
    ask = request.text or _ask(messages)
    window, cut = _window(ask, WINDOW)
    words = asked(window)
    facts = [*_shape(request), *_of_ask(ask, window, words), *_form(request, ask, words)]
    if request.text:
        facts += [*_gist(set(words), False), f"goes on from {_written(ask)}", "last: raw text"]
        return Sight(tuple(facts), tuple(words), (), cut)
    system = _instructions(messages)
    head, cut_system = _window(system, _SYSTEM_WINDOW)
    instructed = _instructed(head)
    may_call = bool(request.tools) and request.tool_choice.kind is not ToolChoiceKind.NONE
    facts += [f"system length {_size(len(system))}", *instructed.facts]
    opening = system or messages[0].content
    facts += orders("form", tokens(demands(ask) if opening is ask else _demanded(opening) + "\n" + demands(ask)))
    facts += _of_turns(messages, may_call)
    known = set(words)
    facts += _gist(known, may_call)
    if "json" in known or "json" in instructed.words:
        facts.append("JSON is asked for")
    if may_call:
        facts += _overlap(request, known)
    return Sight(tuple(facts), tuple(words), instructed.words, cut + cut_system + _cut_result(messages[-1]))


@dataclass(frozen=True, slots=True)
class _Instructions:
    words: tuple[str, ...]
    facts: tuple[str, ...]


@lru_cache(maxsize=_KEPT)
def _instructed(window: str) -> _Instructions:
    """What a window of a system prompt comes to; that of a session stays the same."""
    words = tokens(window)
    known = set(words)
    whose = [f"system is a {who}'s" for who, lexicon in SPEAKERS.items() if not lexicon.isdisjoint(known)]
    return _Instructions(tuple(words), (*orders("system", words), *whose))


def _demanded(opening: str) -> str:
    return _demands_of(opening[:INSTRUCTIONS])


_demands_of = lru_cache(maxsize=_KEPT)(demands)


def _form(request: Request, ask: str, words: list[str]) -> list[str]:
    return [*orders("ask", words), *shown(ask), *heading(ask), *stops(request.sampling.stop, ask)]


def _shape(request: Request) -> list[str]:
    count = len(request.tools)
    tools = "no" if not count else "one" if count == 1 else "few" if count < 5 else "many"
    facts = [
        f"tools: {tools}, choice {request.tool_choice.kind.value}",
        f"format: {request.response_format.kind.value}",
    ]
    for stop in request.sampling.stop:
        facts.append(f"stops at {stop.strip()[:12]!r}" if stop.strip() else "stops at space")
    return facts


def _of_ask(ask: str, window: str, words: list[str]) -> list[str]:
    facts = [f"ask length {_size(len(ask))}", f"ask begins with {words[0] if words else 'nothing'}"]
    if "```" in window:
        facts.append("ask ends inside a fence" if _is_open(ask) else "ask has a fence")
    tail = window.rstrip()[-1:]
    if tail in "?:.{([>\"'`" and tail:
        facts.append(f"ask ends with {tail}")
    return facts


def _is_open(ask: str) -> bool:
    """Whether a fence is open at the end; of long asks, whether the last mark names a language."""
    if len(ask) <= _COUNTED:
        return ask.count("```") % 2 == 1
    return ask[-WINDOW:].rpartition("```")[2][:1].isalpha()


def _written(text: str) -> str:
    """What a raw prompt ends with: what a program printed, or a text of some kind."""
    if found := _PRINTED.search(text[-WINDOW:]):
        return f"output, {_result(found[1])}"
    return glance(text[-WINDOW:])


def _of_turns(messages: tuple[Message, ...], may_call: bool) -> list[str]:
    """Who spoke last, how deep the tool loop is, what its last result was, and the kinds of earlier answers."""
    last = messages[-1]
    recent = messages[: -REACH - 1 : -1]  # newest first
    depth = 0
    for message in recent:
        if message.role is Role.USER:
            break
        depth += message.role is Role.TOOL
    answers = [_kind_of(message) for message in islice((m for m in recent if m.role is Role.ASSISTANT), 2)]
    before = answers[0] if answers else "nothing"
    who = last.role.value
    facts = [
        f"turns {_size(len(messages) * 16)}",
        f"before: {', '.join(answers) or 'nothing'}",
        f"last {who}, {'may' if may_call else 'may not'} call",
    ]
    if last.role is Role.USER and _OBSERVED.search(last.content[:_HEAD]):
        facts.append(f"loop of {before}, {_result(last.content)}")
    if depth:
        facts.append(f"tool loop {min(depth, 4)}, last {who}")
    if last.role is Role.TOOL:
        facts.append(f"result {_result(last.content)}")
        facts += [f"result of {_verb(call.name)}" for call in _calls(recent)]
    elif last.role is Role.ASSISTANT:
        facts.append(f"prefill ends with {last.content.rstrip()[-1:] or 'nothing'}")
    return facts


def _calls(recent: tuple[Message, ...]) -> tuple[ToolCall, ...]:
    """The calls of the newest answer, three at most."""
    return next((message.tool_calls[:3] for message in recent if message.role is Role.ASSISTANT), ())


def _verb(name: str) -> str:
    """A tool's first word."""
    return re.split(r"[_\W]|(?=[A-Z])", name[:40], maxsplit=1)[0].lower()


def _kind_of(message: Message) -> str:
    """An earlier answer's kind, by a glance."""
    return "tool_call" if message.tool_calls else glance(message.content)


def _cut_result(last: Message) -> int:
    return max(0, len(last.content) - _RESULT_HEAD - _RESULT_TAIL) if last.role is Role.TOOL else 0


def _result(content: str) -> str:
    head = content[:_RESULT_HEAD]
    if _FAILED.search(head) or (len(content) > _RESULT_HEAD and _FAILED.search(content[-_RESULT_TAIL:])):
        return "failed"
    if not head.strip():
        return "empty"
    return "JSON" if head[:1] in "{[" else "short" if len(content) < 80 else "long"


def _overlap(request: Request, known: set[str]) -> list[str]:
    """How many words of the ask are in the tools' names, and how many more in their descriptions; by their stems."""
    stems = {word[:_STEM] for word in known - NOISE}
    tools = request.tools[:_TOOLS]
    named = stems & _stems(" ".join([tool.name for tool in tools]))
    told = (stems & _stems(" ".join([tool.description[:80] for tool in tools]))) - named
    share = 0 if not stems else 4 * len(named | told) // len(stems)
    return [
        f"tool names asked for: {min(len(named), 3)}",
        f"tools described by the ask: {min(len(told), 4)}",
        f"quarters of the ask about tools: {share}",
    ]


@lru_cache(maxsize=_KEPT)
def _stems(text: str) -> frozenset[str]:
    """Stems of tools' words; the tools of a session stay the same."""
    return frozenset([word[:_STEM] for word in text.replace("_", " ").lower().split() if word not in NOISE])


def _gist(known: set[str], may_call: bool) -> list[str]:
    """What the ask's words come to: something to be made, told or done."""
    facts = [f"ask has {name}" for name, lexicon in LEXICONS.items() if not lexicon.isdisjoint(known)]
    return facts + [f"may call, {fact}" for fact in facts] if may_call else facts


def _ask(messages: tuple[Message, ...]) -> str:
    """The last user turn, or the newest text before it where it is out of reach."""
    for message in messages[: -REACH - 1 : -1]:
        if message.role is Role.USER:
            return message.content
    return next((message.content for message in messages if message.role is Role.USER), messages[-1].content)


def _instructions(messages: tuple[Message, ...]) -> str:
    """The newest system message within reach, else the first."""
    for message in messages[: -REACH - 1 : -1]:
        if message.role is Role.SYSTEM:
            return message.content
    return messages[0].content if messages[0].role is Role.SYSTEM else ""


def _window(text: str, size: int) -> tuple[str, int]:
    """The head and the tail of a text, and how much lies between them."""
    if len(text) <= size:
        return text, 0
    tail = size // 3
    return f"{text[: size - tail]}\n{text[-tail:]}", len(text) - size


def _size(length: int) -> int:
    """The length's order: its number of bits."""
    return length.bit_length()
