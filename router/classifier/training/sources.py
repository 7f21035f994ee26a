"""Where the training data comes from: public repositories and packages, each at a revision, with its licence."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml


@dataclass(frozen=True, slots=True)
class Source:
    """Files of one origin. `at` is a commit, or the version of a package; `reader` names how they are read.

    `framework` is who sent the requests, where no `FRAMEWORK_PATHS` entry knows it from the path.
    """

    name: str
    origin: str
    at: str
    licence: str
    paths: str  # an expression over paths
    reader: str
    framework: str
    most: int = 1_500  # examples


FRAMEWORK_PATHS = tuple(
    (re.compile(pattern), name)
    for pattern, name in (
        (r"smolagents", "smolagents"),
        (r"crewai", "crewai"),
        (r"langgraph|langchain", "langchain"),
        (r"llama-?_?index", "llamaindex"),
        (r"openai[-_]agents", "openai-agents"),
        (r"pydantic[-_]ai", "pydantic-ai"),
        (r"agno", "agno"),
        (r"haystack", "haystack"),
        (r"dspy", "dspy"),
        (r"agent-framework|semantic_kernel|autogen", "autogen"),
        (r"claude-agent-sdk|claude_agent", "claude-agent-sdk"),
    )
)

SOURCES = tuple(Source(**one) for one in yaml.safe_load(Path(__file__).with_name("sources.yaml").read_text("utf-8")))
