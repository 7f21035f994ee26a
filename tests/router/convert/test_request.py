"""What a request says, and what it leaves open."""

from __future__ import annotations

from triroute.proto import router_pb2
from triroute.router.convert.request import to_request
from triroute.router.types import FormatKind, Sampling, StepKind, ToolChoice, ToolChoiceKind

from .asked import Hints, Shape, ask, tool


def test_defaults() -> None:
    request = to_request(ask())
    assert request.sampling == Sampling()
    assert request.tool_choice == ToolChoice(ToolChoiceKind.NONE)
    assert to_request(ask(tools=[tool()])).tool_choice == ToolChoice(ToolChoiceKind.AUTO)
    assert to_request(ask(response_format=Shape(regex="a+"))).response_format.kind is FormatKind.REGEX


def test_absent_and_zero_differ() -> None:
    assert to_request(ask(hints=Hints())).hints.block_length is None
    hints = to_request(ask(hints=Hints(block_length=0, step=router_pb2.STEP_KIND_CODE))).hints
    assert (hints.block_length, hints.step, hints.mode) == (0, StepKind.CODE, None)


def test_what_only_policies_look_at() -> None:
    asked = to_request(ask(tenant="acme", expected_tokens=0, latency_class=3, first_token_ms=250))  # type: ignore[arg-type]
    assert (asked.tenant, asked.expected_tokens, asked.latency_class, asked.first_token_ms) == ("acme", 0, "batch", 250)
    silent = to_request(ask())
    assert (silent.tenant, silent.expected_tokens, silent.latency_class, silent.first_token_ms) == (
        "",
        None,
        None,
        None,
    )
