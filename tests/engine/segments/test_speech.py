"""What is outside of tool calls, however the text was divided."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.engine.segments.test_segmenter import PARAMETERS, PIECES, TEXTS, WEATHER
from triroute.engine.segments import Segmenter, Speech
from triroute.engine.tokenizer import Tokenizer, byte_alphabet

ALPHABET = {byte: character for character, byte in byte_alphabet().items()}


def told(pieces: list[bytes], controls: dict[int, str] | None = None) -> list[str]:
    """What becomes known with each piece, a token of its own, and at the end. Those in `controls` have no text."""
    names = ["".join(ALPHABET[byte] for byte in piece) for piece in pieces]
    names = [(controls or {}).get(number, name) for number, name in enumerate(names)]
    special = {*(controls or {}), len(names)}
    tokenizer = Tokenizer([*names, "<|im_end|>"], special, [], "gpt-2", {len(names)})
    segmenter = Segmenter(tokenizer, (), may_call=True, parameters=PARAMETERS, speech=Speech())
    stretches = []
    for number in range(len(pieces)):
        segmenter.push(number)
        stretches.append(segmenter.spoken())
    segmenter.end()
    stretches.append(segmenter.spoken())
    flat = [stretch for some in stretches for stretch in some]
    assert all(start < end for start, end in flat)
    assert all(before[1] <= after[0] for before, after in pairwise(flat))
    text = b"".join(b"" if number in (controls or {}) else piece for number, piece in enumerate(pieces))
    shown = text.decode(errors="replace")
    assert all(end <= len(shown) for _, end in flat)
    return ["".join(shown[start:end] for start, end in some) for some in stretches]


def bytewise(text: str) -> list[str]:
    return told([bytes([byte]) for byte in text.encode()])


@pytest.mark.parametrize(
    ("text", "speech"),
    [
        (TEXTS["prose"][0], TEXTS["prose"][0]),
        (TEXTS["fence in a list"][0], TEXTS["fence in a list"][0]),
        (TEXTS["tag in backticks"][0], TEXTS["tag in backticks"][0]),
        (TEXTS["Hermes"][0], "Hi \nDone"),
        (TEXTS["Hermes twice"][0], ""),
        (f"\n\n<tool_call>{WEATHER}</tool_call>\n<tool_call>{WEATHER}</tool_call>\n", ""),
        (f"<tool_call>{WEATHER}</tool_call> é 海<tool_call>{WEATHER}</tool_call>🌊", " é 海🌊"),
        (TEXTS["broken JSON"][0], " So."),  # its name was told
        ("<tool_call>no</tool_call> So.", "<tool_call>no</tool_call> So."),
        ("<tool_call>[]</tool_call>", ""),
        ('{"name": "Bob", "arguments": {}} is he.', '{"name": "Bob", "arguments": {}} is he.'),
        (TEXTS["Qwen Coder"][0], "\nDone"),
        (TEXTS["Llama tag"][0], " Done"),
        (TEXTS["Llama code"][0], ""),
        (TEXTS["Mistral by name"][0], ""),
        (TEXTS["bare"][0], ""),
        (TEXTS["bare list"][0], " Done"),
        (TEXTS["bare, after thinking"][0], "\n<think>\nhm\n</think>"),
        (TEXTS["pythonic"][0], " Done"),
        ('{"name": "Bob", "age": 7} is he.', '{"name": "Bob", "age": 7} is he.'),
        (TEXTS["a list that calls no tool"][0], "[other(1)] Done"),
        (TEXTS["JSON after prose"][0], f"So {WEATHER}"),
        ("\n \n", "\n \n"),
        ("", ""),
    ],
)
def test_is_what_no_call_is(text: str, speech: str) -> None:
    assert "".join(bytewise(text)) == speech


def test_is_told_as_soon_as_it_is_certain() -> None:
    assert told([b"Hi ", b"there <", b"tool", b"s> and <tool_call>", b"{"]) == [
        "Hi ",
        "there ",
        "",
        "<tools> and ",
        "",
        "",
    ]


def test_a_character_that_broke_off() -> None:
    assert told([b"a", "é".encode()[:1]]) == ["a", "", "\ufffd"]


def test_a_character_that_broke_off_in_a_call() -> None:
    assert "".join(told([b"a ", f"<tool_call>{WEATHER[:40]}".encode(), "é".encode()[:1]])) == "a "


def test_names_of_control_tokens_are_no_text() -> None:
    pieces = [b"A", b"x", b" b ", b"x", WEATHER.encode(), b"x", b" c", b"x"]
    controls = {1: "<|im_start|>", 3: "<tool_call>", 5: "</tool_call>", 7: "<tool_call>"}
    assert "".join(told(pieces, controls)) == "A b  c"


@pytest.mark.parametrize("name", TEXTS)
def test_split_anywhere(name: str) -> None:
    data, chance = TEXTS[name][0].encode(), random.Random(name)
    whole = bytewise(TEXTS[name][0])
    cuts = [[at] for at in range(len(data) + 1)]
    cuts += [sorted(chance.sample(range(len(data) + 1), min(len(data), 8))) for _ in range(20)]
    for cut in cuts:
        assert _as(data, cut) == _sums(whole, [*cut, len(data)])


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40), st.randoms(use_true_random=False))
def test_any_text(parts: list[str], chance: random.Random) -> None:
    """How a text is divided changes neither what is told nor when."""
    data = "".join(parts).encode()
    cut = sorted(chance.sample(range(len(data) + 1), min(len(data), 8)))
    assert _as(data, cut) == _sums(bytewise(data.decode()), [*cut, len(data)])


def _as(data: bytes, cut: list[int]) -> list[str]:
    """All that was told after each piece, and at the end."""
    *sums, last = told([data[a:b] for a, b in pairwise([0, *cut, len(data)])])
    found = ["".join(sums[: count + 1]) for count in range(len(sums))]
    return [*found, found[-1] + last]


def _sums(whole: list[str], ends: list[int]) -> list[str]:
    return [*("".join(whole[:end]) for end in ends), "".join(whole)]
