"""Merkle trees of RFC 6962: hashes, roots, and proofs that an entry is in a log, or that a log only grew.

All functions take leaf hashes, 32 bytes each: a log may forget its entries and still prove them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

HASH_BYTES = 32
EMPTY = hashlib.sha256().digest()  # the root of no leaves


def leaf_hash(entry: bytes) -> bytes:
    """Of an entry's bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Of two subtrees side by side."""
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree that grows at its right edge: all that is kept are the roots of its full subtrees, widest first."""

    def __init__(self, size: int = 0, peaks: Iterable[bytes] = ()) -> None:
        """Raises ValueError where so many leaves have another number of full subtrees."""
        self.size, self.peaks = size, list(peaks)
        if len(self.peaks) != size.bit_count():
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} full subtrees, not {len(self.peaks)}")

    def append(self, leaf: bytes) -> None:
        """One leaf more; two hashes on average."""
        filled = self.size
        while filled & 1:
            leaf = node_hash(self.peaks.pop(), leaf)
            filled >>= 1
        self.peaks.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Of all leaves so far."""
        if not self.peaks:
            return EMPTY
        right = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            right = node_hash(left, right)
        return right

    def copy(self) -> Frontier:
        """One that grows by itself."""
        return Frontier(self.size, self.peaks)


def root(leaves: Iterable[bytes]) -> bytes:
    """Of these leaves."""
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root()


def inclusion_proof(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """The hashes that lead from a leaf to the root, lowest first. Raises IndexError for a leaf that there is not."""
    if not 0 <= index < len(leaves):
        raise IndexError(f"there is no leaf {index} among {len(leaves)}")
    proof: list[bytes] = []
    start, end = 0, len(leaves)
    while end - start > 1:
        middle = start + _split(end - start)
        if index < middle:
            proof.append(root(leaves[middle:end]))
            end = middle
        else:
            proof.append(root(leaves[start:middle]))
            start = middle
    return proof[::-1]


def consistency_proof(leaves: Sequence[bytes], earlier: int) -> list[bytes]:
    """Shows that the tree of the first `earlier` leaves grew into this one. Raises IndexError for more leaves."""
    if not 0 <= earlier <= len(leaves):
        raise IndexError(f"there were no {earlier} leaves before {len(leaves)}")
    if earlier in (0, len(leaves)):
        return []
    proof: list[bytes] = []
    start, end, whole = 0, len(leaves), True  # whole: the part that ends at `earlier` is the earlier tree itself
    while end != earlier:
        middle = start + _split(end - start)
        if earlier <= middle:
            proof.append(root(leaves[middle:end]))
            end = middle
        else:
            proof.append(root(leaves[start:middle]))
            start, whole = middle, False
    if not whole:
        proof.append(root(leaves[start:end]))
    return proof[::-1]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], expected: bytes) -> bool:
    """Whether the proof leads from this leaf, at this place in a tree of this size, to the expected root."""
    if not 0 <= index < size:
        return False
    place, last, found = index, size - 1, leaf
    for step in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(step, found)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, step)
        place, last = place >> 1, last >> 1
    return last == 0 and found == expected


def verify_consistency(earlier: int, size: int, was: bytes, now: bytes, proof: Sequence[bytes]) -> bool:
    """Whether the tree of `earlier` leaves with the root `was` grew into one of `size` leaves with the root `now`."""
    if not 0 <= earlier <= size:
        return False
    if earlier in (0, size):
        return not proof and was == (now if earlier else EMPTY)
    steps = list(proof)
    if not earlier & (earlier - 1):  # the earlier tree is a full subtree: its root is known
        steps.insert(0, was)
    if not steps:
        return False
    place, last = earlier - 1, size - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    return last == 0 and old == was and new == now


def _split(size: int) -> int:
    """The largest power of two under a size of at least 2: where RFC 6962 splits a tree."""
    return 1 << (size - 1).bit_length() - 1
