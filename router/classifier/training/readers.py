"""How the files of each kind of source become examples."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from triroute.router.classifier.training import cassettes, logs, runs
from triroute.router.classifier.training.chats import Example, example, steps_of, to_messages, to_text, to_tools
from triroute.router.classifier.training.sources import FRAMEWORK_PATHS, Source
from triroute.router.types import Message, Request, Role, Tool, ToolChoice, ToolChoiceKind

Files = Iterable[tuple[str, bytes]]  # path and content


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _lines(path: str, content: bytes) -> list[Any]:
    if path.endswith(".gz"):
        content = gzip.decompress(content)
    return [json.loads(line) for line in _text(content).split("\n") if line.strip()]


def _ask(text: str) -> Request:
    return Request((Message(Role.USER, text),))


def _cassette(source: Source, files: Files) -> Iterator[Example]:
    for path, content in files:
        framework = next((name for known, name in FRAMEWORK_PATHS if known.search(path)), source.framework)
        if source.framework != "provider-sdk":
            framework = source.framework
        session = path.rsplit(".", 1)[0]
        yield from cassettes.examples(_text(content), source.name, framework, session)


def _tau(source: Source, files: Files) -> Iterator[Example]:
    """tau-bench keeps messages, not the tools; their names are those that the trajectories call."""
    for path, content in files:
        runs = json.loads(content)
        names = sorted({c["function"]["name"] for r in runs for m in r["traj"] for c in m.get("tool_calls") or ()})
        tools = tuple(Tool(name, name.replace("_", " ")) for name in names)
        for run in runs:
            messages = tuple(to_messages(run["traj"]))
            yield from steps_of(messages, tools, source.name, source.framework, f"{path}:{run['task_id']}")


def _swe_agent(source: Source, files: Files) -> Iterator[Example]:
    for path, content in files:
        history = json.loads(content)["history"]
        messages = tuple(to_messages(one for one in history if not one.get("is_demo")))
        names = sorted({call.name for message in messages for call in message.tool_calls})
        tools = tuple(Tool(name, name.replace("_", " ")) for name in names)
        yield from steps_of(messages, tools, source.name, source.framework, path)


def _openhands(source: Source, files: Files) -> Iterator[Example]:
    """Events of a run: actions of the agent, observations, messages."""
    for path, content in files:
        for run in _lines(path, content):
            messages: list[Message] = []
            for event in run.get("history") or ():
                messages += _event(event if isinstance(event, dict) else {})
            tools = tuple(
                Tool(name, "") for name in ("execute_bash", "str_replace_editor", "execute_ipython_cell", "finish")
            )
            yield from steps_of(tuple(messages), tools, source.name, source.framework, str(run.get("instance_id")))


def _event(event: dict[str, Any]) -> list[Message]:
    action = event.get("action")
    if action == "message" and event.get("source") == "user":
        return [Message(Role.USER, to_text((event.get("args") or {}).get("content")))]
    if event.get("source") == "agent" and action:
        thought = to_text((event.get("args") or {}).get("thought") or (event.get("args") or {}).get("content"))
        listed = [] if action == "message" else [{"id": "c", "name": action, "arguments": "{}"}]
        return list(to_messages([{"role": "assistant", "content": thought, "tool_calls": listed}]))
    if event.get("observation"):
        return [Message(Role.TOOL, to_text(event.get("content")))]
    return []


def _completion(source: Source, files: Files) -> Iterator[Example]:
    """Code to be completed: as raw text, as a fence, and as an instruction, by turns. What came is code in each."""
    for path, content in files:
        for number, one in enumerate(_lines(path, content)):
            prompt = str(one["prompt"])
            solved = str(one.get("canonical_solution") or one.get("solution") or "")
            asked = (
                Request(text=prompt),
                Request(text=f"```python\n{prompt}"),
                _ask(f"Complete this function:\n\n{prompt}"),
                _ask(f"{prompt}"),
            )[number % 4]
            yield from example(
                asked, f"```\n{solved}\n```", False, source.name, source.framework, str(one.get("name", number))
            )


def _bfcl(source: Source, files: Files) -> Iterator[Example]:
    """Questions with functions. Where a set has no answer to call, a right answer is prose."""
    for path, content in files:
        name = path.rsplit("BFCL_v4_", 1)[1].removesuffix(".json")
        if "/possible_answer/" in path or name.startswith(("multi_turn", "memory", "web_search", "format")):
            continue
        called = "irrelevance" not in name
        for one in _lines(path, content):
            messages = tuple(to_messages(one["question"][0]))
            tools = to_tools(one.get("function"))
            if messages and tools:
                request = Request(messages, "", tools, ToolChoice(ToolChoiceKind.AUTO))
                yield from example(request, "I can't.", called, source.name, source.framework, str(one["id"]))


def _arena(source: Source, files: Files) -> Iterator[Example]:
    kept = list(files)
    asked = {
        str(q.get("question_id") or q.get("uid")): str(q["turns"][0]["content"] if "turns" in q else q["prompt"])
        for path, content in kept if path.endswith("question.jsonl") for q in _lines(path, content)
    }  # fmt: skip
    for path, content in kept:
        for one in [] if path.endswith("question.jsonl") else _lines(path, content):
            session = str(one.get("question_id") or one.get("uid"))
            if session in asked:
                yield from example(_ask(asked[session]), _said(one), False, source.name, source.framework, session)


def _said(answer: dict[str, Any]) -> str:
    """The answer, in each of the file's spellings."""
    if "messages" in answer:
        content = answer["messages"][-1]["content"]
        return str(content.get("answer", "")) if isinstance(content, dict) else str(content)
    return str(answer["choices"][0]["turns"][0]["content"])


