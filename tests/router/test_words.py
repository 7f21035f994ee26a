"""Enums in words: each name without what all names of its enum begin with."""

from __future__ import annotations

import pytest

from triroute.proto import decoding_pb2, policy_admin_pb2, router_pb2
from triroute.router.words import word


def test_every_kind_of_enum() -> None:
    assert word(decoding_pb2.Mode, decoding_pb2.MODE_SELF_SPECULATION) == "self_speculation"
    assert word(decoding_pb2.PassRecord.Kind, decoding_pb2.PassRecord.KIND_PREFILL) == "prefill"
    assert word(router_pb2.StepKind, router_pb2.STEP_KIND_UNKNOWN) == "unknown"
    assert word(router_pb2.StepKind, router_pb2.STEP_KIND_TOOL_CALL) == "tool_call"
    assert word(router_pb2.Check.Result, router_pb2.Check.RESULT_NOT_CHECKED) == "not_checked"
    assert word(policy_admin_pb2.CanaryKey, 0) == "unspecified"


def test_value_that_the_enum_has_not() -> None:
    with pytest.raises(ValueError, match="99"):
        word(decoding_pb2.Mode, 99)
