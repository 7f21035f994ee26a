"""What the log holds beside steps: events of the service, and of the log itself."""

from __future__ import annotations

import time

from google.protobuf.message import Message

from triroute.proto import audit_pb2

STARTED, STOPPED = "service.started", "service.stopped"
POLICY, ENGINE = "policy.changed", "engine.started"
REDACTED = "content.redacted"
GAP, IMPORTED, PRUNED = "log.gap", "log.imported", "log.pruned"


def event(kind: str, detail: Message) -> audit_pb2.AuditEvent:
    """One that happens now."""
    told = audit_pb2.AuditEvent(at_us=time.time_ns() // 1000, kind=kind)
    told.detail.Pack(detail, deterministic=True)
    return told
