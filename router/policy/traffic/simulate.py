"""What a policy would have made of recorded steps: speed, latency and modes, predicted.

Each step keeps its length, its queue, its prompt and its company; only how it decodes changes. In exact modes its text
is the same, so its length is; diffusion writes its own, and is taken to be as long.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from triroute.router.errors import NotFound
from triroute.router.policy.load import Policy
from triroute.router.policy.traffic.chances import Chances
from triroute.router.policy.traffic.costs import Costs
from triroute.router.policy.traffic.evidence import Evidence
from triroute.router.policy.traffic.pace import Engine
from triroute.router.policy.traffic.recorded import Recorded, Traffic
from triroute.router.policy.traffic.refinement import Refinement
from triroute.router.policy.traffic.replay import Made, replay
from triroute.router.types import DecodePlan, StepKind

_ROUNDS = 2  # of: how wide the others are depends on what they run


@dataclass(frozen=True, slots=True)
class Forecast:
    """Of all steps under one policy. Tokens a second are those of one stream, over its decoding; the rest is latency.

    `modes` has each mode's share of the decisions. `rests` counts decisions by the weakest evidence that their speed
    rests on, `unseen` those settings, as (kind of step, plan in words), that rest on less than the same setting.
    """

    name: str
    steps: int
    refused: int
    tokens_per_second: float
    p50_seconds: float
    p95_seconds: float
    modes: Mapping[str, float]
    rests: Mapping[Evidence, int]
    unseen: Mapping[tuple[StepKind, str, Evidence], int]


@dataclass(frozen=True, slots=True)
class Check:
    """The model against what happened, each half of the steps predicted from the other half.

    `bias`: all predicted decoding time over the recorded, less one. `spread`: the median of single steps' errors.
    """

    steps: int
    bias: float
    spread: float


def engine_of(traffic: Traffic, steps: Iterable[Recorded] | None = None) -> Engine:
    """What the steps tell of the engine; all that ran, unless given. Raises NotFound where nothing can be told."""
    if not traffic.ran:
        raise NotFound(
            "no record of a step that ran to its end and holds its features; let the service take some traffic, or"
            " name another file with --records"
        )
    if not traffic.engine.costs.pass_seconds:
        raise NotFound(
            "the records know no costs of passes; let a service with an engine of this version take some traffic"
        )
    learned = traffic.ran if steps is None else tuple(steps)
    return Engine(Costs.of(traffic.engine.costs, learned), Chances.of(learned), Refinement.of(learned))


def simulate(policy: Policy, traffic: Traffic, engine: Engine) -> Forecast:
    """Decide every step again, and predict what those that ran would have taken."""
    return forecast(policy.name, decided(policy, traffic), engine)


def decided(policy: Policy, traffic: Traffic) -> list[Made]:
    """The decisions about steps that ran, in the company of the others."""
    ran = frozenset(step.id for step in traffic.ran)
    return [made for made in replay(policy, traffic.steps) if made.of.id in ran]


def forecast(name: str, made: Sequence[Made], engine: Engine) -> Forecast:
    """Of decisions about steps that ran."""
    plans = [(one.of, one.decision.plan) for one in made if one.decision]
    widths = dict[int, float]()
    for _ in range(_ROUNDS):
        widths = _widths(plans, engine, widths)
    latencies, seconds, tokens = [], 0.0, 0
    rests, unseen = Counter[Evidence](), Counter[tuple[StepKind, str, Evidence]]()
    for step, plan in plans:
        pace = engine.pace(step, plan, widths.get(_bucket(step), 1.0))
        took = pace.seconds * step.tokens
        seconds, tokens = seconds + took, tokens + step.tokens
        latencies.append(step.before_seconds + took)
        rests[pace.evidence] += 1
        if pace.evidence is not Evidence.SAME:
            unseen[step.step.kind, words(plan), pace.evidence] += 1
    modes = Counter(str(plan.mode) for _, plan in plans)
    return Forecast(
        *(name, len(plans), len(made) - len(plans), tokens / seconds if seconds else 0.0),
        *(quantile(latencies, 0.5), quantile(latencies, 0.95)),
        {mode: count / len(plans) for mode, count in modes.most_common()},
        rests,
        unseen,
    )


def observed(traffic: Traffic) -> Forecast:
    """What happened, in the same figures."""
    seconds = sum(step.decode_seconds for step in traffic.ran)
    latencies = [step.before_seconds + step.decode_seconds for step in traffic.ran]
    modes = Counter(str(step.plan.mode) for step in traffic.ran)
    return Forecast(
        *("as recorded", len(traffic.ran), 0, sum(step.tokens for step in traffic.ran) / seconds if seconds else 0.0),
        *(quantile(latencies, 0.5), quantile(latencies, 0.95)),
        {mode: count / len(traffic.ran) for mode, count in modes.most_common()},
        {},
        {},
    )


def check(traffic: Traffic) -> Check:
    """How far the model is off, where what ran is known."""
    halves = traffic.ran[::2], traffic.ran[1::2]
    pairs: list[tuple[float, float]] = []
    for learned, asked in (halves, halves[::-1]):
        if learned and asked:
            engine = engine_of(traffic, learned)
            plans = [(step, step.plan) for step in asked]
            widths = _widths(plans, engine, {})
            pairs += [
                (engine.pace(step, plan, widths[_bucket(step)]).seconds * step.tokens, step.decode_seconds)
                for step, plan in plans
                if step.decode_seconds
            ]
    if not pairs:
        return Check(0, 0.0, 0.0)
    bias = sum(said for said, _ in pairs) / sum(was for _, was in pairs) - 1
    return Check(len(pairs), bias, quantile([abs(said / was - 1) for said, was in pairs], 0.5))


def words(plan: DecodePlan) -> str:
    """A plan as far as it says how fast it is."""
    parts = [str(plan.mode)]
    parts += [str(plan.variant)] if plan.variant else []
    if plan.mode != "autoregressive":
        parts.append(f"block {plan.block_length or 'auto'}")
    if plan.mode == "diffusion":
        parts.append(f"steps {plan.fixed_steps}" if plan.fixed_steps else f"threshold {plan.confidence_threshold:g}")
    elif plan.draft_threshold:
        parts.append(f"drafts again under {plan.draft_threshold:g}")
    return " ".join(parts)


def quantile(values: Sequence[float], share: float) -> float:
    """The nearest rank; 0 of none."""
    ordered = sorted(values)
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


def _bucket(step: Recorded) -> int:
    return round(step.others)


def _widths(
    plans: Sequence[tuple[Recorded, DecodePlan]], engine: Engine, known: Mapping[int, float]
) -> dict[int, float]:
    """Mean rows that a step brings to a pass, by the number of others in it."""
    rows = defaultdict[int, list[float]](list)
    for step, plan in plans:
        at = _bucket(step)
        rows[at].append(engine.pace(step, plan, known.get(at, 1.0)).rows)
    return {at: sum(several) / len(several) for at, several in rows.items()}
