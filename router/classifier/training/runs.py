"""How the runs of agents that experiments keep, and answers that were preferred, become examples."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from triroute.router.classifier.training.chats import Example, example, steps_of, to_messages
from triroute.router.classifier.training.sources import Source
from triroute.router.types import Message, Request, Role, Sampling

Files = Iterable[tuple[str, bytes]]  # path and content

_SYSTEM_END = "#SYSTEM_MSG_END#"  # MetaGPT's own mark between instructions and ask


def mint(source: Source, files: Files) -> Iterator[Example]:
    """MINT: a thought, then code to execute or a solution, in tags."""
    for path, content in files:
        for number, line in enumerate(filter(None, content.decode("utf-8", "replace").split("\n"))):
            messages = tuple(to_messages(json.loads(line)["state"]["history"]))
            bare = tuple(_without_name(message) for message in messages)
            yield from steps_of(bare, (), source.name, source.framework, f"{path}:{number}")


def _without_name(message: Message) -> Message:
    """The experiment put who speaks before each answer."""
    if message.role is not Role.ASSISTANT:
        return message
    return Message(Role.ASSISTANT, message.content.removeprefix("Assistant:").lstrip())


def thoughts(source: Source, files: Files) -> Iterator[Example]:
    """Tree of Thoughts: plans of a text, which stop before the text; and texts after a plan."""
    kept = dict(files)
    told = next(content for path, content in kept.items() if path.endswith(".py")).decode()
    asked = told[told.index("cot_prompt") :].split("'''")[1]
    for path, content in kept.items():
        for run in [] if path.endswith(".py") else json.loads(content):
            for step in run["steps"]:
                stop = () if step["step"] else ("\nPassage:\n",)
                for said in step["new_ys"]:
                    given = next((plan for plan in step["ys"] if said.startswith(plan)), "")
                    prompt = asked.format(input=step["x"]) + given
                    request = Request((Message(Role.USER, prompt),), sampling=Sampling(stop=stop))
                    session = f"{path}:{run['idx']}"
                    yield from example(request, said[len(given) :], False, source.name, source.framework, session)


def metagpt(source: Source, files: Files) -> Iterator[Example]:
    """MetaGPT keeps the answers of its tests by prompt: a text, with instructions before a mark, or messages."""
    for _, content in files:
        for number, (prompt, said) in enumerate(json.loads(content).items()):
            if not isinstance(said, str):
                continue
            system, _, ask = prompt.rpartition(_SYSTEM_END)
            listed: Any = None
            if prompt.startswith("[{"):
                try:
                    listed = json.loads(prompt)
                except ValueError:
                    continue
            head = (Message(Role.SYSTEM, system),) if system.strip() else ()
            messages = tuple(to_messages(listed)) if listed else (*head, Message(Role.USER, ask))
            if any(message.content.strip() for message in messages):
                yield from example(Request(messages), said, False, source.name, source.framework, str(number))


def preferences(source: Source, files: Files) -> Iterator[Example]:
    """Conversations in LLaMA-Factory's spellings, and the answer that was preferred."""
    for path, content in files:
        text = content.decode("utf-8", "replace")
        listed = json.loads(text) if path.endswith(".json") else [json.loads(one) for one in text.splitlines() if one]
        for number, one in enumerate(listed):
            turns = one.get("conversations") or one.get("messages") or ()
            messages = tuple(to_messages(_plain(turn) for turn in turns))
            session = f"{path}:{number}"
            if "chosen" in one:
                said = str(one["chosen"]["value"])
                yield from example(Request(messages), said, False, source.name, source.framework, session)
            else:
                yield from steps_of(messages, (), source.name, source.framework, session)


def _plain(turn: dict[str, Any]) -> dict[str, Any]:
    """A turn in the providers' spelling."""
    content = turn.get("value", turn.get("content"))
    if isinstance(content, list):
        content = "\n".join(str(part.get("value", "")) for part in content if part.get("type") == "text")
    return {"role": turn.get("from") or turn.get("role"), "content": content}
