"""Which segment the output stands in, and the mode that decodes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from triroute.engine.modes.base import Mode
from triroute.engine.segments.segmenter import Segmenter
from triroute.engine.types import BrokenCall, CallEvent, CallPiece, ModeName, Plan, SegmentKind, Stretch


class Track:
    """Segments of one output. A segment is a run of passes: one begins at a commit boundary after its text opened.

    Exact modes take over once the one before is settled, so that no pass is wasted; the text is the same either way.
    Diffusion writes a text of its own, so it takes over at the very token that opened the segment, whatever the pass.
    """

    def __init__(self, plans: Sequence[Plan], start: Callable[[int], Mode]) -> None:
        """Nothing but the first of `plans`. `start` gives a fresh mode for one of them, by number."""
        self.number = 0
        self.kind = SegmentKind.UNSPECIFIED
        self.plan = 0
        self.mode = start(0)
        self._plans = plans
        self._start = start
        self._segmenter: Segmenter | None = None
        self._numbers: Mapping[SegmentKind, int] = {}
        self._calls: tuple[CallEvent, ...] = ()

    def watch(self, segmenter: Segmenter, numbers: Mapping[SegmentKind, int]) -> None:
        """Follow the text; `numbers` says which plan is for which kind."""
        self._segmenter, self._numbers = segmenter, numbers
        self._enter(*self._wanted(segmenter.kinds))

    def resume(self, tokens: Sequence[int]) -> None:
        """Go through the tokens of an interrupted run: the first segment is the one that they end in."""
        if self._segmenter is not None:
            for token in tokens:
                self._segmenter.push(token)
            self._segmenter.spoken()
            self._enter(*self._wanted(self._segmenter.kinds))

    def follow(self, tokens: Sequence[int]) -> int:
        """Read what a pass came to. How many of the tokens stand: not those that diffusion is to write."""
        segmenter = self._segmenter
        if segmenter is None:
            return len(tokens)
        kinds = segmenter.kinds
        for count, token in enumerate(tokens, start=1):
            self._calls += segmenter.push(token)
            if segmenter.kinds != kinds:
                kinds = segmenter.kinds
                if self._diffusion_waits(kinds):
                    return count
        return len(tokens)

    def calls(self, tokens: int, *, ended: bool) -> tuple[CallEvent, ...]:
        """What became known of tool calls in an output of so many tokens, each thing once. More may have come."""
        if self._segmenter is None:
            return ()
        calls, self._calls = self._calls, ()
        if ended:
            calls += self._segmenter.end()
        told = tuple(call for call in calls if call.end <= tokens)
        if not ended:
            self._calls = calls[len(told) :]
            return told
        late = [call for call in calls[len(told) :] if not isinstance(call, CallPiece)]
        return told + tuple(BrokenCall(call.first, tokens) for call in late[:1] if call.first < tokens)

    def spoken(self) -> tuple[Stretch, ...]:
        """What became known of speech, after `calls`."""
        return self._segmenter.spoken() if self._segmenter is not None else ()

    def turn(self) -> None:
        """Begin the next segment where the text has opened one, and the mode may change."""
        if self._segmenter is None:
            return
        kinds = self._segmenter.kinds
        if kinds[0] is self.kind:
            return
        if self.mode.settled or self._diffusion_waits(kinds):
            self.number += 1
            self._enter(*self._wanted(kinds))

    def _wanted(self, kinds: tuple[SegmentKind, ...]) -> tuple[SegmentKind, int]:
        """The innermost kind, and the plan for the innermost kind that has one."""
        return kinds[0], next((self._numbers[kind] for kind in kinds if kind in self._numbers), 0)

    def _diffusion_waits(self, kinds: tuple[SegmentKind, ...]) -> bool:
        wanted = self._wanted(kinds)[1]
        return self._plans[wanted].mode is ModeName.DIFFUSION is not self._plans[self.plan].mode

    def _enter(self, kind: SegmentKind, plan: int) -> None:
        if plan != self.plan:
            self.mode = self._start(plan)
        self.kind, self.plan = kind, plan
