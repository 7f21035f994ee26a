"""What lint looks for in single rules: limits, load without hysteresis, settings that nothing runs, risky mixes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from triroute.router.policy import formula
from triroute.router.policy.compile import SEGMENT
from triroute.router.policy.document import Path
from triroute.router.policy.facts import WHOLE
from triroute.router.policy.findings import Severity
from triroute.router.policy.formula import Within
from triroute.router.policy.lint.reach import Reaches
from triroute.router.policy.lint.space import Box, covers
from triroute.router.policy.plan import NUMBERS, merged
from triroute.router.policy.use import Decoding, Segments, Use
from triroute.router.policy.vocabulary import PolicyFile, Rule, globs

# code, severity, place, number of the rule or None, message, hint
Found: TypeAlias = tuple[str, Severity, Path, int | None, str, str]

_OF_THE_WHOLE = ("verification", "grammar", "escalation", "capture", "audit")
_ERROR, _WARNING = Severity.ERROR, Severity.WARNING


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can run. The defaults are those of the engine that ships with this version."""

    modes: frozenset[str] = frozenset({"autoregressive", "diffusion", "self_speculation"})
    variants: frozenset[str] = frozenset({"linear", "quadratic"})
    beyond: frozenset[tuple[str, str]] = frozenset(
        {
            *(
                ("verification", "exact"),
                ("verification", "relaxed"),
                ("grammar", "as_asked"),
                ("segments", "any"),
                ("escalation", "invalid_output"),
            ),
            *(("grammar", "required"), ("grammar", "off")),
            *(("capture", "features"), ("audit", "best_effort"), ("audit", "required")),
        }
    )


def proofs(file: PolicyFile, reaches: Reaches) -> Iterator[Found]:
    """Rules that can never decide."""
    for index, known in enumerate(reaches.rules):
        place: Path = ("rules", index, "id")
        if known.contradiction:
            path, pair = known.contradiction
            both = f"{_words(pair[0])} and {_words(pair[1])} exclude each other" if pair else f"{_words(path)} can't be"
            yield "contradiction", _ERROR, path, index, f"the conditions never hold: {both}", "change or drop the rule"
        elif len(known.covered_by) == 1:
            first = known.covered_by[0]
            message = f"never decides: {first!r} before it takes every step that it matches"
            if index < len(file.rules) - 1 or _unconditional(file, first):
                yield "shadowed-rule", _ERROR, place, index, message, f"move it before {first!r}, or narrow that one"
        elif known.covered_by and index < len(file.rules) - 1:
            names = ", ".join(known.covered_by[:5]) + (" and others" if len(known.covered_by) > 5 else "")
            message = f"never decides: together, {names} take every step that it matches"
            yield "unreachable-rule", _ERROR, place, index, message, "move it up, or drop it"
        for path in known.dead:
            yield "dead-alternative", _WARNING, path, index, f"{_words(path)} can't be; this alternative is dead", ""


def limits(file: PolicyFile) -> Iterator[Found]:
    """Numbers that the policy's own limits would move."""
    for index, path, use in _uses(file):
        for name in NUMBERS:
            asked, (least, most) = getattr(use, name), getattr(file.limits, name)
            if isinstance(asked, int | float) and not least <= asked <= most:
                message = f"{name}: {asked:g} is outside the limits, [{least:g}, {most:g}], and would be clamped"
                yield "outside-limits", _ERROR, (*path, name), index, message, f"use {min(max(asked, least), most):g}"


def flapping(file: PolicyFile) -> Iterator[Found]:
    """Load bounds without a gap between on and off."""
    for index, rule in enumerate(file.rules):
        for atom in formula.atoms(formula.of(rule.when, ("rules", index, "when"))):
            if isinstance(atom, Within) and atom.fact.startswith("load."):
                message = f"{atom.fact} has a bound and no `resume_at`: decisions flap when the load stays near it"
                yield "flapping-load", _WARNING, atom.path, index, message, "add resume_at, some way under the bound"


