"""The KV cache: one array of pages, lent to sequences, and a prefix cache of what they left behind.

A full page of committed tokens is published under the tokens that led to it; a later sequence with the same beginning
borrows it. A page's bits depend on those tokens alone (promise 1), so borrowing changes no text. Pages that nobody
holds stay until room is needed; the ones unused for longest go first. Slots past a sequence's committed length are
scratch: passes write there first, and a commit is what makes them count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count

from triroute.engine.model import Storage
from triroute.kernels.cpu.attention import PAGE

_Key = tuple[int, tuple[int, ...]]


class KVCache:
    """Owns `storage`, room for `pages` pages, and knows who uses which of them."""

    def __init__(self, storage: Storage, pages: int) -> None:
        self.storage = storage
        self.pages = pages
        self._free = list(range(pages))
        self._holders = [0] * pages
        self._idle: dict[int, None] = {}  # published pages that nobody holds, longest unused first
        self._names = count(1)
        self._published: dict[_Key, tuple[int, int]] = {}  # (name of the page before, tokens): (page, its name)
        self._keys: dict[int, _Key] = {}

    @property
    def tokens(self) -> int:
        """Tokens that the whole cache holds."""
        return self.pages * PAGE

    @property
    def used(self) -> int:
        """Tokens in pages that sequences hold."""
        return (self.pages - len(self._free) - len(self._idle)) * PAGE

    @property
    def available(self) -> int:
        """Pages that can be lent now."""
        return len(self._free) + len(self._idle)

    def can_ever_hold(self, tokens: int) -> bool:
        """Whether an empty cache could lend pages for so many tokens."""
        return pages_for(tokens) <= self.pages

    def borrow(self, tokens: Sequence[int]) -> list[int]:
        """Hold the published pages that `tokens` begins with, as many as there are."""
        pages = [page for page, _ in self._walk(tokens)]
        for page in pages:
            self._idle.pop(page, None)
            self._holders[page] += 1
        return pages

    def lend(self, pages: int) -> list[int] | None:
        """Fresh pages; None where there are not enough now."""
        if pages > self.available:
            return None
        while len(self._free) < pages:
            self._forget(next(iter(self._idle)))
        lent = [self._free.pop() for _ in range(pages)]
        for page in lent:
            self._holders[page] = 1
        return lent

    def rollback(self, pages: list[int], tokens: int) -> None:
        """Give back those of a sequence's pages that its first `tokens` tokens don't reach: they held scratch."""
        self.release(pages[pages_for(tokens) :])
        del pages[pages_for(tokens) :]

    def publish(self, tokens: Sequence[int], pages: Sequence[int]) -> None:
        """Let others borrow the full pages of `tokens`, all committed and cached in `pages`."""
        name = 0
        for index in range(len(tokens) // PAGE):
            key = (name, tuple(tokens[index * PAGE : (index + 1) * PAGE]))
            if key not in self._published:
                if pages[index] in self._keys:  # it was published under a beginning that has been forgotten since
                    self._forget_name(pages[index])
                self._published[key] = (pages[index], next(self._names))
                self._keys[pages[index]] = key
            name = self._published[key][1]

    def release(self, pages: Sequence[int]) -> None:
        """Let go of pages. Published ones stay, and of these a prefix outlives what follows it."""
        for page in reversed(pages):
            self._holders[page] -= 1
            if not self._holders[page]:
                if page in self._keys:
                    self._idle[page] = None
                else:
                    self._free.append(page)

    def check_integrity(self, held: Iterable[Sequence[int]]) -> None:
        """Raise RuntimeError unless every page is free, idle or held by exactly those who think so."""
        holders = Counter(page for pages in held for page in pages)
        for page in range(self.pages):
            if self._holders[page] != holders[page]:
                raise RuntimeError(
                    f"KV cache: page {page} has {holders[page]} holders, {self._holders[page]} on record"
                )
        resting = Counter([*self._free, *self._idle, *(page for page in holders if holders[page])])
        if resting != Counter(range(self.pages)):
            raise RuntimeError("KV cache: a page is lost, or in two places")
        if any(self._published[key][0] != page for page, key in self._keys.items()):
            raise RuntimeError("KV cache: a page is published as another")

    def _walk(self, tokens: Sequence[int]) -> Iterable[tuple[int, int]]:
        """Published pages and their names, from the beginning of `tokens`."""
        name = 0
        for index in range(len(tokens) // PAGE):
            found = self._published.get((name, tuple(tokens[index * PAGE : (index + 1) * PAGE])))
            if found is None:
                return
            yield found
            name = found[1]

    def _forget(self, page: int) -> None:
        """Make an idle page free."""
        del self._idle[page]
        self._forget_name(page)
        self._free.append(page)

    def _forget_name(self, page: int) -> None:
        del self._published[self._keys.pop(page)]


def pages_for(tokens: int) -> int:
    """How many pages hold so many tokens."""
    return -(-tokens // PAGE)