def _instructions(source: Source, files: Files) -> Iterator[Example]:
    for path, content in files:
        listed = json.loads(content) if path.endswith(".json") else _lines(path, content)
        for number, one in enumerate(listed):
            case = (one.get("instances") or [one])[0]
            given = str(case.get("input") or "")
            ask = str(one["instruction"]) + (f"\n\n{given}" if given else "")
            answer = str(case.get("output") or case.get("response") or "")
            yield from example(_ask(ask), answer, False, source.name, source.framework, f"{path}:{number}")


def _planbench(source: Source, files: Files) -> Iterator[Example]:
    for path, content in files:
        for one in json.loads(content)["instances"]:
            text = str(one.get("llm_raw_response") or "")
            asked = _ask(str(one.get("query") or ""))
            yield from example(asked, text, False, source.name, source.framework, f"{path}:{one.get('instance_id')}")


def _intercode(source: Source, files: Files) -> Iterator[Example]:
    """Plan-and-solve runs: the plan, then a query a step. The prompts are those of the experiment's own file."""
    kept = list(files)
    prompts = next(_text(content) for path, content in kept if path.endswith("prompts.py"))
    templates = re.findall(r'return f"""(.*?)"""', prompts[prompts.index("class TemplatePlanSolve") :], re.DOTALL)
    for path, content in kept:
        if path.endswith(".py"):
            continue
        runs = json.loads(content)
        language, setting = ("SQL", "MySQL Database") if "/sql/" in path else ("BASH", "Bourne Shell")
        first, then = (
            re.sub(r"\{DEMO[^}]*\}", "", t).replace("{self.language}", language).replace("{self.setting}", setting)
            for t in templates[:2]
        )
        for run in runs.get("logs", runs).values():
            yield from steps_of(_planned(run, first, then), (), source.name, source.framework, str(run["query"]))


def _planned(run: dict[str, Any], first: str, then: str) -> tuple[Message, ...]:
    """A run as the messages that it was. The parser of the experiment took the fences off what was code."""
    turns = run["turn_history"]
    plan = "\n".join(f"{number}. {step}" for number, step in enumerate(turns["steps"], start=1))
    messages = [
        Message(Role.SYSTEM, first),
        Message(Role.USER, f"Question: {run['query']}"),
        Message(Role.ASSISTANT, plan),
    ]
    messages.append(Message(Role.SYSTEM, then))
    seen = ""
    for step, action, observed in zip(turns["steps"], turns["actions"], turns["observations"], strict=False):
        messages.append(Message(Role.USER, f"{seen}Step: {step}"))
        is_code = "```" in action or re.match(r"(SHOW|SELECT|DESC)", action)
        messages.append(Message(Role.ASSISTANT, f"```\n{action}\n```" if is_code else action))
        seen = f"Observation: {observed[:1000]}\n"
    return tuple(messages)


def _sharegpt(source: Source, files: Files) -> Iterator[Example]:
    """Conversations with function calls, in ShareGPT's spelling."""
    for path, content in files:
        for number, one in enumerate(json.loads(content)):
            messages = tuple(to_messages(_turn(turn) for turn in one["conversations"]))
            tools = to_tools(json.loads(one.get("tools") or "[]"))
            yield from steps_of(messages, tools, source.name, source.framework, f"{path}:{number}")


def _turn(turn: dict[str, str]) -> dict[str, Any]:
    if turn["from"] == "function_call":
        call = json.loads(turn["value"])
        return {"role": "assistant", "content": "", "tool_calls": call if isinstance(call, list) else [call]}
    return {"role": {"observation": "tool"}.get(turn["from"], turn["from"]), "content": turn["value"]}


READERS: dict[str, Callable[[Source, Files], Iterator[Example]]] = {
    "aider": logs.aider,
    "arena": _arena,
    "autogen": logs.autogen,
    "bfcl": _bfcl,
    "cassette": _cassette,
    "completion": _completion,
    "instructions": _instructions,
    "intercode": _intercode,
    "metagpt": runs.metagpt,
    "mint": runs.mint,
    "natural-plan": logs.natural_plan,
    "openhands": _openhands,
    "openhands-log": logs.openhands_log,
    "planbench": _planbench,
    "preferences": runs.preferences,
    "scripts": logs.scripts,
    "sharegpt": _sharegpt,
    "swe-agent": _swe_agent,
    "tau": _tau,
    "thoughts": runs.thoughts,
    "tora": logs.tora,
}
