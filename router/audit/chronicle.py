"""What the service tells the log beside its steps, and what their records refer to: policies, engines, vocabularies."""

from __future__ import annotations

import dataclasses
import hashlib
import platform
import re
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import cache, partial
from importlib.metadata import version
from typing import Protocol

from triroute.proto import audit_pb2, engine_pb2
from triroute.router.audit import events
from triroute.router.audit.body import vocabulary
from triroute.router.audit.store import Kind
from triroute.router.audit.writer import RecordWriter
from triroute.router.policy.store import Change
from triroute.router.settings import Settings
from triroute.router.types import Decision

_SECRET = re.compile(r"(?<=://)[^/@]*@")


class Engine(Protocol):
    """An engine that just began to serve."""

    description: engine_pb2.Description
    restarts: int

    async def vocabulary(self) -> bytes:
        """The text of all tokens, a TokenTextResponse; empty where it does not say."""


class Chronicle:
    """One for a service. `engine_sha256`, `vocabulary_sha256` (hex) and `words` are the running engine's."""

    def __init__(self, records: RecordWriter, settings: Settings) -> None:
        self.records = records
        self.engine_sha256 = self.vocabulary_sha256 = ""
        self.words: Callable[[], dict[int, str]] = dict  # the text of each token, parsed when first asked for
        self._settings = settings
        self._address = self._checkpoint = ""

    def started(self, address: str, policy: str) -> None:
        """The service serves, by the policy of this revision."""
        self._address = address
        told = audit_pb2.ServiceStarted(
            version=version("triroute"),
            host=socket.gethostname(),
            address=address,
            settings=plain(self._settings),
            platform=f"Python {platform.python_version()}, {platform.platform()}",
        )
        self.records.append_event(events.STARTED, told)
        first = audit_pb2.PolicyChanged(revision=policy, author=str(self._settings.policy), source="start")
        self.records.append_event(events.POLICY, first)

    def stopped(self) -> None:
        """It ends, if it had begun."""
        if not self._address:
            return
        told = audit_pb2.ServiceStopped(host=socket.gethostname(), address=self._address)
        self.records.append_event(events.STOPPED, told)

    def policy_changed(self, change: Change, refused: str) -> None:
        """This router took a change of the policy, or could not."""
        told = audit_pb2.PolicyChanged(
            revision=change.revision,
            before=change.previous,
            author=change.author,
            reason=change.reason,
            source=change.kind.value,
            candidate=change.candidate.dumps() if change.candidate else "",
            refused=refused,
        )
        self.records.append_event(events.POLICY, told)

    def purging(self, request_ids: Sequence[str]) -> Future[None]:
        """Captured requests grew old, and go once this is on the disk."""
        told = audit_pb2.ContentRedacted(
            request_ids=request_ids, count=len(request_ids), reason="older than content_days", author="the service"
        )
        return self.records.append_event_durably(events.REDACTED, told)

    def decided(self, decision: Decision) -> None:
        """A record will refer to this decision's policy."""
        self.records.keep(Kind.POLICY, decision.policy_revision, decision.canonical.encode())

    async def engine_started(self, engine: Engine) -> None:
        """An engine serves, the first or a successor."""
        described = engine.description
        body = described.SerializeToString(deterministic=True)
        sha256 = hashlib.sha256(body).hexdigest()
        if described.checkpoint_sha256 != self._checkpoint or not self.vocabulary_sha256:
            self._checkpoint = described.checkpoint_sha256
            words = await engine.vocabulary()
            self.vocabulary_sha256 = hashlib.sha256(words).hexdigest() if words else ""
            self.words = cache(partial(vocabulary, words))
            if words:
                self.records.keep(Kind.VOCABULARY, self.vocabulary_sha256, words)
        self.engine_sha256 = sha256
        self.records.keep(Kind.ENGINE, sha256, body)
        told = audit_pb2.EngineStarted(
            engine_sha256=sha256,
            model=described.model,
            checkpoint_sha256=described.checkpoint_sha256,
            adapter_sha256=described.adapter_sha256,
            version=described.version,
            restarts=engine.restarts,
        )
        self.records.append_event(events.ENGINE, told)


def plain(settings: Settings) -> dict[str, str]:
    """Settings as text, without those that are secrets and what stands before the @ of an address."""
    values = {field.name: getattr(settings, field.name) for field in dataclasses.fields(settings) if field.repr}
    return {name: _SECRET.sub("", _text(value)) for name, value in values.items() if value not in (None, "")}


def _text(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
