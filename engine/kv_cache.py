"""The KV cache: one array of pages, lent to sequences.

All pages that a sequence can need are reserved at admission, so a running sequence can never run out. Slots past a
sequence's committed length are scratch: passes write there first, and a commit is what makes them count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from triroute.engine.model import Storage
from triroute.kernels.cpu.attention import PAGE

Pages = tuple[int, ...]


class KVCache:
    """Owns `storage`, room for `pages` pages, and who uses which of them."""

    def __init__(self, storage: Storage, pages: int) -> None:
        self.storage = storage
        self.pages = pages
        self._free = list(range(pages))

    @property
    def tokens(self) -> int:
        """Tokens that the whole cache holds."""
        return self.pages * PAGE

    @property
    def used(self) -> int:
        """Tokens in pages that are lent."""
        return (self.pages - len(self._free)) * PAGE

    def can_ever_hold(self, tokens: int) -> bool:
        """Whether an empty cache could lend pages for so many tokens."""
        return pages_for(tokens) <= self.pages

    def reserve(self, tokens: int) -> Pages | None:
        """Lend pages for so many tokens; None where there are not enough now."""
        wanted = pages_for(tokens)
        if wanted > len(self._free):
            return None
        lent = tuple(self._free[len(self._free) - wanted :])
        del self._free[len(self._free) - wanted :]
        return lent

    def release(self, pages: Pages) -> None:
        """Take pages back."""
        self._free.extend(pages)

    def check_integrity(self, lent: Iterable[Pages]) -> None:
        """Raise RuntimeError unless every page is either free or lent once."""
        owners = Counter([*self._free, *(page for pages in lent for page in pages)])
        for page in range(self.pages):
            if owners.pop(page, 0) != 1:
                raise RuntimeError(f"KV cache: page {page} is not owned exactly once")
        if owners:
            raise RuntimeError(f"KV cache: page {min(owners)} does not exist")


def pages_for(tokens: int) -> int:
    """How many pages hold so many tokens."""
    return -(-tokens // PAGE)
