"""What a finished output turned out to be: the classifier's truth, on live traffic and in its training data alike."""

from __future__ import annotations

import json
import re

from triroute.router.classifier.verbs import ACTIONS
from triroute.router.types import StepKind

LONGEST = 32_768  # characters looked at; longer outputs are judged by their beginning
_CODE_SHARE, _JSON_SHARE, _LIST_SHARE, _LINE_SHARE = 0.3, 0.7, 0.5, 0.6
_LEAST_ITEMS = 3

_THOUGHT = re.compile(r"<(think|thinking|thought|reasoning)>.*?(</\1>|\Z)", re.DOTALL)
_CALL = re.compile(
    r"<tool_call>|\[TOOL_CALLS\]|<\|python_tag\|>|<function[=_]|<invoke name=|<\|tool_calls_section_begin\|>"
    r"|^\s*Action\s*:.*\n+\s*Action Input\s*:",
    re.MULTILINE,
)
_FENCE = re.compile(r"(?:```|~~~)([\w+#.-]*)[^\n]{0,500}\n(.*?)(?:\n?[ \t]*(?:```|~~~)|\Z)", re.DOTALL)
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
_WRAPPED = re.compile(r"\[(\w+)\]\s*([{\[].*?)\s*\[/\1\]", re.DOTALL)
_PLAN_BLOCK = re.compile(
    r"\[(?:QUERY )?PLAN\]\s*\n(.*?)\[(?:QUERY[ _])?PLAN[ _]END\]|<plan>\s*\n(.*?)</plan>", re.DOTALL
)
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
    fences = [fence for fence in _FENCE.finditer(body) if fence[1].lower() in {"json", "tool_call", ""}]
    if len(fences) == 1 and len(fences[0][0]) >= _JSON_SHARE * len(body):
        body = fences[0][2].strip()
    if wrapped := _WRAPPED.fullmatch(body):
        body = wrapped[2].strip()
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


def _is_code(body: str) -> bool:
    fenced = [fence for fence in _FENCE.finditer(body) if fence[1].lower() not in _NOT_CODE and fence[2].strip()]
    fenced = [fence for fence in fenced if fence[1] or not _AGENT_TALK.match(fence[2])]
    fenced += [tag for tag in _CODE_TAG.finditer(body) if tag[2].strip()]
    if fenced:
        share = sum(len(part[0]) for part in fenced) / len(body)
        return share >= _CODE_SHARE or fenced[-1].end() >= len(body)
    if body.startswith(_SHEBANG):
        return True
    lines = [line for line in _DOC_STRING.sub("pass = 0", body).splitlines() if line.strip()]
    return sum(_CODE_LINE.match(line) is not None for line in lines) >= _LINE_SHARE * len(lines)


def _is_marked_plan(body: str) -> bool:
    """Actions alone, in marks that call them a plan, or listed in a fence that a heading calls one; one will do."""
    if block := _PLAN_BLOCK.search(body):
        lines = [line for line in (block[1] or block[2] or "").splitlines() if line.strip()]
        return bool(lines) and sum(map(_is_action, lines)) >= _LINE_SHARE * len(lines)
    fence = _FENCE.search(body)
    if fence is None or fence[1] not in _PLAIN or not _PLAN_HEAD.search(body[: fence.start()][-_HEAD // 4 :]):
        return False
    lines = [line for line in fence[2].splitlines() if line.strip()]
    listed = [line for line in lines if _LISTED.match(line) and _is_action(line)]
    return bool(lines) and len(listed) >= _LINE_SHARE * len(lines)


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
