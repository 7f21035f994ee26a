"""What the classifier sees of a request: facts of its structure, and words of windows of its text. All of it bounded.

Whatever the length of a history, at most `WINDOW` characters of each part are read, and `REACH` messages back.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from triroute.router.classifier.verbs import ACTIONS, IN_ENGLISH, LEXICONS, NOISE, SCRIPTS, SPEAKERS
from triroute.router.types import Message, Request, Role, ToolCall, ToolChoiceKind

WINDOW = 400  # characters of the last user turn: two thirds of its head, a third of its tail
_SYSTEM_WINDOW, _LAST_WINDOW = 300, 200
REACH = 24  # messages
_TOOLS = 6  # tools whose words are compared with the ask
_WORD = re.compile(r"[^\W\d_]{2,}|```|<\w+>|\?|\{")
_FAILED = re.compile(r"error|exception|traceback|failed|not found|invalid|denied", re.IGNORECASE)
_STEM = 5


@dataclass(frozen=True, slots=True)
class Sight:
    """`facts` are whole features; `ask`, `system` and `last` are words. `cut`: characters that were not read."""

    facts: tuple[str, ...]
    ask: tuple[str, ...]
    system: tuple[str, ...]
    last: tuple[str, ...]
    cut: int


def see(request: Request) -> Sight:
    """Look at a request once."""
    if request.text:
        window, cut = _window(request.text, WINDOW)
        words = _words(window)
        facts = [
            *_shape(request),
            *_of_ask(window, len(request.text), words),
            *_gist(words, [], False),
            *_shown(request.text),
            f"goes on from {_glance(request.text[-_GLANCE // 2 :])}",
            "last: raw text",
        ]
        return Sight(tuple(facts), tuple(words), (), (), cut)
    messages = request.messages
    ask = _ask(messages)
    system = _instructions(messages)
    window, cut = _window(ask, WINDOW)
    told, cut_system = _window(system, _SYSTEM_WINDOW)
    words = _words(window)
    facts = [*_shape(request), *_of_ask(window, len(ask), words), f"system length {_size(len(system))}"]
    may_call = bool(request.tools) and request.tool_choice.kind is not ToolChoiceKind.NONE
    facts += _of_turns(messages, may_call)
    facts += _shown(ask)
    instructed = _WORD.findall(told.lower())
    facts += _gist(words, instructed, may_call)
    facts += _orders("ask", words)
    facts += _orders("system", instructed)
    opening = _opening(messages, ask)
    if opening:
        facts += _orders("opening", _WORD.findall(_window(opening, WINDOW)[0].lower()))
    facts += _stops(request.sampling.stop, ask)
    facts += _heading(window)
    facts.append(f"ask looks like {_glance(ask[:_GLANCE])}")
    if "json" in words or "json" in instructed:
        facts.append("JSON is asked for")
    if may_call:
        facts += _overlap(request, words)
    rest: list[str] = []
    said = _said(messages)
    if said:
        tail, cut_said = _window(said, _LAST_WINDOW)
        rest, cut = _WORD.findall(tail.lower()), cut + cut_said
    return Sight(tuple(facts), tuple(words), tuple(instructed), tuple(rest), cut + cut_system)


def _words(window: str) -> list[str]:
    """The words of an ask, and English ones for those of other languages."""
    words = _WORD.findall(window.lower())
    words += [IN_ENGLISH[word] for word in words if word in IN_ENGLISH]
    if not window.isascii():
        words += [english for part, english in SCRIPTS.items() if part in window]
    return words


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


def _of_ask(window: str, length: int, words: list[str]) -> list[str]:
    facts = [f"ask length {_size(length)}", f"ask begins with {words[0] if words else 'nothing'}"]
    if "```" in window:
        facts.append("ask ends inside a fence" if window.count("```") % 2 else "ask has a fence")
    tail = window.rstrip()[-1:]
    if tail in "?:.{([>\"'`" and tail:
        facts.append(f"ask ends with {tail}")
    return facts


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
        f"last {who}, before {before}",
        f"before: {', '.join(answers) or 'nothing'}",
        f"last {who}, {'may' if may_call else 'may not'} call",
    ]
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
    return "tool_call" if message.tool_calls else _glance(message.content[:_GLANCE])


def _glance(text: str) -> str:
    """The kind of a text that an agent wrote, from its beginning."""
    if text[:1] in ("{", "[") or "```json" in text or "<tool_call>" in text or "Action Input:" in text:
        return "tool_call"
    if "```" in text or any(tag in text for tag in _CODE_TAGS):
        return "code"
    if len(_LISTED.findall(text)) > 1:
        return "plan"
    lines = text.split("\n", 9)[:9]
    coded = len(_CODE_LINE.findall(text))
    if coded > 1 and 2 * coded > len(lines):
        return "code"
    acts = sum(line.lstrip("( ").partition(" ")[0].lower() in ACTIONS for line in lines)
    return "plan" if acts > 1 and 2 * acts > len(lines) else "prose"


_GLANCE = 600
_HEADING = re.compile(r"[^\w\s]{0,3}[^\W\d_][\w ]{0,24}(?::|\])[*]{0,2}")
_CODE_TAGS = ("<execute", "<code>", "<command>", "<bash>", "<python>")
_LISTED = re.compile(r"(?:^|\n)\W*(?:\d[.)] |(?:step|day) \d)", re.IGNORECASE)
_CODE_LINE = re.compile(r"(?:^|\n)(?:[\w.\[\]]+ = |\s*(?:return|import|from|def|for|if|print) ?[\w(]|SELECT )")


_ORDERING = frozenset(
    "write make create generate build implement draft compose produce give prepare design develop complete add fix"
    " refactor port convert rewrite optimize outline propose devise sketch break list plan respond answer reply"
    " return output provide should must response format enclosed wrap use submit find suggest devise".split()
)
_WANTED = {
    "code": "function class method script code program test tests query queries sql snippet bash shell python javascript"
    " typescript java rust html css react kotlin ruby php command commands ``` <execute> <code> <command> programming",
    "plan": "plan plans roadmap outline checklist agenda schedule itinerary steps subtasks milestones",
    "JSON": "json schema tool tools action call function_call",
    "text": "email letter story poem essay paragraph paragraphs article message blog post summary report note"
    " sentence sentences announcement review words explanation passage",
}
_WANT = {word: name for name, words in _WANTED.items() for word in words.split()}
_NEAR = 8  # words from an order to what it wants


def _orders(who: str, words: list[str]) -> list[str]:
    """What a text orders first, and what last: the thing that a verb of making is soon followed by."""
    found: list[str] = []
    until, before = 0, ""
    for at, word in enumerate(words):
        if word in ("should", "must") and before in _WANT:
            found.append(_WANT[before])
            until = 0
        elif at < until and word in _WANT:
            found.append(_WANT[word])
            until = 0
        elif word in _ORDERING:
            until = at + _NEAR
        before = word
    if not found:
        return [f"{who} orders nothing"]
    facts = [f"{who} orders {found[0]} first", f"{who} orders {found[-1]} last"]
    facts += [f"{who} orders {kind}" for kind in sorted({*found})]
    if len({*found}) == 1:
        facts.append(f"{who} orders only {found[0]}")
    return facts


def _opening(messages: tuple[Message, ...], ask: str) -> str:
    first = next((m.content for m in messages[:4] if m.role is Role.USER), "")
    return "" if first is ask else first


_HEAD = re.compile(r"(?:^|\n)[^\w\n]*([^\W\d_][\w ]{0,30}):")
_HEADS = {
    "plan": "plan plans steps step subtasks roadmap outline procedure",
    "code": "code sql query python program function script command bash implementation",
    "text": "answer response reply passage summary story text essay translation assistant explanation",
    "action": "action",
    "thought": "thought thoughts reasoning rationale",
}
_HEAD_OF = {word: name for name, words in _HEADS.items() for word in words.split()}


def _named(head: str) -> str:
    return next((_HEAD_OF[w] for w in reversed(head.lower().split()) if w in _HEAD_OF), "other")


def _stops(stops: tuple[str, ...], ask: str) -> list[str]:
    """The part of a form that a stop at the next part's heading leaves: what comes before it there."""
    for stop in stops:
        head = stop.strip()
        at = ask.rfind(head) if len(head) > 2 and head.endswith(":") else -1
        if at > 0 and (before := _HEAD.findall(ask[max(0, at - 300) : at])):
            return [f"stops after {_named(before[-1])}"]
    return []


