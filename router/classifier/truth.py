"""What a finished output turned out to be: the classifier's truth, on live traffic and in its training data alike."""

from __future__ import annotations

import json
import re

from triroute.router.classifier.fences import fences
from triroute.router.classifier.verbs import ACTIONS
from triroute.router.types import StepKind

LONGEST = 32_768  # characters looked at; longer outputs are judged by their beginning
_CODE_SHARE, _JSON_SHARE, _LIST_SHARE, _LINE_SHARE = 0.3, 0.7, 0.5, 0.6
_LEAST_ITEMS = 3

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?(</\1>|\Z)", re.DOTALL)
_CALL = re.compile(
    r"<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|<function[=_]|<invoke name=|<\|tool_calls_section_begin\|>"
    r"|^[^\S\n]*Action\s*:.*\n\s*Action Input\s*:",
    re.MULTILINE,
)
_CODE_TAG = re.compile(r"<(code|command|execute(?:_\w+)?)>(.*?)(?:</\1>|\Z)", re.DOTALL)
_NOT_CODE = frozenset({"json", "text", "txt", "markdown", "md", "plaintext", "csv", "console", "output", "tool_call"})
_CODE_LINE = re.compile(
    r"^(\s*(def|class|import|from \w[\w.]* import|return|if .*:$|for .*:$|while .*:$|try:|except|else:|elif|with .*:$"
    r"|@\w|#include|using |public |private |static |const |let |var |function |fn |func |package |SELECT |INSERT "
    r"|UPDATE |CREATE |assert |raise |print\(|async |await |export |interface |struct |impl |use |type \w+ =)"
    r"|.*[;{}]\s*$|\s*(fi|esac|echo .*|grep .*|cd .*|for .*; do|if \[.*)$"
    r"|\s*[\w.\[\]'\"]+ *[-+*/|&]?= *\S|\s*[\w.]+\(.*\)\s*$|\s*(#|//|/\*|\*|--) |<[/!a-zA-Z])"
)
_AGENT_TALK = re.compile(r"\s*(Thought|Final Answer|Action|Observation)\b")
_SHEBANG = "#!"
_DOC_STRING = re.compile(r'("""|\'\'\')(.*?)(\1|\Z)', re.DOTALL)
_ITEM = re.compile(
    r"^[ \t]*(?:[-*•+] +(?:\[[ x]\] +)?|\(?\d{1,2}[.):] +|#{1,5} +(?=\**(?:step|day|week|phase|stage|month|\d))"
    r"|(?=\**(?:step|day|week|phase|stage|month) *\d))(.*)$",
    re.MULTILINE | re.IGNORECASE,
)
_BULLET = re.compile(r"\s*[-*•+] +(?!\[)")
_STAGE = re.compile(r"\W*(?:\d{1,2}[.):]\W*)?(?:step|day|week|phase|stage|month)s? *#?\d", re.IGNORECASE)
_PLAN_HEAD = re.compile(r"\b(plan|steps|roadmap|itinerary|checklist|agenda|procedure|instructions)\b", re.IGNORECASE)
_WRAPPER = re.compile(r"\[(\w+)\]\s*(?=[{\[])")
_PLAN_OPENING = re.compile(r"(\[(?:QUERY )?PLAN\]|<plan>)\s*\n")
_PLAN_ENDS = {"[": re.compile(r"\[(?:QUERY[ _])?PLAN[ _]END\]"), "<": re.compile("</plan>")}
_PLAIN = ("", "text", "plaintext")
_LISTED = re.compile(r"\s*(?:\d{1,2}[.)]|\(|[-*] )")
_CHOICES = re.compile(
    r"\b(ways|tips|ideas|suggestions|options|examples|benefits|reasons|features|practices)\b", re.IGNORECASE
)
_HEAD = 400  # characters of the text before a list that may name it
_WORD = re.compile(r"[a-z]+")


def observe(text: str, called: bool = False) -> StepKind:
    """The kind of a finished output; `called`: it had parsed tool calls. UNKNOWN for an empty one.

    A tool call, or nothing but JSON, is `tool_call`. An output that ends with code or is three tenths code or more
    is `code`. An ordered list of three actions or more (items that begin with a verb, or are numbered steps, days or
    phases) that is half of the text or more is `plan`; so is one of bullets that a heading calls a plan, steps, a
    checklist or the like; so are actions marked as a plan. A list that its heading calls ways, tips, ideas or the
    like is no plan: its items are no sequence. The rest is `prose`.
    """
    if called:
        return StepKind.TOOL_CALL
    body = _THOUGHT.sub("", text[:LONGEST]).strip()
    if not body:
        return StepKind.UNKNOWN
    if _CALL.search(body) or _is_json(body):
        return StepKind.TOOL_CALL
    if _is_marked_plan(body):
        return StepKind.PLAN
    if _is_code(body):
        return StepKind.CODE
    return StepKind.PLAN if _is_plan(body) else StepKind.PROSE


