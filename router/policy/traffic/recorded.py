"""Records as decisions that can be made again, and the engine that they ran on."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from triroute.proto import decoding_pb2, engine_pb2, router_pb2
from triroute.router.audit.store import RecordStore
from triroute.router.convert.plan import to_plan
from triroute.router.features import Features, read
from triroute.router.loads import to_held
from triroute.router.policy.load import Policy
from triroute.router.types import DecodePlan, Held, Load, Step


@dataclass(frozen=True)
class Recorded:
    """One step: what its decision was made of, and what happened."""

    record: router_pb2.Record
    features: Features
    step: Step
    load: Load

    @classmethod
    def of(cls, record: router_pb2.Record) -> Recorded | None:
        """None for a record that does not hold what its decision was made of."""
        return cls(record, *read(record.features)) if record.HasField("features") else None

    def held(self, policy: Policy) -> Held | None:
        """The load that its session held, under a policy that lets sessions hold one."""
        decision = self.record.decision
        known = policy.file.session is not None and decision.HasField("held")
        return to_held(decision.held) if known else None

    @property
    def id(self) -> str:
        return self.record.request_id

    @property
    def ran(self) -> bool:
        """Whether it ran to its own end, with more than one token."""
        aborted = self.record.finish.reason == decoding_pb2.FINISH_REASON_ABORTED
        return self.record.HasField("finish") and not aborted and not self.resumed and len(self.record.token_ids) > 1

    @property
    def resumed(self) -> bool:
        return bool(self.record.finish.resumes)

    @cached_property
    def plan(self) -> DecodePlan:
        """What it ran as."""
        return to_plan(self.record.decision.plan)

    @cached_property
    def decoding(self) -> list[decoding_pb2.PassRecord]:
        """The passes after the prompt's last."""
        kinds = (decoding_pb2.PassRecord.KIND_PREFILL, decoding_pb2.PassRecord.KIND_FORCED)
        return [made for made in self.record.passes if made.kind not in kinds][1:]

    @cached_property
    def tokens(self) -> int:
        """Output tokens that the passes after the prompt's last had to find: neither the first, nor forced ones."""
        return max(len(self.record.token_ids) - sum(len(made.forced) for made in self.record.passes) - 1, 1)

    @cached_property
    def others(self) -> float:
        """How many other requests shared its passes, on average."""
        return sum(made.batch - 1 for made in self.decoding) / max(len(self.decoding), 1)

    @cached_property
    def keys(self) -> float:
        """Tokens that a pass saw in the cache, on average."""
        return self.record.finish.usage.prompt_tokens + len(self.record.token_ids) / 2

    @property
    def decode_seconds(self) -> float:
        """From the end of the prompt to the end."""
        return self.record.finish.timings.decode_us / 1e6

    @property
    def before_seconds(self) -> float:
        """From arrival to the end of the prompt."""
        return (self.record.finish.timings.queue_us + self.record.finish.timings.prefill_us) / 1e6


@dataclass(frozen=True)
class Traffic:
    """Steps in the order of their arrival. `left_out`: records of older versions, which can't be decided again.

    `engine` is the one of the newest step; `alike` are the digests of those with its checkpoint and adapter.
    """

    steps: tuple[Recorded, ...]
    left_out: int = 0
    engine: engine_pb2.Description = field(default_factory=engine_pb2.Description)
    alike: frozenset[str] = frozenset()

    @cached_property
    def ran(self) -> tuple[Recorded, ...]:
        """Those that ran to their own end, on an engine like the newest."""
        return tuple(step for step in self.steps if step.ran and step.record.engine_sha256 in self.alike)


def read_traffic(store: RecordStore, most: int) -> Traffic:
    """The newest records. Raises NotFound for a file that is no store."""
    records = store.latest(most)
    found = [step for step in map(Recorded.of, records) if step is not None]
    digests = dict.fromkeys(step.record.engine_sha256 for step in found)
    engines = {digest: engine_pb2.Description.FromString(store.kept(digest) or b"") for digest in digests}
    newest = next(iter(engines.values()), engine_pb2.Description())
    alike = frozenset(digest for digest, engine in engines.items() if _model(engine) == _model(newest))
    ordered = tuple(sorted(found, key=lambda step: step.record.arrived_us))
    return Traffic(ordered, len(records) - len(found), newest, alike)


def kept_policy(store: RecordStore, revision: str) -> Policy | None:
    """The policy of a revision, as decisions under it left it in the store."""
    canonical = store.kept(revision)
    return Policy.of_canonical(canonical.decode()) if canonical else None


def _model(engine: engine_pb2.Description) -> tuple[str, str]:
    return engine.checkpoint_sha256, engine.adapter_sha256
