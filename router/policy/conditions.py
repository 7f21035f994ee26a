"""A rule's conditions: the first that fails, in words, with the actual value."""

from __future__ import annotations

from collections.abc import Iterator

from triroute.router.policy.vocabulary import LoadWhen, Range, Tags, When
from triroute.router.types import FormatKind, Load, Request, Step


def first_failure(when: When | None, request: Request, step: Step, load: Load) -> str | None:
    """Why the conditions do not hold; None when they do."""
    if when is None:
        return None
    return next(_failures(when, request, step, load), None)


def _failures(when: When, request: Request, step: Step, load: Load) -> Iterator[str]:
    if when.step is not None:
        wanted = [when.step] if isinstance(when.step, str) else when.step
        if step.kind not in wanted:
            yield f"step is {step.kind}, wanted {' or '.join(wanted)}"
    yield from _outside("confidence", step.confidence, when.confidence)
    yield from _differs("tools", bool(request.tools), when.tools)
    yield from _differs("tool_choice", request.tool_choice.kind.value, when.tool_choice)
    yield from _differs("schema", request.response_format.kind is not FormatKind.NONE, when.schema_)
    yield from _differs("session", bool(request.session_id), when.session)
    last_role = request.messages[-1].role.value if request.messages else "none"
    yield from _differs("last_role", last_role, when.last_role)
    yield from _outside("max_tokens", request.sampling.max_tokens, when.max_tokens)
    if when.tags is not None:
        yield from _tags(request.tags, when.tags)
    if when.load is not None:
        yield from _load(load, when.load)


def _tags(tags: frozenset[str], wanted: Tags) -> Iterator[str]:
    has = f"tags are {', '.join(sorted(tags)) or 'none'}"
    if wanted.any and tags.isdisjoint(wanted.any):
        yield f"{has}, wanted any of {', '.join(wanted.any)}"
    if not tags.issuperset(wanted.all):
        yield f"{has}, wanted all of {', '.join(wanted.all)}"
    if not tags.isdisjoint(wanted.none):
        yield f"{has}, wanted none of {', '.join(wanted.none)}"


def _load(load: Load, wanted: LoadWhen) -> Iterator[str]:
    yield from _outside("load.running", load.running, wanted.running)
    yield from _outside("load.waiting", load.waiting, wanted.waiting)
    yield from _outside("load.cache_used", load.cache_used, wanted.cache_used)


def _differs(name: str, actual: object, wanted: object) -> Iterator[str]:
    if wanted is not None and actual != wanted:
        yield f"{name} is {_word(actual)}, wanted {_word(wanted)}"


def _outside(name: str, actual: float, wanted: Range | None) -> Iterator[str]:
    if wanted is None:
        return
    if wanted.lt is not None and not actual < wanted.lt:
        yield f"{name} is {actual:g}, wanted less than {wanted.lt:g}"
    if wanted.lte is not None and not actual <= wanted.lte:
        yield f"{name} is {actual:g}, wanted at most {wanted.lte:g}"
    if wanted.gt is not None and not actual > wanted.gt:
        yield f"{name} is {actual:g}, wanted more than {wanted.gt:g}"
    if wanted.gte is not None and not actual >= wanted.gte:
        yield f"{name} is {actual:g}, wanted at least {wanted.gte:g}"


def _word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