def sessions(file: PolicyFile) -> Iterator[Found]:
    """A session that holds nothing, and rules whose urgency changes nothing."""
    looking = [_looks_at_load(rule) for rule in file.rules]
    if file.session and not any(looks and not rule.urgent for looks, rule in zip(looking, file.rules, strict=True)):
        message = "sessions hold the load, and no rule that is not urgent looks at it"
        yield "nothing-held", _WARNING, ("session", "sticky"), None, message, "drop `session`"
    for index, (looks, rule) in enumerate(zip(looking, file.rules, strict=True)):
        if rule.urgent and not (looks and file.session):
            missing = "the policy has no `session`" if looks else "the rule has no condition on the load"
            message = f"urgent changes nothing here: {missing}"
            yield "idle-urgency", _WARNING, ("rules", index, "urgent"), index, message, "drop it"


def rates(file: PolicyFile) -> Iterator[Found]:
    """Rates that no tenant has, since others before them name all of theirs."""
    for index, rate in enumerate(file.rates):
        before = [(number, glob) for number, other in enumerate(file.rates[:index]) for glob in globs(other)]
        found = [next((number for number, glob in before if covers(glob, own)), None) for own in globs(rate)]
        if None not in found:
            numbers = " and ".join(str(number + 1) for number in sorted({n for n in found if n is not None}))
            place: Path = ("rates", index, "tenant") if "tenant" in rate.model_fields_set else ("rates", index)
            message = f"no tenant has this rate: number {numbers} in the list names all of its tenants before"
            yield "shadowed-rate", _ERROR, place, None, message, "move it up, or drop it"


def unsupported(file: PolicyFile, engine: Capabilities) -> Iterator[Found]:
    """Settings that no loaded engine can do."""
    for index, path, use in _uses(file):
        for name, known in (("mode", engine.modes), ("variant", engine.variants)):
            asked = getattr(use, name)
            if asked is not None and asked not in known:
                yield _unsupported((*path, name), index, f"{name}: {asked}")
        if not isinstance(use, Use):
            continue
        for name in ("verification", "grammar", "capture", "audit"):
            asked = getattr(use, name)
            if asked is not None and (name, asked) not in engine.beyond:
                yield _unsupported((*path, name), index, f"{name}: {asked}")
        for number, reason in enumerate(use.escalation.on if use.escalation else ()):
            if ("escalation", reason) not in engine.beyond:
                yield _unsupported((*path, "escalation", "on", number), index, f"escalation on {reason}")
        if use.segments is not None and ("segments", "any") not in engine.beyond:
            yield _unsupported((*path, "segments"), index, "segments")


def risks(file: PolicyFile, reaches: Reaches) -> Iterator[Found]:
    """Combinations that parse, run, and are regretted."""
    cell = reaches.space.cell
    calls: Box = {
        "step": cell("step", "tool_call"),
        "schema": cell("schema", False),
        "segment": cell("segment", WHOLE),
    }
    parts: Box = {"segment": cell("segment", "tool_call")}
    for index, rule in enumerate(file.rules):
        use = merged(file.defaults, rule.use)
        loose = use.mode == "diffusion" and use.grammar != "required"
        if loose and reaches.decides_in(index, calls):
            message = "diffusion can decide a tool call without a grammar, and then often writes broken JSON"
            hint = "exclude step: tool_call, or set grammar: required"
            yield "diffusion-tool-call", _WARNING, _place(rule, index, "mode"), index, message, hint
        message = "diffusion decodes tool calls inside an answer without a grammar, often to broken JSON"
        if loose and _names_segment(rule) and reaches.decides_in(index, parts):
            hint = "name another mode, or exclude segment: tool_call"
            yield "diffusion-tool-call", _WARNING, _place(rule, index, "mode"), index, message, hint
        inside = use.segments and use.segments.tool_call
        if inside and inside.mode == "diffusion" and use.grammar != "required":
            own: Path = ("rules", index, "use", "segments", "tool_call", "mode")
            place = own if rule.use.segments else ("rules", index, "id")
            yield "diffusion-tool-call", _WARNING, place, index, message, "name another mode, or set grammar: required"
        if use.verification == "relaxed" and use.audit == "required":
            message = "relaxed verification changes the text, and audit: required promises that it can be reproduced"
            yield (
                "lossy-under-audit",
                _WARNING,
                _place(rule, index, "verification", "audit"),
                index,
                message,
                "set verification: exact",
            )


