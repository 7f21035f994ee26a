"""A policy file to a frozen `Policy`, or findings that say where and what."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from triroute.router.errors import InvalidPolicy, TrirouteError
from triroute.router.policy import document
from triroute.router.policy.compile import Compiled, compile_policy
from triroute.router.policy.document import Document
from triroute.router.policy.explain_schema import explain
from triroute.router.policy.findings import Finding, Severity
from triroute.router.policy.vocabulary import PolicyFile

log = logging.getLogger("triroute.policy")


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy, ready to decide. `canonical` is its meaning: order of keys, comments don't count.

    `revision` is the SHA-256 of that.
    """

    file: PolicyFile
    canonical: str = field(repr=False)
    revision: str
    compiled: Compiled = field(compare=False, repr=False)
    allowed: frozenset[str] = field(compare=False, repr=False)

    @classmethod
    def of(cls, file: PolicyFile) -> Policy:
        """Compile a parsed file."""
        meaning = file.model_dump(mode="json", by_alias=True, exclude_none=True, exclude={"rollout"})
        canonical = json.dumps(meaning, sort_keys=True)
        revision = hashlib.sha256(canonical.encode()).hexdigest()
        return cls(file, canonical, revision, compile_policy(file), frozenset(file.hints.allow))

    @classmethod
    def of_canonical(cls, canonical: str) -> Policy:
        """What `canonical` was made of. Raises ValueError for anything else."""
        return cls.of(PolicyFile.model_validate_json(canonical))

    @property
    def name(self) -> str:
        return self.file.metadata.name


@dataclass(frozen=True, slots=True)
class Checked:
    """What a text holds: the policy, or None where `findings` say why it is not one."""

    policy: Policy | None
    document: Document
    findings: tuple[Finding, ...]


def load(path: Path) -> Policy:
    """Read a policy file. Raises InvalidPolicy."""
    return parse(read_text(path), str(path))


def parse(text: str, source: str) -> Policy:
    """Parse a policy. Raises InvalidPolicy with `SOURCE:LINE:COLUMN: ...`, one line an error."""
    checked = check(text, source)
    if checked.policy is None:
        raise InvalidPolicy("\n".join(map(str, checked.findings)))
    return checked.policy


def parse_safely(text: str, source: str) -> Policy:
    """`parse`, where a bug in it refuses the policy too. Raises InvalidPolicy."""
    try:
        return parse(text, source)
    except TrirouteError:
        raise
    except Exception as error:
        log.exception("%s can't be parsed by a bug of ours", source)
        raise InvalidPolicy(f"{source}:1:1: can't be parsed ({type(error).__name__}); the log has more") from error


def read_text(path: Path) -> str:
    """The file's text. Raises InvalidPolicy."""
    found = read_or_find(path)
    if isinstance(found, Finding):
        raise InvalidPolicy(str(found))
    return found


def read_or_find(path: Path) -> str | Finding:
    """The file's text, or why it can't be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        message, hint = f"can't be read: {error.strerror}", "name a policy file"
    except UnicodeDecodeError:
        message, hint = "is not UTF-8 text", "save it as UTF-8"
    return Finding("unreadable", Severity.ERROR, str(path), 1, 1, "", message, hint)


def check(text: str, source: str) -> Checked:
    """Parse a policy, or find what is wrong with it."""
    try:
        read = document.read(text)
    except document.NotADocument as error:
        finding = Finding("not-yaml", Severity.ERROR, source, error.line, error.column, "", str(error))
        return Checked(None, Document(None, {}), (finding,))
    try:
        file = PolicyFile.model_validate(read.data)
    except ValidationError as error:
        return Checked(None, read, explain(error, read, source, PolicyFile))
    findings = tuple(_check_rules(read, file, source))
    return Checked(None if findings else Policy.of(file), read, findings)


def _check_rules(read: Document, file: PolicyFile, source: str) -> list[Finding]:
    found, seen = [], set[str]()
    for index, rule in enumerate(file.rules):
        if rule.id in seen:
            at = read.at(("rules", index, "id"))
            message = f"rule id {rule.id!r} is used twice"
            found.append(Finding("duplicate-id", Severity.ERROR, source, *at, "", message, "rename one"))
        seen.add(rule.id)
    last = file.rules[-1]
    if last.when is not None or last.enforcement != "enforce":
        at = read.at(("rules", len(file.rules) - 1))
        message = f"the last rule ({last.id}) must be unconditional and enforced, so that every step is decided"
        hint = "add a rule with `use` and no `when`"
        found.append(Finding("missing-default", Severity.ERROR, source, *at, "", message, hint))
    return found
