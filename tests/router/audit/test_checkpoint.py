"""Signed notes: as C2SP's, and altered in every way."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from triroute.router.audit.checkpoint import BadCheckpoint, Checkpoint, Verifier, parse_checkpoint
from triroute.router.audit.key import own_key

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
VERIFIER = Verifier("triroute/abc", KEY.public_key())
NOTE = Checkpoint("triroute/abc", 12, bytes(32)).sign(KEY)
# Of the documentation of golang.org/x/mod/sumdb/note.
PEER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PEER_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def test_there_and_back() -> None:
    assert parse_checkpoint(NOTE, VERIFIER) == Checkpoint("triroute/abc", 12, bytes(32))
    assert NOTE.splitlines()[:4] == ["triroute/abc", "12", "A" * 43 + "=", ""]
    again = Verifier.parse(str(VERIFIER))
    assert str(again) == str(VERIFIER)


def test_keys_and_ids_are_those_of_signed_notes() -> None:
    peer = Verifier.parse(PEER)
    assert (peer.name, peer.id.hex()) == ("PeterNeumann", "c74f20a3")
    assert str(peer) == PEER
    with pytest.raises(BadCheckpoint, match="no checkpoint"):  # a note, of something else
        parse_checkpoint(PEER_NOTE, peer)


@given(st.integers(0, len(NOTE.encode()) - 1), st.integers(0, 7))
def test_any_flipped_bit_is_found(at: int, bit: int) -> None:
    raw = bytearray(NOTE.encode())
    raw[at] ^= 1 << bit
    with pytest.raises(BadCheckpoint):
        parse_checkpoint(raw.decode(errors="replace"), VERIFIER)


def test_every_flipped_bit_of_a_signature_is_found() -> None:
    raw = NOTE.encode()
    for at in range(len(raw) - 8, len(raw)):
        for bit in range(7):
            with pytest.raises(BadCheckpoint):
                parse_checkpoint((raw[:at] + bytes([raw[at] ^ 1 << bit]) + raw[at + 1 :]).decode(), VERIFIER)


@pytest.mark.parametrize(
    ("note", "why"),
    [
        ("", "no checkpoint"),
        (NOTE[:-1], "altered"),
        (f"{NOTE}\n", "altered"),
        (f"{NOTE}x\n", "altered"),
        (NOTE.replace("\n12\n", "\n+12\n"), "altered"),
    ],
)
def test_other_texts(note: str, why: str) -> None:
    with pytest.raises(BadCheckpoint, match=why):
        parse_checkpoint(note, VERIFIER)


def test_signed_by_others_too() -> None:
    other = NOTE.splitlines()[-1].replace("triroute/abc", "witness.example/1")
    assert parse_checkpoint(f"{NOTE}{other}\n", VERIFIER).size == 12


def test_of_another_log_and_another_key() -> None:
    with pytest.raises(BadCheckpoint, match="of another log, triroute/abc, and not of triroute/x"):
        parse_checkpoint(NOTE, Verifier("triroute/x", KEY.public_key()))
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(BadCheckpoint, match="not signed by the key"):
        parse_checkpoint(NOTE, Verifier("triroute/abc", other))


@pytest.mark.parametrize("text", ["", "a+b", "a+00000000+!", PEER.replace("c7", "c8"), PEER[:-4]])
def test_what_is_no_public_key(text: str) -> None:
    with pytest.raises(BadCheckpoint, match="public key"):
        Verifier.parse(text)


def test_key_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "new" / "key"
    assert _raw(own_key(path).public_key()) == _raw(own_key(path).public_key())
    assert path.stat().st_mode & 0o777 == 0o600
    assert os.listdir(path.parent) == ["key"]


def test_what_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("no key")
    with pytest.raises(OSError, match="holds no private key in PEM"):
        own_key(tmp_path / "key")


def _raw(key: Ed25519PublicKey) -> bytes:
    return Verifier("x", key).raw
