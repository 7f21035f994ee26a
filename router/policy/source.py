"""A policy's file, with the candidate that it names."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from triroute.router.errors import InvalidPolicy
from triroute.router.policy.load import Policy, parse_safely, read_text
from triroute.router.policy.store import digest
from triroute.router.policy.trial import Candidate, Key
from triroute.router.policy.vocabulary import Rollout


@dataclass(frozen=True, slots=True)
class PolicySource:
    """`mark` differs when the policy or its rollout does. `problem`: why there is no candidate, where one is named."""

    text: str
    policy: Policy
    mark: str
    candidate: Candidate | None = field(default=None, compare=False)  # each reading makes another trial
    candidate_text: str = ""
    problem: str = ""


def read_source(path: Path) -> PolicySource:
    """Raises InvalidPolicy where the policy itself can't be used; without its candidate it can."""
    text = read_text(path)
    policy = parse_safely(text, str(path))
    rollout = policy.file.rollout
    if rollout is None:
        return PolicySource(text, policy, policy.revision)
    try:
        candidate, candidate_text = read_candidate(rollout, policy, path)
    except InvalidPolicy as error:
        return PolicySource(text, policy, policy.revision, problem=error.message)
    mark = digest(f"{policy.revision} {rollout.model_dump_json()} {candidate.revision}")
    return PolicySource(text, policy, mark, candidate, candidate_text)


def read_candidate(rollout: Rollout, active: Policy, path: Path) -> tuple[Candidate, str]:
    """The candidate of the policy file at `path`, and its text. Raises InvalidPolicy."""
    file = candidate_path(rollout, path)
    text = read_text(file)
    revision = parse_safely(text, str(file)).revision
    return candidate_of(rollout, revision, active, str(file)), text


def candidate_of(rollout: Rollout, revision: str, active: Policy, file: str) -> Candidate:
    """The candidate with this revision, as `rollout` wants it tried. Raises InvalidPolicy."""
    if revision == active.revision:
        raise InvalidPolicy(f"{file}:1:1: means the same as the policy that names it; there is nothing to try")
    limits = rollout.abort_if
    return Candidate(revision, rollout.percent, Key(rollout.key), limits.error_ratio, limits.latency_ratio)


def candidate_path(rollout: Rollout, path: Path) -> Path:
    """Where the candidate's file is."""
    return path.parent / rollout.candidate
