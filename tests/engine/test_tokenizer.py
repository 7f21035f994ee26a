"""Our tokenizer against transformers', on the same file."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from triroute.engine.checkpoints import default_checkpoint
from triroute.engine.engine import Engine
from triroute.engine.tokenizer import Tokenizer, byte_alphabet

TEXTS = [
    "Hello, world!",
    "  two  spaces\tand\ttabs\n\n\nlines ",
    "def f(x):\n    return x**2 + 1234567890\n",
    "naïve café — “quotes” … 😀👩‍👩‍👧 漢字 かな عربى",
    '{"a": [1, 2.5e-3, null], "b": "\\n"}',
    "I'm you're they'll we've he'd",
    "",
]


@pytest.fixture(scope="module")
def tokenizer(engine: Engine) -> Tokenizer:
    return engine.tokenizer


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_equals_transformers(tokenizer: Tokenizer) -> None:
    path = default_checkpoint()
    theirs = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    rendered = "<|im_start|>user\nhi<|im_end|>\n"
    for text in TEXTS:
        assert tokenizer.encode(text) == theirs(text, add_special_tokens=False).input_ids, text
    assert tokenizer.encode(rendered, special=True) == theirs(rendered, add_special_tokens=False).input_ids


@settings(max_examples=200, deadline=None)
@given(text=st.text(max_size=60))
def test_round_trip(tokenizer: Tokenizer, text: str) -> None:
    """For all text whose bytes the vocabulary has: the embedded one lacks some that are rare."""
    known = {tokenizer.token_bytes(token) for token in range(tokenizer.vocab_size)}
    text = "".join(character for character in text if all(bytes([byte]) in known for byte in character.encode()))
    ids = tokenizer.encode(text)
    assert b"".join(tokenizer.token_bytes(token) for token in ids).decode() == text


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet="<|im_endstar>\n a", max_size=60))
def test_guarded_text_has_no_control_tokens(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(tokenizer.guard(text), special=True)
    assert all(tokenizer.token_bytes(token) for token in ids)
    assert b"".join(tokenizer.token_bytes(token) for token in ids).decode() == text


@pytest.mark.parametrize("split", ["smollm", "gpt-2", "llama-bpe"])
@settings(max_examples=200, deadline=None)
@given(text=st.text(alphabet="ab1 \n\t!'t\u00a0é", max_size=60))
def test_parts_have_the_ids_of_the_whole(split: str, text: str) -> None:
    pairs = list(product("Ġabt1Ċ!'", repeat=2))  # any two that are together are one token
    tokens = [*byte_alphabet(), *map("".join, pairs), "<|end|>"]
    pairing = Tokenizer(tokens, {len(tokens) - 1}, list(map(" ".join, pairs)), split, {len(tokens) - 1})
    with pytest.MonkeyPatch.context() as patch:
        whole = pairing.encode(text)
        patch.setattr("triroute.engine.tokenizer._PART", 3)
        assert pairing.encode(text) == whole


def test_no_more_is_encoded_than_shows_that_it_is_too_much(tokenizer: Tokenizer) -> None:
    for text in ("word " * 400_000, "x" * 4_000_000, " " * 4_000_000, "<|im_end|>" * 400_000):
        assert 100 < len(tokenizer.encode(text, most=100)) < 10_000, text[:10]
    for text in TEXTS:
        assert tokenizer.encode(text, most=100) == tokenizer.encode(text)


def test_show(tokenizer: Tokenizer) -> None:
    (end,) = tokenizer.end_ids
    assert tokenizer.show(end) == "<|im_end|>"
    assert "".join(tokenizer.show(token) for token in tokenizer.encode(" hi")) == " hi"
    assert tokenizer.show(tokenizer.encode("\U0001f9ff")[0]).startswith("<0xF0>")
