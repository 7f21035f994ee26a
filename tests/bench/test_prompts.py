"""What the engines are asked."""

from __future__ import annotations

import pytest

from triroute.bench.jobs import renewed
from triroute.bench.prompts import Prompts
from triroute.engine.checkpoints import default_checkpoint
from triroute.engine.engine import Engine
from triroute.engine.grammar import compile_format
from triroute.engine.types import FormatKind, ResponseFormat
from triroute.kernels.cpu.attention import PAGE


@pytest.fixture(scope="module")
def prompts() -> Prompts:
    return Prompts(default_checkpoint())


def test_long_prompts_share_no_page(prompts: Prompts) -> None:
    first, second = prompts.long(1000), prompts.long(1000)
    assert len(first) == len(second) == 1000
    assert first[:PAGE] != second[:PAGE]
    assert first[PAGE:] == second[PAGE:]


def test_renewed_prompts_differ_for_long() -> None:
    ids = tuple(range(10))
    assert len({renewed(ids, number) for number in range(20_000)}) == 20_000


def test_agent_steps_cover_the_kinds(prompts: Prompts) -> None:
    names = [name for name, _ in prompts.agent_steps]
    assert len(names) >= 12
    assert {name.partition("-")[0] for name in names} == {"plan", "tool", "code", "prose", "summary"}
    assert max(len(ids) for _, ids in prompts.agent_steps) > 600


def test_tool_schemas_compile(prompts: Prompts, engine: Engine) -> None:
    assert len(prompts.tool_calls) == 6
    for case in prompts.tool_calls:
        assert compile_format(ResponseFormat(FormatKind.JSON_SCHEMA, case.schema), engine.tokenizer)
