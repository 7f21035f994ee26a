"""Sessions hold the load of their first step, rule by rule, and only where the policy says so."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from triroute.router.policy import Latches, Policy, decide, parse
from triroute.router.policy import sessions as module
from triroute.router.policy.lint import lint
from triroute.router.policy.sessions import Pin, Sessions
from triroute.router.types import FormatKind, Hints, Load, Request, ResponseFormat, Step, StepKind

POLICY = """
version: 1
metadata: {name: test}
hints: {allow: [step]}
session: {sticky: load, for: 10m}
rules:
  - {id: full, urgent: true, when: {load: {cache_used: {gte: 0.9, resume_at: 0.7}}}, use: {mode: autoregressive}}
  - {id: with-schema, when: {schema: true}, use: {mode: autoregressive}}
  - {id: calm, when: {load: {running: {lt: 8, resume_at: 6}}}, use: {mode: diffusion, block_length: 8}}
  - {id: rest, use: {mode: autoregressive}}
"""
HOLDS = parse(POLICY, "p")
WITHOUT = parse(POLICY.replace("session: {", "session_: {").replace("session_: {sticky: load, for: 10m}", ""), "p")
CODE = Step(StepKind.CODE, 0.9)


class Clock:
    """Microseconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 1_000_000_000

    def __call__(self) -> int:
        return self.now


def rule(
    sessions: Sessions, load: Load, request: Request | None = None, step: Step = CODE, policy: Policy = HOLDS
) -> str:
    request = request or Request(text="x", session_id="s")
    load = Latches().see(load, policy.compiled.trips)
    return decide(policy, request, step, load, sessions.held(policy, request, step, load)).rule_id


def test_later_steps_of_the_kind_see_the_first_ones_load() -> None:
    clock = Clock()
    sessions = Sessions("a", clock)
    assert rule(sessions, Load(1)) == "calm"
    assert rule(sessions, Load(50)) == "calm"
    assert rule(sessions, Load(50), step=Step(StepKind.PROSE, 0.9)) == "rest", "another kind has its own"
    assert rule(sessions, Load(50), Request(text="x", session_id="t")) == "rest", "another session"
    assert rule(sessions, Load(50), Request(text="x", session_id="s", tenant="t")) == "rest", "another tenant's"
    assert rule(sessions, Load(50), Request(text="x")) == "rest", "no session"
    assert rule(sessions, Load(50, cache_used=0.95)) == "full", "urgent"
    clock.now += 600_000_000
    assert rule(sessions, Load(50)) == "rest", "ten minutes are over"
    assert rule(sessions, Load(1)) == "rest"


def test_only_the_load_is_held() -> None:
    sessions = Sessions()
    asked = Request(text="x", session_id="s")
    assert rule(sessions, Load(1), asked) == "calm"
    held = Request(text="x", session_id="s", response_format=ResponseFormat(FormatKind.REGEX, "a"))
    assert rule(sessions, Load(1), held) == "with-schema"


def test_a_hint_says_which_kind_it_is() -> None:
    sessions = Sessions()
    hinted = Request(text="x", session_id="s", hints=Hints(step=StepKind.CODE))
    assert rule(sessions, Load(1), hinted, Step(StepKind.UNKNOWN, 0.3)) == "calm"
    assert rule(sessions, Load(50)) == "calm"


def test_nothing_is_held_without_the_section_or_by_a_dry_decision() -> None:
    sessions = Sessions()
    assert WITHOUT.file.session is None
    assert [rule(sessions, Load(running), policy=WITHOUT) for running in (1, 50)] == ["calm", "rest"]
    asked = Request(text="x", session_id="s")
    assert sessions.held(HOLDS, asked, CODE, Load(1), dry=True) is None
    assert len(sessions) == 0
    assert sessions.take_new() == ()


def test_a_new_revision_begins_anew() -> None:
    sessions = Sessions()
    other = parse(POLICY.replace("name: test", "name: next"), "p")
    assert [rule(sessions, Load(1)), rule(sessions, Load(50), policy=other)] == ["calm", "rest"]


def test_what_was_passed_over_says_by_which_load() -> None:
    held = Sessions()
    asked = Request(text="x", session_id="s")
    held.held(HOLDS, asked, CODE, Load(50), dry=False)
    decision = decide(HOLDS, asked, CODE, Load(1), held.held(HOLDS, asked, CODE, Load(1)))
    assert {over.rule_id: over.why for over in decision.passed_over} == {
        "full": "load.cache_used is 0, wanted at least 0.9 since it was at most 0.7",
        "with-schema": "schema is false, wanted true",
        "calm": "load.running is 50, wanted less than 8, or at most 6 after that (as when the session began)",
    }
    assert decision.held is not None
    assert decision.held.load.running == 50


def test_memory_is_bounded() -> None:
    sessions = Sessions()
    for number in range(module.MOST + 10):
        sessions.held(HOLDS, Request(text="x", session_id=str(number)), CODE, Load())
    assert len(sessions) == module.MOST
    assert len(sessions.take_new()) == module.MOST


@given(st.permutations(range(6)), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_all_routers_agree_whatever_the_order_of_news(order: list[int], times: list[int]) -> None:
    clock = Clock()
    made: list[Pin] = []
    for number, time in enumerate(times):
        clock.now = 1_000_000 + time
        sessions = Sessions(f"router {number}", clock)
        sessions.held(HOLDS, Request(text="x", session_id="s"), CODE, Load(number))
        made += sessions.take_new()
    reader = Sessions("reader", clock)
    for number in order:
        reader.hear([made[number]])
    held = reader.held(HOLDS, Request(text="x", session_id="s"), CODE, Load(99))
    first = min(range(6), key=lambda number: (times[number], f"router {number}"))
    assert held is not None
    assert held.load.running == first


def test_lint_does_not_compare_loads_of_two_moments() -> None:
    """An urgent rule sees this moment's load, so it does not shadow a rule that sees the session's."""
    shadowed = """
version: 1
metadata: {name: t}
SESSION
rules:
  - {id: now, urgent: true, when: {load: {running: {gte: 8, resume_at: 6}}}, use: {mode: autoregressive}}
  - {id: held, when: {load: {running: {gte: 8, resume_at: 6}}}, use: {mode: autoregressive}}
  - {id: rest, use: {}}
"""
    with_session = lint(shadowed.replace("SESSION", "session: {sticky: load}"), "p")
    assert [one.code for one in with_session] == []
    assert {one.code for one in lint(shadowed.replace("SESSION", ""), "p")} == {"idle-urgency", "shadowed-rule"}