def _is_json(body: str) -> bool:
    fenced = [fence for fence in fences(body) if fence.language.lower() in {"json", "tool_call", ""}]
    if len(fenced) == 1 and fenced[0].end - fenced[0].start >= _JSON_SHARE * len(body):
        body = fenced[0].content.strip()
    if wrapped := _wrapped(body):
        body = wrapped
    elif (start := min((at for at in (body.find("\n{"), body.find("\n[{")) if at > 0), default=0)) and (
        len(body) - start >= _JSON_SHARE * len(body)
    ):
        body = body[start:].strip()  # after a sentence that says that it comes
    if body[:1] not in ("{", "["):
        return False
    try:
        return isinstance(json.loads(body), dict | list)
    except (ValueError, RecursionError):
        return re.match(r'[\[{]\s*[{\["]', body) is not None and '":' in body[:400]  # cut short by a limit


def _wrapped(body: str) -> str:
    """An object or list between tags that are all else: [NAME]…[/NAME]; empty for others."""
    opening = _WRAPPER.match(body)
    tail = f"[/{opening[1]}]" if opening else ""
    return body[opening.end() : -len(tail)].strip() if opening and body.endswith(tail) else ""


def _is_code(body: str) -> bool:
    fenced = [fence for fence in fences(body) if fence.language.lower() not in _NOT_CODE and fence.content.strip()]
    parts = [(fence.start, fence.end) for fence in fenced if fence.language or not _AGENT_TALK.match(fence.content)]
    parts += [tag.span() for tag in _CODE_TAG.finditer(body) if tag[2].strip()]
    if parts:
        share = sum(end - start for start, end in parts) / len(body)
        return share >= _CODE_SHARE or parts[-1][1] >= len(body)
    if body.startswith(_SHEBANG):
        return True
    lines = [line for line in _DOC_STRING.sub("pass = 0", body).splitlines() if line.strip()]
    return sum(_CODE_LINE.match(line) is not None for line in lines) >= _LINE_SHARE * len(lines)


def _is_marked_plan(body: str) -> bool:
    """Actions alone, in marks that call them a plan, or listed in a fence that a heading calls one; one will do."""
    if (block := _plan_block(body)) is not None:
        lines = [line for line in block.splitlines() if line.strip()]
        return bool(lines) and sum(map(_is_action, lines)) >= _LINE_SHARE * len(lines)
    fence = next(fences(body), None)
    if fence is None or fence.language not in _PLAIN or not _PLAN_HEAD.search(body[: fence.start][-_HEAD // 4 :]):
        return False
    lines = [line for line in fence.content.splitlines() if line.strip()]
    listed = [line for line in lines if _LISTED.match(line) and _is_action(line)]
    return bool(lines) and len(listed) >= _LINE_SHARE * len(lines)


def _plan_block(body: str) -> str | None:
    """What the first marks that open and close have between them."""
    ends = dict(_PLAN_ENDS)
    for opening in _PLAN_OPENING.finditer(body):
        kind = opening[1][0]
        if kind in ends:
            if end := ends[kind].search(body, opening.end()):
                return body[opening.end() : end.start()]
            del ends[kind]  # nor does another end there
    return None


def _is_plan(body: str) -> bool:
    items = list(_ITEM.finditer(body))
    ordered = [item for item in items if not _BULLET.match(item[0])]
    head = body[: items[0].start()][-_HEAD:] if items else ""
    headed = _PLAN_HEAD.search(head) is not None
    if _CHOICES.search(head) and not headed:
        return False
    items = ordered if len(ordered) >= _LEAST_ITEMS or not headed else items
    if len(items) < _LEAST_ITEMS:
        return _is_bare_list(body)
    whole = len(body) - (len(head) if headed else 0)  # a sentence that says that a plan comes is no prose of its own
    if len(body) - items[0].start() - _after(body, items[-1].start()) < _LIST_SHARE * whole:
        return False
    if body.count("=") >= len(items):  # a derivation
        return False
    actions = sum(_is_action(item[1]) for item in items)
    return actions >= max(2, (0.3 if headed else 0.6) * len(items))


def _after(body: str, start: int) -> int:
    """Characters after the paragraph that starts there."""
    end = body.find("\n\n", start)
    return 0 if end < 0 else len(body) - end


def _is_bare_list(body: str) -> bool:
    """Actions without bullets, one a line."""
    lines = [line for line in body.splitlines() if line.strip() and not line.lstrip().startswith("[")]
    short = [line for line in lines if len(line) <= 120 and _is_action(line)]
    return len(short) >= max(_LEAST_ITEMS, _LINE_SHARE * len(lines))


def _is_action(item: str) -> bool:
    """Begins with a verb, is a numbered stage, or says an action after its title."""
    if _STAGE.match(item):
        return True
    if item[:3].lower() == "if " and "," in item:  # what is to be done in a case
        item = item.split(",", 1)[1]
    words = [_WORD.search(part[:40].lower()) for part in item.split(":", 2)[:2]]
    return any(word and word[0] in ACTIONS for word in words)
