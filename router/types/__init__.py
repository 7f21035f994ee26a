"""The router's domain: frozen types that `convert` makes once, and that nothing else parses again."""

from __future__ import annotations

from triroute.router.types.decision import (
    Arm,
    Capture,
    Clamp,
    Decision,
    Extras,
    HintOutcome,
    PassedOver,
    ShadowDecision,
)
from triroute.router.types.load import (
    FleetLoad,
    Held,
    Load,
    Trip,
)
from triroute.router.types.plan import (
    DecodePlan,
    DraftSource,
    Mode,
    SegmentKind,
    Variant,
    Verification,
)
from triroute.router.types.request import (
    FormatKind,
    Hints,
    LatencyClass,
    Message,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    Tool,
    ToolCall,
    ToolChoice,
    ToolChoiceKind,
)
from triroute.router.types.step import (
    Step,
    StepKind,
)

__all__ = [
    "Arm",
    "Capture",
    "Clamp",
    "Decision",
    "DecodePlan",
    "DraftSource",
    "Extras",
    "FleetLoad",
    "FormatKind",
    "Held",
    "HintOutcome",
    "Hints",
    "LatencyClass",
    "Load",
    "Message",
    "Mode",
    "PassedOver",
    "Request",
    "ResponseFormat",
    "Role",
    "Sampling",
    "SegmentKind",
    "ShadowDecision",
    "Step",
    "StepKind",
    "Tool",
    "ToolCall",
    "ToolChoice",
    "ToolChoiceKind",
    "Trip",
    "Variant",
    "Verification",
]
