"""What a case is, and how hypothesis draws one."""

from __future__ import annotations

from dataclasses import dataclass, replace

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from triroute.engine.types import (
    ALL_SOURCES,
    DraftSource,
    FormatKind,
    ModeName,
    Plan,
    ResponseFormat,
    Sampling,
    SegmentKind,
)

FORMATS = (
    ResponseFormat(FormatKind.REGEX, "(ab|cd)+[0-9]{2,5}"),
    ResponseFormat(FormatKind.REGEX, "[a-c]{3}(done|over)!"),
    ResponseFormat(FormatKind.LARK, 'start: "yes, because " | "no: " /[a-f ]+/ "."'),
    ResponseFormat(FormatKind.JSON_SCHEMA, '{"enum": ["alpha", "beta", 17, null]}'),
    ResponseFormat(
        FormatKind.JSON_SCHEMA,
        '{"type":"object","properties":{"name":{"const":"search"},"n":{"type":"integer"},"b":{"enum":["x","yy"]}},'
        '"required":["name","n","b"],"additionalProperties":false}',
    ),
)
# Outputs that go from one kind of segment to another, if the model likes it or not.
SWITCHING = tuple(
    ResponseFormat(FormatKind.REGEX, expression)
    for expression in (
        r"[a-c]{1,5}\n```(py|c)\n[a-d\n]{1,9}\n```\n[a-c]{2,9}",
        r"(hm\n)?(- [a-f]{1,3}\n){1,4}[a-c]{8}[a-c ]{8,12}",
        r"(<think>[a-c]{1,6}</think>[d-f]{2,4}){1,3}",
        r"[ab]{4}<think>[ab]{24}</think>[ab]{9}",
        r'<tool_call>\{"name":"f","args":\{"code":"[a-c]{1,6}","n":[0-9]{1,3}\}\}</tool_call>[ab]+',
        r'\{"name":"f","args":\{"sql":"[a-c]{1,6}"\}\}',
    )
)
_FENCES = ((96, 30.0), (10, 30.0), (97, 24.0))  # hardly more than `, line ends and a
_ITEMS = ((45, 30.0), (10, 28.0), (32, 30.0), (97, 30.0))
_FIRST = (65, 32, 91, 7)  # prompts share beginnings, for the prefix cache


@dataclass(frozen=True, slots=True)
class Member:
    """One request of a case: when it joins (pass number), and when it is aborted, if at all."""

    prompt_ids: tuple[int, ...]
    plan: Plan
    sampling: Sampling
    shape: ResponseFormat | None = None
    joins: int = 0
    aborted: int | None = None
    resumes: int = 0  # output tokens that an earlier run has committed
    segments: tuple[tuple[SegmentKind, Plan], ...] = ()
    may_call: bool = False

    @property
    def exact(self) -> bool:
        """Whether no part of it writes a text of its own."""
        return all(plan.mode is not ModeName.DIFFUSION for plan in (self.plan, *(own for _, own in self.segments)))


@dataclass(frozen=True, slots=True)
class Case:
    """Requests that share an engine of `pages` cache pages and such a prefill chunk. `cost_seed` varies the costs."""

    members: tuple[Member, ...]
    pages: int
    prefill_chunk: int
    max_running: int
    cost_seed: int


EXACT = tuple(mode for mode in ModeName if mode is not ModeName.DIFFUSION)


def plans(modes: tuple[ModeName, ...] = tuple(ModeName)) -> SearchStrategy[Plan]:
    """Any decoder with any parameters."""
    sources = st.sets(st.sampled_from(sorted(ALL_SOURCES))).map(lambda chosen: frozenset[DraftSource](chosen))
    return st.builds(
        Plan,
        st.sampled_from(modes),
        st.one_of(st.just(0), st.integers(1, 12)),
        st.floats(0.05, 1.0),
        st.integers(1, 4),
        sources,
        st.sampled_from([0.0, 0.0, 0.3, 0.9]),
        st.sampled_from([0, 0, 1, 3]),
    )


