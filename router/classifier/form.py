"""What a prompt says of the form of its answer: what it orders, what its examples show, where its form goes on.

These cues mean the same in every framework. Each reads a bounded piece of text.
"""

from __future__ import annotations

import re

from triroute.router.classifier.verbs import ACTIONS, LEXICONS, words

_NEAR = 8  # words from an order to what it wants
_GLANCE, _LINES = 600, 9  # characters, and lines, that tell a text's kind at a glance
_REACH = 4_000  # characters back to an example's answer
_FORM = 300  # characters before a heading that hold the heading before it

INSTRUCTIONS, _PIECES, _LEAD, _PIECE = 4_000, 4, 20, 100  # characters; pieces; characters before and after an anchor
_ANCHORS = (
    "your response",
    "your output",
    "your answer",
    "your code",
    "your plan",
    "respond with",
    "should be",
    "must be",
    "enclose",
    "following format",
)

_YOURS = "your "
_OTHERS = tuple(anchor for anchor in _ANCHORS if not anchor.startswith(_YOURS))

_DUTIES = frozenset(("should", "must"))
_ORDERS = LEXICONS["making"] | _DUTIES | words("respond answer reply return output provide response format enclose")
_ORDERS |= words("enclosed wrap wrapped submit suggest find")
_WANTED = {
    word: name
    for name, wanted in {
        "text": LEXICONS["text"] | words("explanation passage"),
        "JSON": LEXICONS["JSON"] | words("tool tools call"),
        "plan": LEXICONS["steps"] - words("step recipe tutorial instructions"),
        "code": (LEXICONS["code"] | LEXICONS["a language"] | words("command commands queries ``` <execute> <code>"))
        - words("unit bug def import return"),
    }.items()
    for word in wanted
}
_TOLD = _ORDERS | _WANTED.keys()
_HEADED = {
    word: name
    for name, heads in {
        "plan": "plan plans steps step subtasks roadmap outline procedure",
        "code": "code sql query python program function script command bash implementation",
        "text": "answer response reply passage summary story text essay translation assistant explanation",
        "action": "action",
        "thought": "thought thoughts reasoning rationale",
    }.items()
    for word in heads.split()
}
_HEADING = re.compile(r"[^\w\s]{0,3}[^\W\d_][\w ]{0,24}(?::|\])[*]{0,2}")
_HEADINGS = re.compile(r"^[^\w\n]*([^\W\d_][\w ]{0,30}):", re.MULTILINE)
_CODE_TAGS = ("```", "<execute", "<code>", "<command>", "<bash>", "<python>")
_CALLS = ("```json", "<tool_call>", "Action Input:")
_CODE_WORDS = words(
    "return import from def class for if while with print #include fn let const var func function public private"
    " static package using SELECT"
)
_CODE_ENDS = (";", "{", "}", "):", ") {")


def orders(who: str, said: list[str]) -> list[str]:
    """What a text orders, first and last: the thing that soon follows a verb of making, or that "should be" so."""
    found: list[str] = []
    until = -1
    if _WANTED.keys().isdisjoint(said):
        return [f"{who} orders nothing"]
    for at, word in [(at, word) for at, word in enumerate(said) if word in _TOLD]:
        wanted = _WANTED.get(word)
        if wanted and at < until:
            found.append(wanted)
            until = -1
        elif at and word in _DUTIES and said[at - 1] in _WANTED:
            found.append(_WANTED[said[at - 1]])
        elif word in _ORDERS:
            until = at + _NEAR
    if not found:
        return [f"{who} orders nothing"]
    first, last = found[0], found[-1]
    return [f"{who} orders {first}" if len({*found}) == 1 else f"{who} orders {first} and {last}"]


def demands(text: str) -> str:
    """The pieces of instructions that tell what an answer should be, in lower case; of the first `INSTRUCTIONS`."""
    text = text[:INSTRUCTIONS].lower()
    anchors = _ANCHORS if _YOURS in text else _OTHERS
    places = sorted({at for anchor in anchors if (at := text.find(anchor)) >= 0})
    return "\n".join([text[max(0, at - _LEAD) : at + _PIECE] for at in places[:_PIECES]])


def shown(ask: str) -> list[str]:
    """The kind of an example's answer: what followed an earlier heading like the one in the ask's last line."""
    last = ask[-200:].rstrip().rpartition("\n")[2].strip()
    found = _HEADING.match(last)
    if found is None:
        return []
    head = found[0]
    end = ask.rfind(head)
    start = ask.rfind(head, max(0, end - _REACH), end)
    if start < 0:
        return ["shown: nothing"]
    answer = ask[start + len(head) : end]
    if len(last) > len(head):  # a task of its own follows the heading
        answer = answer.partition("\n")[2]
    return [f"shown: {glance(answer.strip())}"]


def heading(ask: str) -> list[str]:
    """The heading that an ask ends with."""
    last = ask[-60:].rstrip().rpartition("\n")[2]
    return [f"ask ends with heading {_named(last[:-1])}"] if last.endswith(":") and len(last) < 40 else []


def stops(stop: tuple[str, ...], ask: str) -> list[str]:
    """The part of a form that is written where the next part's heading stops it."""
    for head in map(str.strip, stop):
        at = ask.rfind(head) if len(head) > 2 and head.endswith(":") else -1
        if at > 0 and (before := _HEADINGS.findall(ask[max(0, at - _FORM) : at])):
            return [f"stops after {_named(before[-1])}"]
    return []


def _named(head: str) -> str:
    return next((_HEADED[word] for word in reversed(head.lower().split()) if word in _HEADED), "other")


def glance(text: str) -> str:
    """The kind of a text that an agent wrote, from its beginning; `truth` looks closer."""
    text = text[:_GLANCE]
    if text[:1] in ("{", "[") or any(mark in text for mark in _CALLS):
        return "tool_call"
    if any(tag in text for tag in _CODE_TAGS):
        return "code"
    lines = text.split("\n", _LINES)[:_LINES]
    coded = listed = acts = 0
    for line in lines:
        first, _, rest = line.strip(" -*#(").partition(" ")
        coded += first.partition("(")[0] in _CODE_WORDS or rest.startswith("= ") or line.endswith(_CODE_ENDS)
        listed += (first[:1].isdigit() and first[-1:] in (".", ")", ":")) or first in ("Step", "Day", "**Day", "**Step")
        acts += first.lower() in ACTIONS
    if listed > 1:
        return "plan"
    if 2 * coded > len(lines):
        return "code"
    return "plan" if acts > 1 and 2 * acts > len(lines) else "prose"