def whole(file: PolicyFile, reaches: Reaches) -> Iterator[Found]:
    """Settings of the whole answer in rules that decide only for parts of it."""
    box: Box = {"segment": reaches.space.cell("segment", WHOLE)}
    for index, rule in enumerate(file.rules):
        boxes = reaches.rules[index].boxes
        if not boxes or not _names_segment(rule) or any(_meets(reaches, own, box) for own in boxes):
            continue
        for name in _OF_THE_WHOLE:
            if getattr(rule.use, name) is not None:
                message = f"{name} is of the whole answer, and this rule decides only for parts of it"
                yield "nothing-in-a-segment", _WARNING, ("rules", index, "use", name), index, message, "drop it"


def _meets(reaches: Reaches, own: Box, other: Box) -> bool:
    return reaches.space.possible(reaches.space.meet(own, other))


def untested(file: PolicyFile, tested: frozenset[str]) -> Iterator[Found]:
    """Rules that no test case reaches."""
    for index, rule in enumerate(file.rules):
        if rule.id not in tested:
            message = "no test case reaches this rule"
            yield "untested-rule", _WARNING, ("rules", index, "id"), index, message, "add a case to the test file"


def environment(data: Any, path: Path = ()) -> Iterator[Found]:
    """`${NAME}` in any text: it stays as it is."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield from environment(value, (*path, key))
    elif isinstance(data, list):
        for number, value in enumerate(data):
            yield from environment(value, (*path, number))
    elif isinstance(data, str) and "${" in data and path[-1:] != ("description",):
        index = path[1] if path[:1] == ("rules",) and isinstance(path[1], int) else None
        message = f"{data!r} is taken as it is: the environment is not expanded, so that a revision says what runs"
        yield "not-expanded", _WARNING, path, index, message, "write the value"


def _names_segment(rule: Rule) -> bool:
    return any(atom.fact == SEGMENT for atom in formula.atoms(formula.of(rule.when, ())))


def _looks_at_load(rule: Rule) -> bool:
    return any(atom.fact.startswith("load.") for atom in formula.atoms(formula.of(rule.when, ())))


def _uses(file: PolicyFile) -> Iterator[tuple[int | None, Path, Decoding]]:
    """Every group of settings in the file, with its place."""
    yield from _with_segments(None, ("defaults",), file.defaults)
    for index, rule in enumerate(file.rules):
        yield from _with_segments(index, ("rules", index, "use"), rule.use)


def _with_segments(index: int | None, path: Path, use: Use) -> Iterator[tuple[int | None, Path, Decoding]]:
    yield index, path, use
    for name in Segments.model_fields if use.segments else ():
        if getattr(use.segments, name) is not None:
            yield index, (*path, "segments", name), getattr(use.segments, name)


def _unsupported(path: Path, index: int | None, what: str) -> Found:
    message = f"{what} is not supported by a loaded engine; it is carried in decisions and changes nothing"
    return "not-supported", _WARNING, path, index, message, ""


def _place(rule: Rule, index: int, *names: str) -> Path:
    """The first of the settings that the rule itself gives, or its id where they come from the defaults."""
    own = next((name for name in names if getattr(rule.use, name) is not None), None)
    return ("rules", index, "use", own) if own else ("rules", index, "id")


def _unconditional(file: PolicyFile, rule_id: str) -> bool:
    return any(rule.id == rule_id and rule.when is None for rule in file.rules)


def _words(path: Path) -> str:
    return ".".join(str(part) for part in path[3:]) or "`when`"
