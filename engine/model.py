"""The Llama-family transformer over a ragged pass: spans of many sequences, one call.

The kernels compute every row by itself, so a row's bits depend on its token, position and visible keys alone: not on
the other rows, the width of the pass, nor how the cache came to be filled.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triroute.engine.checkpoints.weights import Weights
from triroute.engine.hydra import Hydra
from triroute.engine.span import Branch, Fork, Span
from triroute.kernels.cpu.adapter import Adapter
from triroute.kernels.cpu.attention import PAGE
from triroute.kernels.cpu.hydra import Head
from triroute.kernels.cpu.lanes import LANES
from triroute.kernels.cpu.linear import Arena
from triroute.kernels.cpu.rows import rotary_table
from triroute.kernels.cpu.team import Team
from triroute.kernels.cpu.transformer import Parameters, Room, Rows, Shape, run_passes

Storage = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Block:
    """One sequence's rows of a pass.

    The chain's row i has slot and position `start + i`, and sees all slots up to its own. Forks and branches follow in
    slots; their positions go on from the row that they hang from, and they see what it sees, it, and themselves, a
    branch all of its rows. Slots lie in `pages` of the cache, PAGE each.
    """

    start: int
    chain: Sequence[int]
    pages: Sequence[int]
    branches: Sequence[Branch] = ()
    forks: Sequence[Fork] = ()

    @classmethod
    def of(cls, span: Span, start: int, pages: Sequence[int]) -> Block:
        """A span whose chain follows `start` cached tokens."""
        return cls(start, span.chain, pages, span.branches, span.forks)


class Model:
    """Runs passes. Holds weights and rotary tables, and nothing of any request."""

    def __init__(
        self, weights: Weights, threads: int, adapter: Adapter | None = None, head: Head | None = None
    ) -> None:
        self.config = config = weights.config
        self.shape = Shape(
            config.layers,
            config.hidden,
            config.intermediate,
            config.heads,
            config.kv_heads,
            config.head_dim,
            config.vocab,
            config.norm_eps,
        )
        linears = [linear for layer in weights.layers for linear in (layer.qkv, layer.out, layer.gate_up, layer.down)]
        norms = [norm for layer in weights.layers for norm in (layer.attention_norm, layer.mlp_norm)]
        self.parameters = Parameters(
            Arena.of([*linears, weights.head]),
            np.array([*norms, weights.norm]),
            weights.embedding,
            *rotary_table(config.context_length, config.head_dim, config.rope_base),
            adapter or Adapter.none(len(linears)),
        )
        self.hydra = Hydra(head, weights.embedding) if head is not None else None
        self.team = Team(threads)
        self._has = _Needs()
        self._scores = np.zeros((0, -(-config.vocab // LANES) * LANES), dtype=np.float32)

    @property
    def mask_id(self) -> int:
        """The token id that stands for a masked slot."""
        return self.config.vocab

    def new_cache(self, pages: int) -> Storage:
        """Room for so many pages, flat [pages, layers, kv_heads, 2 (keys, values), PAGE * head_dim]."""
        config = self.config
        return np.zeros(
            config.layers * pages * config.kv_heads * 2 * PAGE * config.head_dim, dtype=self.parameters.embedding.dtype
        )

    def run(self, blocks: Sequence[Block], cache: Storage, asked: Sequence[int]) -> NDArray[np.float32]:
        """Scores [asked, vocab] in fp32 of the rows `asked`, numbered over all blocks; valid until the next run.

        Writes every row's key and value to the cache.
        """
        table = _arrange(blocks)
        self._make_room(table, len(blocks), max(len(block.pages) for block in blocks), len(asked))
        self._fill(table, blocks, asked)
        self.team.run(run_passes, self.shape, self.parameters, self._rows, cache, self._room, self._scores)
        scores = self._scores[: len(asked)]
        return scores[:, : self.config.vocab]

    def states(self, rows: int) -> NDArray[np.float32]:
        """What went into the head [rows, hidden] for the first `rows` of those last asked; valid until the next run."""
        hidden = self.config.hidden
        return self._room.activations.raw.reshape(-1)[: rows * hidden].reshape(rows, hidden)

    def warm_up(self) -> None:
        """Compile the kernels, or load their machine code, so that no request waits for it."""
        scores = self.run([Block(0, [0], [0])], self.new_cache(1), [0])
        if self.hydra is not None:
            trail = self.hydra.trail(self.states(1))
            trail.step(0)
            trail.shift(scores[0], None)

    def close(self) -> None:
        """Let the threads end."""
        self.team.close()

    def _make_room(self, table: _Table, sequences: int, pages: int, asked: int) -> None:
        """Grow the scratch, by doubling."""
        most = max(len(table.tokens), sequences, asked)
        needs = _Needs(
            *map(_power_of_two, (most, max(max(table.counts), pages * PAGE), max(len(table.hidden), 1), asked))
        )
        has = self._has
        if needs.rows > has.rows or needs.keys > has.keys or needs.hidden > has.hidden:
            self._has = has = _Needs(*map(max, has, needs))
            self._rows = Rows.room(has.rows, has.keys // PAGE + 1, has.hidden)
            self._room = Room.of(self.shape, has.rows, has.keys, self.team.size, self.parameters.adapter.rank)
        if needs.asked > len(self._scores):
            self._scores = np.zeros((needs.asked, self._scores.shape[1]), dtype=np.float32)

    def _fill(self, table: _Table, blocks: Sequence[Block], asked: Sequence[int]) -> None:
        """Write down what the threads are to run."""
        rows, count = self._rows, len(table.tokens)
        rows.sizes[:] = count, len(asked)
        rows.tokens[:count] = table.tokens
        rows.positions[:count] = table.positions
        rows.slots[:count] = table.slots
        rows.counts[:count] = table.counts
        rows.owners[:count] = table.owners
        rows.hidden_at[:count] = table.hidden_at
        rows.hidden_from[:count] = table.hidden_from
        rows.hidden[: len(table.hidden)] = table.hidden
        rows.asked[: len(asked)] = asked
        for owner, block in enumerate(blocks):
            rows.pages[owner, : len(block.pages)] = block.pages


class _Needs(NamedTuple):
    """Sizes of scratch."""

    rows: int = 0
    keys: int = 0
    hidden: int = 0
    asked: int = 0


class _Table(NamedTuple):
    """The rows of a pass; fields as in `Rows`."""

    tokens: list[int]
    positions: list[int]
    slots: list[int]
    counts: list[int]
    owners: list[int]
    hidden: list[bool]
    hidden_at: list[int]
    hidden_from: list[int]


def _arrange(blocks: Sequence[Block]) -> _Table:
    """The rows of all blocks, one after the other."""
    tokens: list[int] = []
    positions: list[int] = []
    slots: list[int] = []
    counts: list[int] = []
    owners: list[int] = []
    hidden_at: list[int] = []
    hidden_from: list[int] = []
    hidden: list[bool] = []
    for owner, block in enumerate(blocks):
        first, end = len(tokens), block.start + len(block.chain)
        tokens += block.chain
        slots += range(block.start, end)
        positions += range(block.start, end)
        counts += range(block.start + 1, end + 1)
        hidden_at += [-1] * len(block.chain)
        hidden_from += [-1] * len(block.chain)
        lines = _Lines(block)
        for behind, own in lines.parts():
            line, width = lines.of(behind), len(own)
            tokens += own
            slots += range(end, end + width)
            positions += range(line.end, line.end + width)
            counts += [end + width] * width
            hidden_at += [len(hidden)] * width
            hidden_from += [line.chain_end] * width
            hidden += [slot not in line.forks for slot in range(line.chain_end, end)] + [False] * width
            end += width
        owners += [owner] * (len(tokens) - first)
    return _Table(tokens, positions, slots, counts, owners, hidden, hidden_at, hidden_from)


@dataclass(frozen=True, slots=True)
class _Line:
    """What a row sees of its span: the chain to `chain_end`, and slots of `forks`; what follows has position `end`."""

    chain_end: int
    forks: tuple[int, ...] = ()

    @property
    def end(self) -> int:
        return self.chain_end + len(self.forks)


class _Lines:
    """For each row of a block, what those that hang from it see."""

    def __init__(self, block: Block) -> None:
        self._block = block
        self._forks: list[_Line] = []

    def parts(self) -> Iterator[tuple[int, Sequence[int]]]:
        """Forks and branches: the row behind which they hang, and their tokens."""
        slot = self._block.start + len(self._block.chain)
        for number, fork in enumerate(self._block.forks):
            line = self.of(fork.behind)
            self._forks.append(_Line(line.chain_end, (*line.forks, slot + number)))
            yield fork.behind, (fork.token,)
        for branch in self._block.branches:
            yield branch.behind, branch.tokens

    def of(self, row: int) -> _Line:
        """The line that ends with a row; -1 is what is cached."""
        chain = len(self._block.chain)
        return _Line(self._block.start + row + 1) if row < chain else self._forks[row - chain]


def _power_of_two(number: int) -> int:
    return 1 << (number - 1).bit_length()
