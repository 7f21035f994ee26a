"""Seeded defects: each kind, in policies made at random, is found at its line and column; good ones are left alone."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from typing import Any

import pytest

from triroute.router.policy.lint import lint

from .generated import LIMITS, Path, good_policy, written

SEEDS = 12
Policy = dict[str, Any]
Seeded = tuple[str, Path]  # the code and the place of the finding
Mutator = Callable[[random.Random, Policy], Seeded]


def _index(rng: random.Random, policy: Policy) -> int:
    """Any rule but the last."""
    return rng.randrange(len(policy["rules"]) - 1)


def _typo(rng: random.Random, word: str) -> str:
    at = rng.randrange(len(word))
    return word[:at] + rng.choice([letter for letter in "qxz" if letter != word[at]]) + word[at + 1 :]


def _rename(mapping: dict[str, Any], old: str, new: str) -> None:
    items = [(new if key == old else key, value) for key, value in mapping.items()]
    mapping.clear()
    mapping.update(items)


def _insert(rng: random.Random, policy: Policy, *rules: dict[str, Any]) -> int:
    """Put rules somewhere before the last; where the first is."""
    at = rng.randrange(len(policy["rules"]))
    policy["rules"][at:at] = copy.deepcopy(list(rules))
    return at


def typo_in_a_rules_key(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    rule = policy["rules"][index]
    part = rng.choice(["when", "use"])
    key = rng.choice(sorted(rule[part]))
    typo = _typo(rng, key)
    _rename(rule[part], key, typo)
    return "unknown-key", ("rules", index, part, typo, "<key>")


def typo_in_a_top_key(rng: random.Random, policy: Policy) -> Seeded:
    key = rng.choice(["defaults", "limits", "hints"])
    typo = _typo(rng, key)
    _rename(policy, key, typo)
    return "unknown-key", (typo, "<key>")


def typo_deep_inside(rng: random.Random, policy: Policy) -> Seeded:
    at = _insert(rng, policy, {"id": "deep", "when": {"any": [{"load": {"waitin": {"lt": 3}}}]}, "use": {}})
    policy["rules"][at]["use"] = {"mode": "autoregressive"}
    return "unknown-key", ("rules", at, "when", "any", 0, "load", "waitin", "<key>")


def typo_in_a_mode(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    use = policy["rules"][index]["use"] = {"mode": "diffusion"}
    use["mode"] = _typo(rng, "diffusion")
    return "unknown-name", ("rules", index, "use", "mode")


def typo_in_a_step(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["when"]["step"] = [rng.choice(["plan", "code"]), _typo(rng, "tool_call")]
    return "unknown-name", ("rules", index, "when", "step", 1)


def typo_in_a_hint(rng: random.Random, policy: Policy) -> Seeded:
    policy["hints"]["allow"].append(_typo(rng, "max_steps"))
    return "unknown-name", ("hints", "allow", 2)


def repeated_id(rng: random.Random, policy: Policy) -> Seeded:
    first, second = sorted(rng.sample(range(len(policy["rules"])), 2))
    policy["rules"][second]["id"] = policy["rules"][first]["id"]
    return "duplicate-id", ("rules", second, "id")


def no_default(rng: random.Random, policy: Policy) -> Seeded:
    policy["rules"][-1] |= rng.choice([{"when": {"tools": True}}, {"enforcement": "shadow"}])
    return "missing-default", ("rules", len(policy["rules"]) - 1)


def no_use(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    del policy["rules"][index]["use"]
    return "missing-key", ("rules", index)


def wrong_type(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["use"]["max_steps"] = rng.choice(["four", 2.5, True])
    return "wrong-type", ("rules", index, "use", "max_steps")


def impossible_number(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    name, value = rng.choice([("confidence_threshold", 1.5), ("max_steps", 0), ("draft_threshold", -0.1)])
    policy["rules"][index]["use"][name] = value
    return "out-of-range", ("rules", index, "use", name)


def reversed_limits(rng: random.Random, policy: Policy) -> Seeded:
    policy["limits"][rng.choice(sorted(LIMITS))].reverse()
    return "nonsense", ("limits",)


def variant_of_another_mode(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["use"] = {"mode": "autoregressive", "variant": "linear"}
    return "nonsense", ("rules", index, "use")


def resume_over_the_bound(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["when"]["load"] = {"waiting": {"lt": 4, "resume_at": rng.randint(4, 9)}}
    return "nonsense", ("rules", index, "when", "load", "waiting")


def late_rate(rng: random.Random, policy: Policy) -> Seeded:
    first = rng.choice([{"tenant": "acme*"}, {"tenant": ["a*", "b"]}, {}])
    late = rng.choice(["acme", ["acme-?", "acme*"]]) if first.get("tenant") != ["a*", "b"] else ["b", "abc", "a*"]
    policy["rates"] = [first | {"requests_per_minute": 60}, {"tenant": late, "tokens_per_minute": 9}]
    return "shadowed-rate", ("rates", 1, "tenant")


def rate_of_nothing(rng: random.Random, policy: Policy) -> Seeded:
    policy["rates"] = [{"requests_per_minute": 9}, {"tenant": "acme", "burst": "10s"}][rng.randrange(2) :][::-1]
    index = next(number for number, rate in enumerate(policy["rates"]) if "burst" in rate)
    return "nonsense", ("rates", index)


def no_duration(rng: random.Random, policy: Policy) -> Seeded:
    policy["session"] = {"sticky": "load", "for": rng.choice(["10 min", "0s", "25h", "ten", "1m30s", "-5s"])}
    return "nonsense", ("session", "for")


def nothing_held(rng: random.Random, policy: Policy) -> Seeded:
    for rule in policy["rules"]:
        rule.get("when", {}).pop("load", None)
    if rng.random() < 0.5:
        busy = {"load": {"fleet": {"running": {"gte": 9, "resume_at": 6}}}, "tags": {"any": ["own"]}}
        _insert(rng, policy, {"id": "busy", "urgent": True, "when": busy, "use": {"mode": "autoregressive"}})
    policy["session"] = {"sticky": "load"}
    return "nothing-held", ("session", "sticky")


def idle_urgency(rng: random.Random, policy: Policy) -> Seeded:
    when = {"tags": {"any": ["own"]}, "load": {"waiting": {"gte": 2, "resume_at": 0}}}
    if rng.random() < 0.5:
        del when["load"]
    at = _insert(rng, policy, {"id": "now", "urgent": True, "when": when, "use": {"mode": "autoregressive"}})
    return "idle-urgency", ("rules", at, "urgent")


def fleet_load_without_a_gap(rng: random.Random, policy: Policy) -> Seeded:
    fleet = {rng.choice(["running", "waiting", "routers", "cache_used"]): {"gte": 1}}
    when = {"tags": {"any": ["own"]}, "load": {"fleet": fleet}}
    at = _insert(rng, policy, {"id": "all-busy", "when": when, "use": {"mode": "autoregressive"}})
    return "flapping-load", ("rules", at, "when", "load", "fleet", next(iter(fleet)))


def outside_the_limits(rng: random.Random, policy: Policy) -> Seeded:
    name = rng.choice(sorted(LIMITS))
    least, most = LIMITS[name]
    low, high = (0.1, 1.0) if name == "confidence_threshold" else (least - 1 or most + 1, most + rng.randint(1, 99))
    where = rng.choice([("defaults",), ("rules", _index(rng, policy), "use")])
    part = policy["defaults"] if where == ("defaults",) else policy["rules"][where[1]]["use"]  # type: ignore[misc]
    part[name] = rng.choice([low, high])
    return "outside-limits", (*where, name)


def shadowed_by_a_wider_rule(rng: random.Random, policy: Policy) -> Seeded:
    wide = {
        "id": "wide",
        "when": {"step": ["code", "plan"], "confidence": {"gte": 0.5}},
        "use": {"mode": "autoregressive"},
    }
    narrow = {"id": "narrow", "when": {"step": "code", "confidence": {"gt": rng.choice([0.5, 0.9])}}, "use": {}}
    narrow["use"] = {"mode": "autoregressive"}
    at = _insert(rng, policy, wide, narrow)
    return "shadowed-rule", ("rules", at + 1, "id")


def shadowed_by_alternatives(rng: random.Random, policy: Policy) -> Seeded:
    use = {"mode": "autoregressive"}
    wide = {"id": "wide", "when": {"any": [{"tool": "get_*"}, {"tags": {"any": ["a", "b"]}}]}, "use": use}
    narrow = rng.choice(
        [{"tool": "get_x"}, {"tool": "get_?"}, {"tags": {"all": ["b", "c"]}}, {"not": {"tags": {"none": ["a"]}}}]
    )
    at = _insert(rng, policy, wide, {"id": "narrow", "when": narrow, "use": use})
    return "shadowed-rule", ("rules", at + 1, "id")


def shadowed_by_a_catch_all(rng: random.Random, policy: Policy) -> Seeded:
    at = _insert(rng, policy, {"id": "catch-all", "use": {"mode": "autoregressive"}})
    return "shadowed-rule", ("rules", rng.randrange(at + 1, len(policy["rules"])), "id")


def unreachable_behind_two(rng: random.Random, policy: Policy) -> Seeded:
    low, high = rng.choice(
        [
            ({"confidence": {"lt": 0.4}}, {"confidence": {"gte": 0.4}}),
            ({"tools": True}, {"tools": False}),
            ({"load": {"running": {"lt": 9, "resume_at": 7}}}, {"load": {"running": {"gte": 9, "resume_at": 7}}}),
            ({"tags": {"any": ["q"]}}, {"tags": {"none": ["q"]}}),
            ({"max_tokens": {"lte": 99}}, {"max_tokens": {"gt": 99}}),
            ({"tenant": "a*"}, {"not": {"tenant": "a*"}}),
        ]
    )
    use, base = {"mode": "autoregressive"}, {"step": "plan"}
    at = _insert(
        *(rng, policy),
        {"id": "low", "when": {**base, **low}, "use": use},
        {"id": "high", "when": {**base, **high}, "use": use},
        {"id": "never", "when": {**base, "session": True}, "use": use},
    )
    return "unreachable-rule", ("rules", at + 2, "id")


def contradiction(rng: random.Random, policy: Policy) -> Seeded:
    when, path = rng.choice(
        [
            ({"confidence": {"lt": 0.2, "gt": 0.6}}, ("confidence",)),
            ({"max_tokens": {"gt": 7, "lt": 8}}, ("max_tokens",)),
            ({"confidence": {"gt": 1}}, ("confidence",)),
            ({"max_tokens": {"lt": 1}}, ("max_tokens",)),
            ({"tools": False, "tool": "get_*"}, ("tool",)),
            ({"tools": False, "tool_choice": ["required", "named"]}, ("tool_choice",)),
            ({"tags": {"any": ["a"], "none": ["a", "b"]}}, ("tags", "none")),
            ({"step": "code", "not": {"step": ["code", "plan"]}}, ("not",)),
            ({"step": "code", "all": [{"step": "plan"}]}, ("all",)),
            (
                {
                    "load": {"running": {"lt": 8, "resume_at": 6}},
                    "all": [{"load": {"running": {"gte": 9, "resume_at": 6}}}],
                },
                ("all",),
            ),
            ({"tenant": "acme", "not": {"tenant": "ac*"}}, ("not",)),
        ]
    )
    at = _insert(rng, policy, {"id": "never", "when": when, "use": {"mode": "autoregressive"}})
    return "contradiction", ("rules", at, "when", *path)


def dead_alternative(rng: random.Random, policy: Policy) -> Seeded:
    when = {"tags": {"any": ["own"]}, "any": [{"session": True}, {"turn": {"tool_loop": {"lt": 0}}}]}
    at = _insert(rng, policy, {"id": "half", "when": when, "use": {"mode": "autoregressive"}})
    return "dead-alternative", ("rules", at, "when", "any", 1, "turn", "tool_loop")


def load_without_a_gap(rng: random.Random, policy: Policy) -> Seeded:
    index, figure = _index(rng, policy), rng.choice(["running", "waiting"])
    policy["rules"][index]["when"]["load"] = {figure: {"gte": rng.randint(1, 9)}}
    return "flapping-load", ("rules", index, "when", "load", figure)


def diffusion_on_tool_calls(rng: random.Random, policy: Policy) -> Seeded:
    steps = rng.choice([{}, {"step": "tool_call"}, {"step": ["code", "tool_call"]}])
    rule = {"id": "loose", "when": {"tags": {"any": ["loose"]}, **steps}, "use": {"mode": "diffusion"}}
    return "diffusion-tool-call", ("rules", _insert(rng, policy, rule), "use", "mode")


def diffusion_inside_on_tool_calls(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["use"] = {"mode": "autoregressive", "segments": {"tool_call": {"mode": "diffusion"}}}
    return "diffusion-tool-call", ("rules", index, "use", "segments", "tool_call", "mode")


def lossy_under_audit(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["use"] = {"mode": "self_speculation", "verification": "relaxed", "audit": "required"}
    return "lossy-under-audit", ("rules", index, "use", "verification")


def what_nothing_runs(rng: random.Random, policy: Policy) -> Seeded:
    name, value = "escalation", {"on": ["low_confidence"]}
    where = rng.choice([("defaults",), ("rules", _index(rng, policy), "use")])
    part = policy["defaults"] if where == ("defaults",) else policy["rules"][where[1]]["use"]  # type: ignore[misc]
    part[name] = value
    return "not-supported", (*where, name, "on", 0)


def environment(rng: random.Random, policy: Policy) -> Seeded:
    index = _index(rng, policy)
    policy["rules"][index]["when"]["tenant"] = "${TENANT}"
    return "not-expanded", ("rules", index, "when", "tenant")


MUTATORS: list[Mutator] = [
    *(typo_in_a_rules_key, typo_in_a_top_key, typo_deep_inside, typo_in_a_mode, typo_in_a_step, typo_in_a_hint),
    *(repeated_id, no_default, no_use, wrong_type, impossible_number, reversed_limits, variant_of_another_mode),
    *(resume_over_the_bound, outside_the_limits, shadowed_by_a_wider_rule, shadowed_by_alternatives),
    *(shadowed_by_a_catch_all, unreachable_behind_two, contradiction, dead_alternative, load_without_a_gap),
    *(diffusion_on_tool_calls, diffusion_inside_on_tool_calls, lossy_under_audit, what_nothing_runs, environment),
    *(late_rate, rate_of_nothing, no_duration, nothing_held, idle_urgency, fleet_load_without_a_gap),
]


def test_there_are_enough() -> None:
    assert len(MUTATORS) * SEEDS >= 200


@pytest.mark.parametrize("mutate", MUTATORS, ids=lambda mutate: mutate.__name__)
def test_seeded_defect_is_found_at_its_place(mutate: Mutator) -> None:
    for seed in range(SEEDS):
        rng = random.Random(f"{mutate.__name__} {seed}")
        policy = good_policy(rng)
        code, path = mutate(rng, policy)
        text, places = written(policy)
        found = [(finding.code, (finding.line, finding.column)) for finding in lint(text, "p")]
        assert (code, places[path]) in found, f"seed {seed}: {found}\n{text}"


@pytest.mark.parametrize("seed", range(50))
def test_good_policies_are_left_alone(seed: int) -> None:
    text, _ = written(good_policy(random.Random(seed)))
    assert lint(text, "p") == (), text
