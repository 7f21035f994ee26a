"""What engines are asked, and what they answer: plain data that crosses a pipe as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_FIRST_MARKER, _MARKERS, _DIGITS = 1000, 90, 4


@dataclass(frozen=True, slots=True)
class Job:
    """One greedy generation. `endless` goes on past the end of a turn; `schema` is a JSON Schema that binds it.

    `mode` and `block_length` are for Triroute alone; its peers decode autoregressively.
    """

    ids: tuple[int, ...]
    tokens: int
    mode: str = "autoregressive"
    block_length: int = 0
    endless: bool = False
    schema: str = ""

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Job:
        """From what `asdict` gave."""
        return cls(**{**fields, "ids": tuple(fields["ids"])})


@dataclass(frozen=True, slots=True)
class Result:
    """How a generation went. `decode_s` is the time of `decoded` tokens: those after the first delivery."""

    tokens: int
    characters: int
    passes: int
    first_token_s: float
    decoded: int
    decode_s: float
    pass_ms: float

    @property
    def rate(self) -> float:
        """Tokens a second while decoding."""
        return self.decoded / self.decode_s


@dataclass(frozen=True, slots=True)
class Batch:
    """Generations that ran at once, and the time from the first's start to the last's end."""

    results: tuple[Result, ...]
    wall_s: float

    @classmethod
    def of(cls, fields: dict[str, Any]) -> Batch:
        """From what `asdict` gave."""
        return cls(tuple(Result(**result) for result in fields["results"]), fields["wall_s"])

    @property
    def only(self) -> Result:
        """The result of a batch of one."""
        (result,) = self.results
        return result


def renewed(ids: Sequence[int], number: int) -> tuple[int, ...]:
    """The same prompt under first tokens of its own, which no prefix cache has seen."""
    marks = [_FIRST_MARKER + number // _MARKERS**place % _MARKERS for place in range(_DIGITS)]
    return (*marks, *ids[_DIGITS:])


def fields_of(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """For the pipe."""
    return [asdict(job) for job in jobs]