def _heading(window: str) -> list[str]:
    """A heading that the ask ends with."""
    last = window[-60:].rstrip().rsplit("\n", 1)[-1]
    return [f"ask ends with heading {_named(last[:-1])}"] if last.endswith(":") and len(last) < 40 else []


def _shown(ask: str) -> list[str]:
    """What followed an earlier heading like the one that the ask ends with: the answer of an example."""
    last = ask[-200:].rstrip().rsplit("\n", 1)[-1].strip()
    found = _HEADING.match(last)
    if not found:
        return []
    head = found[0]
    end = ask.rfind(head)
    start = ask.rfind(head, max(0, end - 4_000), end)
    if start < 0:
        return ["shown: nothing"]
    answer = ask[start:end][len(head) :]
    if len(last) > len(head):  # a task of its own follows the heading
        answer = answer.partition("\n")[2]
    return [f"shown: {_glance(answer[:_GLANCE].strip())}"]


def _result(content: str) -> str:
    head = content[:200]
    if _FAILED.search(head) or (len(content) > 200 and _FAILED.search(content[-100:])):
        return "failed"
    if not head.strip():
        return "empty"
    return "JSON" if head[:1] in "{[" else "short" if len(content) < 80 else "long"


def _overlap(request: Request, words: list[str]) -> list[str]:
    """How many words of the ask are in the tools' names, and how many more in their descriptions; by their stems."""
    asked = {word[:_STEM] for word in words if word not in NOISE}
    tools = request.tools[:_TOOLS]
    named = asked.intersection(_stems(" ".join([tool.name for tool in tools])))
    told = asked.intersection(_stems(" ".join([tool.description[:80] for tool in tools]))) - named
    share = 0 if not asked else 4 * len(named | told) // len(asked)
    return [
        f"tool names asked for: {min(len(named), 3)}",
        f"tools described by the ask: {min(len(told), 4)}",
        f"quarters of the ask about tools: {share}",
    ]


