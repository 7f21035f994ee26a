"""Which agent framework sent a request, by marks that its prompts and tools carry. A closed set: it labels metrics."""

from __future__ import annotations

from triroute.router.types import Request, Role

OTHER = "other"
_TAG = "framework:"  # a tag `framework:NAME` says it outright
_MARKS = {  # in the first characters of the system prompt, or of the first message where there is none
    "crewai": ("Your personal goal is:", "This is the expected criteria for your final answer"),
    "smolagents": ("You are an expert assistant who can solve any task using", "code blobs"),
    "swe-agent": ("SETTING: You are an autonomous programmer", "interact with a computer to solve tasks"),
    "openhands": ("You are OpenHands agent",),
    "langchain": (
        "Use the following format:\n\nQuestion:",
        "Respond to the human as helpfully and accurately as possible",
    ),
    "llamaindex": ("You are designed to help with a variety of tasks",),
    "autogen": ('Reply "TERMINATE" in the end when everything is done', "Reply with TERMINATE"),
    "tau-bench": ("agent policy\n", "# Retail agent", "# Airline Agent"),
}
_TOOLS = {
    "final_result": "pydantic-ai",
    "final_answer": "smolagents",
    "execute_bash": "openhands",
    "str_replace_editor": "openhands",
    "delegate_work_to_coworker": "crewai",
    "transfer_to_human_agents": "tau-bench",
}
FRAMEWORKS = frozenset({OTHER, *_MARKS, *_TOOLS.values()})
_HEAD = 2_000


def framework(request: Request) -> str:
    """One of FRAMEWORKS."""
    for tag in request.tags:
        if tag.startswith(_TAG):
            return tag.removeprefix(_TAG) if tag.removeprefix(_TAG) in FRAMEWORKS else OTHER
    for tool in request.tools:
        if tool.name in _TOOLS:
            return _TOOLS[tool.name]
    first = request.text or next((m.content for m in request.messages if m.role in (Role.SYSTEM, Role.USER)), "")
    head = first[:_HEAD]
    return next((name for name, marks in _MARKS.items() if any(mark in head for mark in marks)), OTHER)
