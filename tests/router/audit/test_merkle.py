"""Merkle trees against the definition of RFC 6962, its test vectors, and forged proofs."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.audit.merkle import (
    EMPTY,
    Frontier,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# Of the Certificate Transparency project's own tests.
ENTRIES = [
    bytes.fromhex(entry)
    for entry in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

sizes = st.integers(1, 70)


def leaves_of(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


def defined(leaves: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, as it is written there."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + defined(leaves[:half]) + defined(leaves[half:])).digest()


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_of_the_vectors(size: int) -> None:
    assert root([leaf_hash(entry) for entry in ENTRIES[:size]]).hex() == ROOTS[size - 1]


def test_proofs_of_the_vectors() -> None:
    leaves = [leaf_hash(entry) for entry in ENTRIES]
    assert inclusion_proof(leaves, 5) == [leaves[4], root(leaves[6:8]), bytes.fromhex(ROOTS[3])]
    assert [step.hex()[:8] for step in consistency_proof(leaves, 6)] == [
        "0ebc5d34",
        "ca854ea1",
        "d37ee418",
    ]
    assert root([]) == EMPTY


@given(st.integers(0, 200))
def test_grown_is_as_defined(size: int) -> None:
    leaves = leaves_of(size)
    assert root(leaves) == defined(leaves)
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    again = Frontier(frontier.size, frontier.peaks)
    again.append(b"x" * 32)
    assert again.root() == defined([*leaves, b"x" * 32])
    assert frontier.root() == defined(leaves)


@given(sizes, st.data())
def test_inclusion(size: int, data: st.DataObject) -> None:
    leaves, index = leaves_of(size), data.draw(st.integers(0, size - 1))
    proof, top = inclusion_proof(leaves, index), root(leaves)
    assert verify_inclusion(leaves[index], index, size, proof, top)
    other = data.draw(st.integers(-1, size + 1))
    assert verify_inclusion(leaves[index], other, size, proof, top) == (other == index)
    assert not verify_inclusion(leaf_hash(b"another"), index, size, proof, top)
    assert not verify_inclusion(leaves[index], index, size, [*proof, top], top)
    if proof:
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        forged = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not verify_inclusion(leaves[index], index, size, forged, top)
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], top)


@given(sizes, st.data())
def test_consistency(size: int, data: st.DataObject) -> None:
    leaves, earlier = leaves_of(size), data.draw(st.integers(0, size))
    proof, was, now = consistency_proof(leaves, earlier), root(leaves[:earlier]), root(leaves)
    assert verify_consistency(earlier, size, was, now, proof)
    assert not verify_consistency(earlier, size, flipped(was, 3), now, proof)
    if earlier:
        assert not verify_consistency(earlier, size, was, flipped(now, 3), proof)
    assert not verify_consistency(earlier, size, was, now, [*proof, now])
    if proof:
        at, bit = data.draw(st.integers(0, len(proof) - 1)), data.draw(st.integers(0, 255))
        forged = [*proof[:at], flipped(proof[at], bit), *proof[at + 1 :]]
        assert not verify_consistency(earlier, size, was, now, forged)


def test_what_there_is_not() -> None:
    with pytest.raises(IndexError, match="no leaf 3 among 3"):
        inclusion_proof(leaves_of(3), 3)
    with pytest.raises(IndexError, match="no 4 leaves before 3"):
        consistency_proof(leaves_of(3), 4)
    with pytest.raises(ValueError, match="3 leaves has 2 full subtrees, not 1"):
        Frontier(3, [EMPTY])


def flipped(hash_: bytes, bit: int) -> bytes:
    return (int.from_bytes(hash_, "big") ^ (1 << bit)).to_bytes(32, "big")