def _stems(text: str) -> list[str]:
    return [word[:_STEM] for word in _WORD.findall(text.replace("_", " ").lower()) if word not in NOISE]


def _gist(words: list[str], system: list[str], may_call: bool) -> list[str]:
    """What the ask's words come to: something to be made, told or done; and whose the instructions are."""
    known, told = set(words), set(system)
    facts = [f"ask has {name}" for name, lexicon in LEXICONS.items() if not lexicon.isdisjoint(known)]
    if "ask has making" in facts:
        facts += [f"ask makes {thing}" for thing in ("code", "text", "steps") if f"ask has {thing}" in facts]
        if "ask has a language" in facts:
            facts.append("ask makes code")
    if may_call:
        facts += [f"may call, {fact}" for fact in facts]
    return facts + [f"system is a {who}'s" for who, lexicon in SPEAKERS.items() if not lexicon.isdisjoint(told)]


def _ask(messages: tuple[Message, ...]) -> str:
    """The last user turn, or the newest text before it where it is out of reach."""
    for message in messages[: -REACH - 1 : -1]:
        if message.role is Role.USER:
            return message.content
    return next((message.content for message in messages if message.role is Role.USER), messages[-1].content)


def _instructions(messages: tuple[Message, ...]) -> str:
    """The newest system message within reach, or the first message where it is one."""
    for message in messages[: -REACH - 1 : -1]:
        if message.role is Role.SYSTEM:
            return message.content
    return messages[0].content if messages[0].role is Role.SYSTEM else ""


def _said(messages: tuple[Message, ...]) -> str:
    """What came before the ask, or after it: the newest text that is neither a user's nor instructions."""
    for message in messages[: -REACH - 1 : -1]:
        if message.content and message.role in (Role.ASSISTANT, Role.TOOL):
            return message.content
    return ""


def _window(text: str, size: int) -> tuple[str, int]:
    """The head and the tail of a text, and how much lies between them."""
    if len(text) <= size:
        return text, 0
    tail = size // 3
    return f"{text[: size - tail]}\n{text[-tail:]}", len(text) - size


def _size(length: int) -> int:
    """The length's order: its number of bits."""
    return length.bit_length()
