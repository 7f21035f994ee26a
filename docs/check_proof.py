"""Checks a proof of `triroute audit prove` without Triroute: python check_proof.py PROOF.json [PUBLIC_KEY]

Give the public key that you know the log by; else the one in the proof is believed. Needs the package `cryptography`.
"""

import base64
import hashlib
import json
import sys

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def check(holds: bool, otherwise: str) -> None:
    if not holds:
        sys.exit(otherwise)


with open(sys.argv[1], encoding="utf-8") as file:
    proof = json.load(file)
name, key_id, key = (sys.argv[2] if len(sys.argv) > 2 else proof["public_key"]).strip().split("+", 2)
raw_key = base64.b64decode(key)  # a byte for the kind of key, which is 1, and the key
body, _, signature_line = proof["checkpoint"].partition("\n\n")
origin, size, root = body.split("\n")
_, signer, coded = signature_line.split()
signature = base64.b64decode(coded)  # the key's id, and the signature
check(name == origin == signer, "the checkpoint is of another log")
check(signature[:4].hex() == key_id == sha256(name.encode(), b"\n", raw_key)[:4].hex(), "another key signed it")
Ed25519PublicKey.from_public_bytes(raw_key[1:]).verify(signature[4:], f"{body}\n".encode())

# The entry's bytes lead to the root that it names (RFC 9162, 2.1.3.2).
place, last = proof["index"], int(size) - 1
check(0 <= place <= last, "the log has no such entry")
found = sha256(b"\x00", base64.b64decode(proof["entry"]))
for step in map(base64.b64decode, proof["proof"]):
    check(last > 0, "the proof is too long")
    if place & 1 or place == last:
        found = sha256(b"\x01", step, found)
        while not place & 1 and place:
            place, last = place >> 1, last >> 1
    else:
        found = sha256(b"\x01", found, step)
    place, last = place >> 1, last >> 1
check(last == 0 and found == base64.b64decode(root), "the entry is not in the log")
print(f"entry {proof['index']} is one of the {size} entries of {name}")
print("what is `shown` beside it is not covered: `triroute audit show --proof FILE` reads the entry's own bytes")
