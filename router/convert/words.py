"""What the numbers of the protobufs' enumerations are called here."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.types import (
    Arm,
    DraftSource,
    LatencyClass,
    Mode,
    Role,
    SegmentKind,
    StepKind,
    ToolChoiceKind,
    Variant,
    Verification,
)

MODES = {
    decoding_pb2.MODE_AUTOREGRESSIVE: Mode.AUTOREGRESSIVE,
    decoding_pb2.MODE_DIFFUSION: Mode.DIFFUSION,
    decoding_pb2.MODE_SELF_SPECULATION: Mode.SELF_SPECULATION,
}
VARIANTS = {decoding_pb2.VARIANT_LINEAR: Variant.LINEAR, decoding_pb2.VARIANT_QUADRATIC: Variant.QUADRATIC}
VERIFICATIONS = {
    decoding_pb2.VERIFICATION_EXACT: Verification.EXACT,
    decoding_pb2.VERIFICATION_RELAXED: Verification.RELAXED,
}
SOURCES = {
    decoding_pb2.DRAFT_SOURCE_DIFFUSION: DraftSource.DIFFUSION,
    decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP: DraftSource.PROMPT_LOOKUP,
}
STEPS = {
    router_pb2.STEP_KIND_UNKNOWN: StepKind.UNKNOWN,
    router_pb2.STEP_KIND_PLAN: StepKind.PLAN,
    router_pb2.STEP_KIND_TOOL_CALL: StepKind.TOOL_CALL,
    router_pb2.STEP_KIND_CODE: StepKind.CODE,
    router_pb2.STEP_KIND_PROSE: StepKind.PROSE,
}
ARMS = {
    router_pb2.ARM_UNSPECIFIED: Arm.NONE,
    router_pb2.ARM_STABLE: Arm.STABLE,
    router_pb2.ARM_CANARY: Arm.CANARY,
}
SEGMENTS = {
    decoding_pb2.SEGMENT_KIND_PROSE: SegmentKind.PROSE,
    decoding_pb2.SEGMENT_KIND_CODE: SegmentKind.CODE,
    decoding_pb2.SEGMENT_KIND_TOOL_CALL: SegmentKind.TOOL_CALL,
    decoding_pb2.SEGMENT_KIND_THINKING: SegmentKind.THINKING,
    decoding_pb2.SEGMENT_KIND_PLAN: SegmentKind.PLAN,
}
ROLES = {
    chat_pb2.ROLE_SYSTEM: Role.SYSTEM,
    chat_pb2.ROLE_USER: Role.USER,
    chat_pb2.ROLE_ASSISTANT: Role.ASSISTANT,
    chat_pb2.ROLE_TOOL: Role.TOOL,
}
LATENCIES = {
    router_pb2.LATENCY_CLASS_INTERACTIVE: LatencyClass.INTERACTIVE,
    router_pb2.LATENCY_CLASS_STANDARD: LatencyClass.STANDARD,
    router_pb2.LATENCY_CLASS_BATCH: LatencyClass.BATCH,
}
CHOICES = {
    chat_pb2.ToolChoice.KIND_AUTO: ToolChoiceKind.AUTO,
    chat_pb2.ToolChoice.KIND_NONE: ToolChoiceKind.NONE,
    chat_pb2.ToolChoice.KIND_REQUIRED: ToolChoiceKind.REQUIRED,
    chat_pb2.ToolChoice.KIND_NAMED: ToolChoiceKind.NAMED,
}

Known = TypeVar("Known")
Number = TypeVar("Number", bound=int)


def number_of(names: Mapping[Number, Known], name: Known) -> Number:
    """The protobuf's number of one of ours."""
    return next(number for number, known in names.items() if known == name)


def named(names: Mapping[Number, StrEnum]) -> dict[int, str]:
    """Ours by the protobuf's number."""
    return {int(number): name.value for number, name in names.items()}
