"""Test files to cases: parsed, their tables unrolled, their requests built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from triroute.proto import router_pb2
from triroute.router.errors import InvalidPolicy, InvalidRequest
from triroute.router.policy import document
from triroute.router.policy.explain_schema import explain
from triroute.router.policy.load import read_text
from triroute.router.policy.testing.vocabulary import Expect, GivenLoad, GivenStep, Row, TestFile
from triroute.router.prompts import build, check_keys
from triroute.router.types import FleetLoad, Load, Step, StepKind

SUFFIX = "_test"
_ANY_REQUEST = {"prompt": "(the case names a step, and no request)"}


@dataclass(frozen=True, slots=True)
class Test:
    """One row of a case. `step` None leaves the class to the classifier; `loads` are seen in order.

    `held` is the load that the session holds, None for none.
    """

    __test__ = False  # not pytest's

    name: str
    line: int
    column: int
    message: router_pb2.GenerateRequest
    step: Step | None
    loads: tuple[Load, ...]
    held: Load | None
    expect: Expect


@dataclass(frozen=True, slots=True)
class Suite:
    """A test file. `coverage`: the least share of rules that must be reached."""

    path: Path
    policy: Path
    coverage: float
    tests: tuple[Test, ...]


def beside(policy: Path) -> Path:
    """Where the tests of a policy are looked for."""
    return policy.with_name(f"{policy.stem}{SUFFIX}{policy.suffix}")


def read_suite(path: Path) -> Suite:
    """Parse a test file. Raises InvalidPolicy, with places."""
    source = str(path)
    try:
        read = document.read(read_text(path))
    except document.NotADocument as error:
        raise InvalidPolicy(f"{source}:{error.line}:{error.column}: {error}") from error
    try:
        file = TestFile.model_validate(read.data)
    except ValidationError as error:
        raise InvalidPolicy("\n".join(map(str, explain(error, read, source, TestFile)))) from error
    tests = []
    for index, case in enumerate(file.cases):
        for number, row in enumerate(case.table or [Row()]):
            place = ("cases", index, "table", number) if case.table else ("cases", index)
            line, column = read.at(place)
            name = f"{case.name}: {row.name or f'row {number + 1}'}" if case.table else case.name
            tests.append(_test(case, row, name, line, column, source))
    policy = path.with_name(file.policy or f"{path.stem.removesuffix(SUFFIX)}{path.suffix}")
    return Suite(path, policy, file.coverage, tuple(tests))


def _test(case: Row, row: Row, name: str, line: int, column: int, source: str) -> Test:
    asked: dict[str, Any] = {**(case.request or {}), **(row.request or {})} or dict(_ANY_REQUEST)
    if not {"prompt", "messages"} & asked.keys():
        asked |= _ANY_REQUEST
    where = f"{source}:{line}:{column}: case {name!r}"
    try:
        check_keys(asked, where)
        message = build(asked, where)
    except InvalidRequest as error:
        raise InvalidPolicy(error.message) from error
    loads = row.load or case.load or GivenLoad()
    series = loads if isinstance(loads, list) else [loads]
    expected = {**_given(case.expect), **_given(row.expect)}
    return Test(
        *(name, line, column, message, _step(row.step or case.step)),
        tuple(map(_load, series)),
        _load(held) if (held := row.held or case.held) else None,
        Expect.model_construct(set(expected), **expected),
    )


def _load(given: GivenLoad) -> Load:
    fleet = FleetLoad(**dict(given.fleet)) if given.fleet else None
    return Load(given.running, given.waiting, given.cache_used, fleet=fleet)


def _given(expect: Expect | None) -> dict[str, Any]:
    return {name: getattr(expect, name) for name in expect.model_fields_set} if expect else {}


def _step(given: str | GivenStep | None) -> Step | None:
    if given is None:
        return None
    step = GivenStep(kind=given) if isinstance(given, str) else given  # type: ignore[arg-type]  # a StepName
    return Step(StepKind(step.kind), step.confidence, ("given by the test",))
