"""Measures, one file each, and the one list of them."""

from __future__ import annotations

from triroute.bench.measure import Measure
from triroute.bench.measures.agent_steps import AgentSteps
from triroute.bench.measures.ar import Autoregressive
from triroute.bench.measures.first_token import FirstToken, FirstTokenCached
from triroute.bench.measures.grammar import Grammar
from triroute.bench.measures.hf_generate import HuggingFaceGenerate
from triroute.bench.measures.memory import Memory
from triroute.bench.measures.prefill_storm import PrefillStorm
from triroute.bench.measures.records import Records
from triroute.bench.measures.streams_8 import EightStreams
from triroute.bench.measures.tool_call_json import ToolCallJson

MEASURES: tuple[Measure, ...] = (
    Autoregressive(),
    AgentSteps(),
    ToolCallJson(),
    EightStreams(),
    FirstToken(),
    FirstTokenCached(),
    HuggingFaceGenerate(),
    Memory(),
    PrefillStorm(),
    Records(),
    Grammar(),
)
QUICK = ("ar", "agent_steps", "tool_call_json", "streams_8", "first_token", "first_token_cached")