def samplings(longest: int) -> SearchStrategy[Sampling]:
    """Any way to draw up to `longest` tokens."""
    return st.builds(
        Sampling,
        max_tokens=st.integers(1, longest),
        temperature=st.sampled_from([0.0, 0.0, 0.5, 1.0, 1.7]),
        top_p=st.sampled_from([1.0, 1.0, 0.9, 0.5]),
        top_k=st.sampled_from([0, 0, 1, 5, 40]),
        seed=st.integers(0, 2**64 - 1),
        stop=st.sampled_from([(), (), ("e",), ("ab", "zz")]),
        min_p=st.sampled_from([0.0, 0.0, 0.05, 0.3]),
        repetition_penalty=st.sampled_from([1.0, 1.0, 0.8, 1.5]),
        presence_penalty=st.sampled_from([0.0, 0.0, -1.0, 0.7]),
        frequency_penalty=st.sampled_from([0.0, 0.0, -0.5, 0.4]),
        logit_bias=st.sampled_from([(), (), ((65, 4.0),), ((0, -100.0), (101, 2.5))]),
        logprobs=st.sampled_from([None, None, 0, 3]),
    )


@st.composite
def prompts(draw: DrawFn, vocab: int) -> tuple[int, ...]:
    """Prompts of one to some hundred tokens; many begin alike, and some repeat themselves."""
    own = draw(st.sampled_from([(), (draw(st.integers(0, vocab - 1)),)]))
    start = own + draw(st.sampled_from([(), _FIRST, _FIRST * 16, _FIRST * 44, _FIRST * 45]))
    rest = draw(st.lists(st.integers(0, vocab - 1), min_size=0 if start else 1, max_size=12))
    return (*start, *rest * draw(st.sampled_from([1, 1, 3])))


@st.composite
def segments(draw: DrawFn) -> tuple[tuple[SegmentKind, Plan], ...]:
    """Other plans for some parts, most of them exact."""
    kinds = draw(st.sets(st.sampled_from([*SegmentKind][1:]), min_size=1))
    modes = draw(st.sampled_from([tuple(ModeName), EXACT, EXACT]))
    return tuple((kind, draw(plans(modes))) for kind in sorted(kinds))


@st.composite
def switching(draw: DrawFn, vocab: int) -> Member:
    """A request whose output has parts, each with its own plan."""
    sampling = draw(samplings(60))
    shape = draw(st.sampled_from([None, None, *SWITCHING]))
    if shape is None:
        bias = draw(st.sampled_from([_FENCES, _ITEMS]))
        sampling = replace(sampling, temperature=draw(st.sampled_from([1.0, 1.7])), logit_bias=bias, stop=(), top_k=0)
    return replace(
        draw(members(vocab, 60)),
        plan=draw(plans(draw(st.sampled_from([tuple(ModeName), EXACT, EXACT])))),
        sampling=sampling,
        shape=shape,
        resumes=draw(st.sampled_from([0, 0, 3, 20, 40])),
        segments=draw(segments()),
        may_call=draw(st.booleans()),
    )


@st.composite
def members(draw: DrawFn, vocab: int, longest: int) -> Member:
    """Any request."""
    return Member(
        draw(prompts(vocab)),
        draw(plans()),
        draw(samplings(longest)),
        draw(st.one_of(st.none(), st.none(), st.sampled_from(FORMATS))),
        draw(st.integers(0, 12)),
        draw(st.one_of(st.none(), st.none(), st.none(), st.integers(0, 30))),
        draw(st.sampled_from([0, 0, 0, 1, 4])),
    )


@st.composite
def cases(draw: DrawFn, vocab: int, longest: int = 40) -> Case:
    """Any requests in any company."""
    return Case(
        tuple(draw(st.lists(st.one_of(members(vocab, longest), switching(vocab)), min_size=1, max_size=5))),
        draw(st.sampled_from([9, 9, 10, 24])),
        draw(st.sampled_from([16, 64, 96])),
        draw(st.sampled_from([1, 2, 4, 32])),
        draw(st.integers(0, 7)),
    )
