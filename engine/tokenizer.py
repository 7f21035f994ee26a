"""Byte-level BPE from a GGUF file's metadata.

User text can't become a control token: only `encode(..., special=True)` reads control tokens, and text that passed
`guard` has none that it could read.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any

import llguidance
import tokenizers
from tokenizers import Regex, decoders, models, pre_tokenizers

from triroute.engine.errors import CheckpointError
from triroute.engine.trials import Trials

_CONTROL = 3  # ggml's token type
_GUARD = "\ufdd0"  # a Unicode noncharacter: never part of exchanged text
_PART = 2**14  # characters that are encoded or looked through at a time
_SEAM = re.compile(r"[!-~\w] ")  # all of _SPLITS split before such a space, whatever else there is
_SPLITS: dict[str, Callable[[], list[Any]]] = {
    "smollm": lambda: [pre_tokenizers.Digits(individual_digits=True)],
    "gpt-2": list,
    "llama-bpe": lambda: [
        pre_tokenizers.Split(
            Regex(
                r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
                r"|\s*[\r\n]+|\s+(?!\S)|\s+"
            ),
            behavior="isolated",
        )
    ],
}


class Tokenizer:
    """Text to token ids and back. Immutable."""

    def __init__(self, tokens: list[str], control: set[int], merges: list[str], split: str, end_ids: set[int]) -> None:
        vocab = {token: index for index, token in enumerate(tokens)}
        pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
        self._bpe = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=pairs))
        split_rules: list[Any] = _SPLITS[split]()
        levels = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=split != "llama-bpe")
        self._bpe.pre_tokenizer = pre_tokenizers.Sequence([*split_rules, levels])
        self._bpe.decoder = decoders.ByteLevel()
        self._tokens = tokens
        self._control = {tokens[index]: index for index in control}
        self._control_pattern = re.compile("|".join(re.escape(name) for name in sorted(self._control, key=len)[::-1]))
        self.end_ids = frozenset(end_ids)

    @classmethod
    def from_gguf(cls, reader: Any) -> Tokenizer:
        """From a `gguf.GGUFReader`. Raises CheckpointError for a kind of tokenizer that is not supported."""

        def field(name: str) -> Any:
            if f"tokenizer.ggml.{name}" not in reader.fields:
                raise CheckpointError(f"metadata tokenizer.ggml.{name} is missing; convert the checkpoint again")
            return reader.fields[f"tokenizer.ggml.{name}"].contents()

        kind, split = field("model"), field("pre")
        if kind != "gpt2" or split not in _SPLITS:
            known = ", ".join(_SPLITS)
            raise CheckpointError(
                f"tokenizer {kind!r} with {split!r} is not supported; Triroute reads gpt2 with {known}"
            )
        control = {index for index, kind in enumerate(field("token_type")) if kind == _CONTROL}
        return cls(field("tokens"), control, field("merges"), split, {int(field("eos_token_id"))})

    @property
    def vocab_size(self) -> int:
        return len(self._tokens)

    def encode(self, text: str, *, special: bool = False, most: int | None = None) -> list[int]:
        """Token ids. With `special`, names of control tokens become those tokens; guards vanish.

        More than `most` are only so many that one sees that they are more.
        """
        ids: list[int] = []
        for piece in self._split(text) if special else (text,):
            if special and piece in self._control:
                ids.append(self._control[piece])
            else:
                self._append(ids, piece.replace(_GUARD, "") if special else piece, most)
        return ids

    def _split(self, text: str) -> Iterator[str]:
        """Text between the names of control tokens, and those names."""
        start = 0
        for match in self._control_pattern.finditer(text):
            yield text[start : match.start()]
            yield match.group()
            start = match.end()
        yield text[start:]

    def _append(self, ids: list[int], text: str, most: int | None) -> None:
        """Add the ids of plain text, a part at a time, until there are too many."""
        start = 0
        while start < len(text) and (most is None or len(ids) <= most):
            end = _seam(text, start + _PART)
            if most is not None and end - start > (enough := self._longest * (most + 1)):
                head = self._plain(text[start : start + enough])
                if len(head) > most:
                    ids += head
                    return
            ids += self._plain(text[start:end])
            start = end

    def _plain(self, text: str) -> list[int]:
        """Ids of text. As a batch, since others can run meanwhile only then."""
        return list(self._bpe.encode_batch_fast([text], add_special_tokens=False)[0].ids)

    def guard(self, text: str) -> str:
        """`text` with the names of control tokens broken up, so that `encode(..., special=True)` reads them as text."""
        plain = text.replace(_GUARD, "")
        return self._control_pattern.sub(lambda match: match.group()[0] + _GUARD + match.group()[1:], plain)

    def token_bytes(self, token: int) -> bytes:
        """The bytes that a token stands for; none for a control token."""
        return self._bytes[token]

    def show(self, token: int) -> str:
        """A single token for people: control tokens by name, bytes that are no whole character as <0xNN>."""
        name = self._tokens[token]
        if name in self._control:
            return name
        return self._bytes[token].decode("utf-8", errors="triroute.hex")

    @cached_property
    def llguidance(self) -> llguidance.LLTokenizer:
        """The same vocabulary for grammar masks."""
        return llguidance.LLTokenizer(**self._described)

    @cached_property
    def trials(self) -> Trials:
        """Where grammars are tried against the same vocabulary."""
        return Trials(self._described)

    @cached_property
    def _described(self) -> dict[str, Any]:
        """For llguidance. Control tokens have names that no text can hold, to stay out of it."""
        described = json.loads(self._bpe.to_str())
        vocab, secret = described["model"]["vocab"], secrets.token_hex(16)
        hidden = [f"<|{secret}:{token}|>" for token in self._control.values()]
        for name, other in zip(self._control, hidden, strict=True):
            vocab[other] = vocab.pop(name)
        whole = tokenizers.Tokenizer.from_str(json.dumps(described))
        whole.add_special_tokens(hidden)
        return {"tokenizer": whole.to_str(), "n_vocab": self.vocab_size, "eos_token": sorted(self.end_ids)}

    @cached_property
    def _longest(self) -> int:
        """The most characters that a token stands for."""
        return max(map(len, self._tokens))

    @cached_property
    def _bytes(self) -> list[bytes]:
        alphabet = byte_alphabet()
        return [
            b"" if token in self._control else bytes(alphabet[character] for character in token)
            for token in self._tokens
        ]


def _seam(text: str, start: int) -> int:
    """The first place where both sides of a cut have the ids that they have together, or the end."""
    for at in range(start, len(text), _PART):
        if found := _SEAM.search(text, at - 1, at + _PART):
            return found.end() - 1
    return len(text)


def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


def _hex(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return "".join(f"<0x{byte:02X}>" for byte in error.object[error.start : error.end]), error.end


def _register() -> None:
    import codecs

    codecs.register_error("triroute.hex", _hex)


_register()
