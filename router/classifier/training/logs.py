"""How logs that agents leave, and plans that benchmarks keep, become examples."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator
from itertools import pairwise

from triroute.router.classifier.training.chats import Example, example, steps_of
from triroute.router.classifier.training.sources import Source
from triroute.router.types import Message, Request, Role, Sampling, Tool, ToolCall

Files = Iterable[tuple[str, bytes]]  # path and content

_PART = re.compile(r"\n+-{10}\n+")
_COLOUR = re.compile(r"\x1b\[[\d;]*m")
_SPOKEN = re.compile(r"^([\w .-]{1,40}) \(to [\w .-]{1,40}\):\n\n(.*?)\n-{80}$", re.DOTALL | re.MULTILINE)
_PEOPLE = re.compile(r"user|proxy|admin|boss|human|customer|executor|interpreter|^init$", re.IGNORECASE)
_SUGGESTED = re.compile(r"\*{5} Suggested (?:tool call|function call).*?: (\w+) \*{5}")
_RETURNED = re.compile(r"\*{5} Response from calling (?:tool|function)[^\n]*\*{5}\n(.*?)\n\*{5,}", re.DOTALL)

_PRINTED = re.compile(r"(```output\n.*?```\n?)", re.DOTALL)


def openhands_log(source: Source, files: Files) -> Iterator[Example]:
    """OpenHands' integration tests: a prompt's messages, parted by lines, and the response in a file of its own."""
    kept = {path: content.decode("utf-8", "replace") for path, content in files}
    for path, said in kept.items():
        asked = kept.get(path.replace("/response_", "/prompt_"))
        if "/response_" not in path or asked is None:
            continue
        parts = [part.strip() for part in _PART.split(f"\n{asked}\n") if part.strip()]
        head = 1 if len(parts) > 1 else 0
        messages = [Message(Role.SYSTEM, part) for part in parts[:head]]
        messages += [
            Message(Role.ASSISTANT if _is_answer(at, part) else Role.USER, part) for at, part in enumerate(parts[head:])
        ]
        request = Request(tuple(messages))
        session = path.rsplit("/", 1)[0]
        yield from example(request, said, False, source.name, source.framework, session)


def _is_answer(at: int, part: str) -> bool:
    """The first turns are the user's: an example, then the task."""
    return at > 0 and not part.startswith(("OBSERVATION", "NOW, LET'S START", "Here is an example"))


def autogen(source: Source, files: Files) -> Iterator[Example]:
    """Chats of AutoGen's agents, as its notebooks print them. `assistant` has its default instructions."""
    kept = dict(files)
    code = next(content.decode() for path, content in kept.items() if path.endswith(".py"))
    default = code.split('DEFAULT_SYSTEM_MESSAGE = """', 1)[1].split('"""', 1)[0]
    for path, content in kept.items():
        if path.endswith(".py"):
            continue
        outputs = [out for cell in json.loads(content)["cells"] for out in cell.get("outputs") or ()]
        printed = "".join(part for out in outputs for part in out.get("text") or ())
        spoken = _SPOKEN.findall(_COLOUR.sub("", printed))
        for speaker in {name for name, _ in spoken if not _PEOPLE.search(name)}:
            head = (Message(Role.SYSTEM, default),) if speaker == "assistant" else ()
            turns = tuple(_turn(name == speaker, text.strip()) for name, text in spoken if text.strip())
            tools = tuple(Tool(name, "") for name in sorted({c.name for turn in turns for c in turn.tool_calls}))
            yield from steps_of((*head, *turns), tools, source.name, source.framework, path)


def _turn(own: bool, text: str) -> Message:
    if returned := _RETURNED.search(text):
        return Message(Role.TOOL, returned[1], tool_call_id="c")
    if not own:
        return Message(Role.USER, text)
    calls = tuple(ToolCall("c", name, "{}") for name in _SUGGESTED.findall(text))
    return Message(Role.ASSISTANT, "" if calls else text, calls)


def aider(source: Source, files: Files) -> Iterator[Example]:
    """aider's history of chats: what the user wrote is marked, what its own program said is quoted."""
    kept = {path: content.decode("utf-8", "replace") for path, content in files}
    code = next(text for path, text in kept.items() if path.endswith(".py"))
    system = Message(Role.SYSTEM, code.split('main_system = """', 1)[1].split('"""', 1)[0])
    for path, text in kept.items():
        for number, chat in enumerate([] if path.endswith(".py") else text.split("\n# aider chat started at ")):
            messages = [system]
            for role, lines in _runs(chat.splitlines()[1:]):
                said = "\n".join(lines).strip()
                if said:
                    messages.append(Message(role, said))
            yield from steps_of(tuple(messages), (), source.name, source.framework, f"{path}:{number}")


def _runs(lines: Iterable[str]) -> Iterator[tuple[Role, list[str]]]:
    """Lines of one speaker after another, without what is for the program itself, and what it said."""
    role, held = Role.USER, list[str]()
    for line in lines:
        if line.startswith(("> ", "#### /")):
            continue
        speaker = Role.USER if line.startswith("####") else Role.ASSISTANT
        if speaker is not role and line.strip():
            yield role, held
            role, held = speaker, []
        held.append(line.removeprefix("####").removeprefix(" ") if role is Role.USER else line)
    yield role, held


def natural_plan(source: Source, files: Files) -> Iterator[Example]:
    """NATURAL PLAN: trips, meetings and appointments, with and without examples, and the plan that is right."""
    for path, content in files:
        for name, one in json.loads(content).items():
            plan = one["golden_plan"]
            steps = ast.literal_eval(plan) if isinstance(plan, str) and plan.startswith("[") else plan
            text = plan if isinstance(steps, str) else "\n".join(steps)
            for prompt in ("prompt_0shot", "prompt_5shot"):
                request = Request((Message(Role.USER, one[prompt]),))
                yield from example(request, text, False, source.name, source.framework, f"{path}:{name}")


def scripts(source: Source, files: Files) -> Iterator[Example]:
    """Household tasks in steps, each asked for as raw text after another one's, as Language Planner does."""
    for path, content in files:
        listed = json.loads(content)
        for number, (shown, wanted) in enumerate(pairwise(listed)):
            task, _, steps = wanted.partition("\n")
            request = Request(text=f"{shown}\n\n{task}\n", sampling=Sampling(stop=("\n\n",)))
            yield from example(request, steps, False, source.name, source.framework, f"{path}:{number}")


def tora(source: Source, files: Files) -> Iterator[Example]:
    """ToRA: after examples, a program for a question; after what it printed, the answer."""
    kept = {path: content.decode("utf-8", "replace") for path, content in files}
    shown = next(text for path, text in kept.items() if path.endswith(".md")).strip()
    for path, text in kept.items():
        for line in filter(None, [] if path.endswith(".md") else text.split("\n")):
            one = json.loads(line)
            prompt = f"{shown}\n\nQuestion: {one['question']}\n\nSolution:\n"
            *written, last = _PRINTED.split(one["code"][0])
            for said, printed in [*zip(written[::2], written[1::2], strict=True), (last, "")]:
                request = Request(text=prompt, sampling=Sampling(stop=("```output",)))
                yield from example(request, said.strip(), False, source.name, source.framework, f"{path}:{one['idx']}")
                prompt += said + printed
