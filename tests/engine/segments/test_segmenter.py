"""Every format, split at every token boundary: how the text was divided never matters."""

from __future__ import annotations

import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.engine.segments import Segmenter
from triroute.engine.segments.parameters import parameters_of
from triroute.engine.testing import tiny_tokenizer
from triroute.engine.tokenizer import Tokenizer, byte_alphabet
from triroute.engine.types import BrokenCall, CallEvent, CallPiece, SegmentKind, WrittenCall

PROSE, CODE, CALL = SegmentKind.PROSE, SegmentKind.CODE, SegmentKind.TOOL_CALL
THINKING, PLAN = SegmentKind.THINKING, SegmentKind.PLAN
TINY = tiny_tokenizer()
WEATHER = '{"name": "weather", "arguments": {"city": "Paris"}}'
Kinds = list[SegmentKind]
PARAMETERS = parameters_of(
    [
        (
            "typed",
            json.dumps(
                {
                    "$defs": {"word": {"type": "string"}, "loop": {"$ref": "#/$defs/loop"}},
                    "properties": {
                        "text": {"type": "string"},
                        "word": {"$ref": "#/$defs/word"},
                        "maybe": {"anyOf": [{"type": "string"}, {"type": "null"}]},
                        "n": {"type": "number"},
                        "loop": {"$ref": "#/$defs/loop"},
                        "one": {"enum": ["1", "2"]},
                    },
                }
            ),
        ),
        *((name, "") for name in ("now", "get", "put", "weather", "0get", "get-2")),
    ]
)

PIECES = [
    *("<tool_call>", "</tool_call>", "<function=", "</function>", "<parameter=", "</parameter>", ">", "f.call("),
    *("<|python_tag|>", "[TOOL_CALLS]", "[ARGS]", "<think>", "</think>", "```", "~~~", "`", "\n", " ", "- ", "1. x"),
    *("{", "}", "[", "]", '"', "\\", ":", ",", ";", "code", '"name"', '"arguments"', "é"),
]

# Text, the kinds that it goes through, and its tool calls. A kind is given once for a run of it.
TEXTS: dict[str, tuple[str, Kinds, list[tuple[str, object]]]] = {
    "prose": ("A fence is ``` and <tool_call is no tag.\n", [PROSE], []),
    "fence": ("So:\n```python\nx = 1\n```\nDone.", [PROSE, CODE, PROSE], []),
    "fence of tildes": ("~~~\n```\n~~~ x\n~~~~\nDone.", [PROSE, CODE, PROSE], []),
    "longer fence": ("````md\n```py\n```\n````\nDone.", [PROSE, CODE, PROSE], []),
    "fence with words": ('```python title="a b"\nx\n```\n', [PROSE, CODE, PROSE], []),
    "no fence": ("```x``` is code\nin prose", [PROSE], []),
    "fence in a list": (
        "- first:\n  ```sh\n  ls\n  ```\n- second\nDone with it all.",
        [PROSE, PLAN, CODE, PLAN, PROSE],
        [],
    ),
    "fence behind a bullet": ("1. ```sh\n   ls\n   ```\nDone with it, all.", [PROSE, PLAN, CODE, PLAN, PROSE], []),
    "fence in a quote": ("> ```\n> x\n> ```\nDone", [PROSE, CODE, PROSE], []),
    "tags in a fence": ("```\n<tool_call>\n<think>\n```\n", [PROSE, CODE, PROSE], []),
    "carriage returns": ("```c\r\nx\r\n```\r\nDone", [PROSE, CODE, PROSE], []),
    "list": ("Plan:\n1. Look.\n2. Leap.\n\nThat is all there is.", [PROSE, PLAN, PROSE], []),
    "bullets": ("* one\n  more of one\n\n• two\nIs that all there is?", [PROSE, PLAN, PROSE], []),
    "steps": ("## Step 1: look\nStep 2: leap\nThat is all there is.", [PROSE, PLAN, PROSE], []),
    "no list": ("-1 is less than 1.5\n**bold** words\n---\n3.14 is pi", [PROSE], []),
    "thinking": ("<think>\n1. hm\n```\n</think>\nSo.", [PROSE, THINKING, PROSE], []),
    "thinking of Mistral": ("[THINK]hm[/THINK]So.", [PROSE, THINKING, PROSE], []),
    "tag in backticks": ("Write `<think>` or `<tool_call>` first.", [PROSE], []),
    "Hermes": (
        f"Hi <tool_call>\n{WEATHER}\n</tool_call>\nDone",
        [PROSE, CALL, PROSE],
        [("weather", {"city": "Paris"})],
    ),
    "Hermes twice": (
        f"<tool_call>{WEATHER}</tool_call><tool_call>{WEATHER}</tool_call>",
        [PROSE, CALL, PROSE, CALL, PROSE],
        [("weather", {"city": "Paris"})] * 2,
    ),
    "a list in tags": (
        f"<tool_call>[{WEATHER}, {WEATHER}]</tool_call>.",
        [PROSE, CALL, PROSE],
        [("weather", {"city": "Paris"})] * 2,
    ),
    "no calls in tags": ("<tool_call>[]</tool_call>.", [PROSE, CALL, PROSE], []),
    "broken JSON": ('<tool_call>{"name": "x", "arguments": {</tool_call> So.', [PROSE, CALL, PROSE], []),
    "the closing tag in a string": (
        '<tool_call>{"name": "say", "arguments": {"text": "</tool_call> \\" } ]"}}</tool_call> So.',
        [PROSE, CALL, PROSE],
        [("say", {"text": '</tool_call> " } ]'})],
    ),
    "code in an argument": (
        '<tool_call>{"name": "run", "arguments": {"code": "if x:\\n  f(\\"{\\")", "n": 1}}</tool_call>',
        [PROSE, CALL, CODE, CALL, PROSE],
        [("run", {"code": 'if x:\n  f("{")', "n": 1})],
    ),
    "a key named like code": (
        '<tool_call>{"name": "code", "arguments": {"x": ["code", "y"], "command": 1}}</tool_call>',
        [PROSE, CALL, PROSE],
        [("code", {"x": ["code", "y"], "command": 1})],
    ),
    "Qwen Coder": (
        "<tool_call>\n<function=run>\n<parameter=code>\nx < 1\n</parameter>\n<parameter=n>\n2\n</parameter>\n"
        "</function>\n</tool_call>\nDone",
        [PROSE, CALL, CODE, CALL, PROSE],
        [("run", {"code": "x < 1", "n": 2})],
    ),
    "Qwen Coder, types as the tool has them": (
        "<function=typed><parameter=text>123</parameter><parameter=word>null</parameter><parameter=maybe>null</parameter>"
        "<parameter=n>5</parameter><parameter=loop>[1]</parameter><parameter=one>1</parameter>"
        "<parameter=other>7</parameter></function>",
        [PROSE, CALL, PROSE],
        [("typed", {"text": "123", "word": "null", "maybe": None, "n": 5, "loop": [1], "one": "1", "other": 7})],
    ),
    "Llama function": ('<function=get>{"id": 7}</function> Done', [PROSE, CALL, PROSE], [("get", {"id": 7})]),
    "Llama function without arguments": ("<function=get></function> Done", [PROSE, CALL, PROSE], [("get", {})]),
    "Llama tag": (
        '<|python_tag|>{"name": "get", "parameters": {"id": 7}}; {"name": "put", "parameters": {}} Done',
        [PROSE, CALL, PROSE],
        [("get", {"id": 7}), ("put", {})],
    ),
    "Llama code": (
        "<|python_tag|>import os\nos.getcwd()",
        [PROSE, CALL, CODE],
        [("code_interpreter", {"code": "import os\nos.getcwd()"})],
    ),
    "Llama built-in": (
        '<|python_tag|>brave_search.call(query="a, (b)", count=3)',
        [PROSE, CALL, CODE],
        [("brave_search", {"query": "a, (b)", "count": 3})],
    ),
    "Mistral": (f"[TOOL_CALLS][{WEATHER}] Done", [PROSE, CALL, PROSE], [("weather", {"city": "Paris"})]),
    "Mistral by name": (
        '[TOOL_CALLS]get[CALL_ID]a1[ARGS]{"id": 7}[TOOL_CALLS]put[ARGS]{}',
        [PROSE, CALL, PROSE, CALL, PROSE],
        [("get", {"id": 7}), ("put", {})],
    ),
    "bare": (f"\n {WEATHER}", [PROSE, CALL], [("weather", {"city": "Paris"})]),
    "bare list": (f"[{WEATHER}] Done", [PROSE, CALL, PROSE], [("weather", {"city": "Paris"})]),
    "bare, of OpenAI": (
        '{"type": "function", "function": {"name": "get", "arguments": "{\\"id\\": 7}"}}',
        [PROSE, CALL],
        [("get", {"id": 7})],
    ),
    "bare, after thinking": (
        f"\n<think>\nhm\n</think>\n\n{WEATHER}",
        [PROSE, THINKING, PROSE, CALL],
        [("weather", {"city": "Paris"})],
    ),
    "bare, after thinking and words": (
        f"<think>hm</think>So\n<think></think>{WEATHER}",
        [PROSE, THINKING, PROSE, THINKING, PROSE],
        [],
    ),
    "bare, the name last": (
        '{"arguments": {"id": 7}, "name": "get"}',
        [PROSE, CALL],
        [("get", {"id": 7})],
    ),
    "pythonic": (
        '[typed(text="a ] \\" b", n=[1, {"k": None}], maybe=\'x\'), now()] Done',
        [PROSE, CALL, PROSE],
        [("typed", {"text": 'a ] " b', "n": [1, {"k": None}], "maybe": "x"}), ("now", {})],
    ),
    "pythonic, names as tools may have them": (
        "[0get(a=1), get-2()]",
        [PROSE, CALL, PROSE],
        [("0get", {"a": 1}), ("get-2", {})],
    ),
    "pythonic, escapes as Python reads them": (
        r"""[now(a="\U0001F600\d+\101\x41\0\\", b='\ud83d\ude00\'')]""",
        [PROSE, CALL, PROSE],
        [("now", {"a": "\U0001f600\\d+AA\0\\", "b": "\U0001f600'"})],
    ),
    "Llama built-in, other values": (
        r"""<|python_tag|>get.call(city="a\"b", n=[1, 2], name='a')""",
        [PROSE, CALL, CODE],
        [("get", {"city": 'a"b', "n": [1, 2], "name": "a"})],
    ),
    "Llama code that only looks like a call": (
        "<|python_tag|>x.call(y)",
        [PROSE, CALL, CODE],
        [("code_interpreter", {"code": "x.call(y)"})],
    ),
    "bare, of no tool": ('{"tool": "hammer", "input": "nail"} is JSON.', [PROSE, CALL, PROSE], []),
    "a list that calls no tool": ("[other(1)] Done", [PROSE], []),
    "bare JSON that calls nothing": ('{"answer": {"name": "x", "arguments": {}}}\n', [PROSE], []),
    "JSON after prose": (f"So {WEATHER}", [PROSE], []),
    "not ASCII": (
        '<tool_call>{"name": "say", "arguments": {"text": "海 🌊"}}</tool_call>é',
        [PROSE, CALL, PROSE],
        [("say", {"text": "海 🌊"})],
    ),
}


def ids(tokenizer: Tokenizer, text: str) -> list[int]:
    return tokenizer.encode(text)


def follow(tokenizer: Tokenizer, tokens: list[int], **options: bool) -> tuple[Kinds, list[WrittenCall]]:
    """The kinds after each token, and all calls."""
    kinds, events = read(tokenizer, tokens, **options)
    return kinds, [event for event in events if isinstance(event, WrittenCall)]


def read(tokenizer: Tokenizer, tokens: list[int], **options: bool) -> tuple[Kinds, list[CallEvent]]:
    """The kinds after each token, and all that became known of calls. The pieces make up the calls."""
    segmenter = Segmenter(tokenizer, (), may_call=options.get("may_call", True), parameters=PARAMETERS)
    kinds, events = [segmenter.kinds[0]], list[CallEvent]()
    for token in tokens:
        events += segmenter.push(token)
        kinds.append(segmenter.kinds[0])
    events += segmenter.end()
    for call in (event for event in events if isinstance(event, WrittenCall)):
        pieces = [event for event in events if isinstance(event, CallPiece) and event.number == call.number]
        assert [piece.name for piece in pieces] == [call.name] + [""] * (len(pieces) - 1)
        assert "".join(piece.arguments for piece in pieces) == call.arguments
    return kinds, events


def runs(kinds: Kinds) -> Kinds:
    return [kind for at, kind in enumerate(kinds) if at == 0 or kinds[at - 1] is not kind]


@pytest.mark.parametrize("name", TEXTS)
def test_byte_by_byte(name: str) -> None:
    text, expected, calls = TEXTS[name]
    kinds, found = follow(TINY, ids(TINY, text))
    assert runs(kinds) == expected
    assert [(call.name, json.loads(call.arguments)) for call in found] == calls
    for call in found:
        said = b"".join(map(TINY.token_bytes, ids(TINY, text)[call.first : call.end])).decode()
        assert said[-1] in "}>)]" or call.name == "code_interpreter"


@pytest.mark.parametrize("name", TEXTS)
def test_split_anywhere(name: str) -> None:
    """Two tokens, at every place; then many, at random ones."""
    text, _, _ = TEXTS[name]
    data = text.encode()
    bytewise = _states(data, range(len(data) + 1))
    chance = random.Random(name)
    cuts = [[at] for at in range(len(data) + 1)]
    cuts += [sorted(chance.sample(range(len(data) + 1), min(len(data), chance.randint(2, 12)))) for _ in range(40)]
    for cut in cuts:
        for at, state in _states(data, cut).items():
            assert state == bytewise[at], (cut, data[:at])


def _states(data: bytes, cuts: range | list[int]) -> dict[int, object]:
    """Where the text stands after each piece, and the calls so far, without their places."""
    alphabet = {byte: character for character, byte in byte_alphabet().items()}
    bounds = [0, *cuts, len(data)]
    pieces = [data[a:b] for a, b in pairwise(bounds)]
    names = ["".join(alphabet[byte] for byte in piece) for piece in pieces]
    tokenizer = Tokenizer([*names, "<|im_end|>"], {len(names)}, [], "gpt-2", {len(names)})
    segmenter = Segmenter(tokenizer, (), may_call=True, parameters=PARAMETERS)
    states: dict[int, object] = {}
    calls: list[object] = []
    pieces: dict[int, str] = {}
    for number, end in enumerate(bounds[1:]):
        for event in segmenter.push(number):
            if isinstance(event, CallPiece):
                pieces[event.number] = pieces.get(event.number, event.name + " ") + event.arguments
            else:
                calls.append((event.name, event.arguments) if isinstance(event, WrittenCall) else "broken")
        states[end] = segmenter.kinds, list(calls), dict(pieces)
    return states


def test_control_tokens_open_by_name() -> None:
    tokens = [*byte_alphabet(), "[TOOL_CALLS]", "<|im_end|>"]
    tokenizer = Tokenizer(tokens, {256, 257}, [], "gpt-2", {257})
    kinds, calls = follow(tokenizer, [256, *tokenizer.encode(f"[{WEATHER}]"), 257])
    assert runs(kinds) == [PROSE, CALL, PROSE]
    assert (calls[0].name, calls[0].first, calls[0].end) == ("weather", 2, 2 + len(WEATHER))


def test_only_where_it_may_call_is_bare_json_a_call() -> None:
    assert runs(follow(TINY, ids(TINY, WEATHER), may_call=False)[0]) == [PROSE]


@pytest.mark.parametrize(
    ("prompt", "kind"),
    [
        ("assistant\n<think>\n", THINKING),
        ("<think>\n\n</think>\n\n", PROSE),
        ("Code:\n```python\n", CODE),
        ("Code:\n```\n", PROSE),  # may as well close a fence
        ("say `<think>`", PROSE),
    ],
)
def test_what_the_prompt_leaves_open(prompt: str, kind: SegmentKind) -> None:
    assert Segmenter(TINY, ids(TINY, prompt), may_call=False).kinds[0] is kind


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(PIECES),
        max_size=40,
    ),
    st.randoms(use_true_random=False),
)
def test_any_text_is_followed(parts: list[str], chance: random.Random) -> None:
    """No text breaks it, and no division of a text changes what it is."""
    data = "".join(parts).encode()
    bytewise = _states(data, range(len(data) + 1))
    cut = sorted(chance.sample(range(len(data) + 1), min(len(data), 8)))
    for at, state in _states(data, cut).items():
        assert state == bytewise[at]


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "\\ud800", "arguments": "\\udfff"}</tool_call>',
        '<function=f><parameter=x>"\\ud800"</parameter></function>',
        '<|python_tag|>f.call(x="\\ud800")',
        '<tool_call>{"name": "f", "arguments": {"n": ' + "9" * 5000 + "}}</tool_call>",
        '<tool_call>{"name": "f", "arguments": ' + '{"a":' * 3000 + "1" + "}" * 3001 + "</tool_call>",
        "<tool_call>" + '{"function": ' * 600 + "1" + "}" * 600 + "</tool_call>",
        "<tool_call>" + "[" * 5000 + "]" * 5000 + "</tool_call>",
        "<tool_call>" + "}" * 100 + "]" * 100 + "</tool_call>",
        "<function=" + "x" * 2000 + ">",
        "[TOOL_CALLS]" + "x" * 2000 + "{}",
        "[typed(text=" + "[" * 5000 + "]" * 5000 + ")]",
        "[typed(text='\\ud800', n=" + "9" * 5000 + ")]",
        "[typed(), 5, [1, 2], 'ab']",
        '[typed(), ["now", {}]]',
        "[typed(((((",
        "`" * 3000 + "x`\n",
        " " * 5000 + "- x",
    ],
)
def test_hostile_text(text: str) -> None:
    """Nothing fails, and what is told can be sent."""
    _, events = read(TINY, ids(TINY, text))
    for event in events:
        assert isinstance(event, BrokenCall) or (event.name + event.arguments).encode()


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f"<tool_call>{WEATHER}</tool_call><tool_call>[{WEATHER[:20]}</tool_call>", ["weather", "broken"]),
        ('<tool_call>[{"name": "x"}]</tool_call> and []', ["broken"]),
        ("<tool_call>", ["broken"]),
        ("<tool_call>no</tool_call>", ["broken"]),
        ("<tool_call>[1]</tool_call>", ["broken"]),
        ("<tool_call>[]</tool_call>", []),
        ("<tool_call>[", ["broken"]),
        (f"<tool_call>{WEATHER}", ["weather"]),
        ('<tool_call>[{"name": "\\q", "arguments": {"x": 1}}]</tool_call>', ["broken"]),
        ('<tool_call>[{"name": "a", "arguments": {}, "name": "b"}]</tool_call>', ["broken"]),
        ('<tool_call>[{"name": "a", "arguments": {}, "arguments": {"x": 1}}]</tool_call>', ["broken"]),
        ("<function=f>{", ["broken"]),
        ("<function=f><parameter=x>1</parameter>", ["broken"]),
        ("<function=>{}</function>", ["broken"]),
        ("<|python_tag|> ", ["broken"]),
        ("[TOOL_CALLS]" + "x" * 300, ["broken"]),
        ('{"name": "Bob"} <b>', []),
        ('{"name": "Bob", "age": <', []),
        ('{"name": "get", "arguments": {<', ["broken"]),
        ('{"name": "Bob", "arguments": {<', []),
        (f'[{WEATHER}, {{"x": 1}}] tail', ["weather", "broken"]),
        ('<function=get>{"id": 1}{"id": 2}</function> x', ["get", "broken"]),
        (f"<tool_call>{WEATHER} junk</tool_call>", ["weather", "broken"]),
        (f"<tool_call>junk {WEATHER} junk</tool_call>", ["broken", "weather"]),
        (f"<tool_call>\n```json\n{WEATHER}\n```\n</tool_call>", ["weather"]),
        ("Write `<tool_call>`, or\n```\n<tool_call>[\n```\n<think>or <tool_call></think>", []),
    ],
)
def test_what_can_not_be_read(text: str, what: list[str]) -> None:
    _, events = read(TINY, ids(TINY, text))
    told = [event for event in events if not isinstance(event, CallPiece)]
    assert ["broken" if isinstance(event, BrokenCall) else event.name for event in told] == what


def test_arguments_are_told_as_they_come() -> None:
    segmenter = Segmenter(TINY, (), may_call=True)
    told = [segmenter.push(token) for token in ids(TINY, '<tool_call>[{"name": "a", "arguments": {"x": "é}"')]
    pieces = [piece for pieces in told for piece in pieces if isinstance(piece, CallPiece)]
    assert [piece.name for piece in pieces if piece.name] == ["a"]
    assert [piece.arguments for piece in pieces if not piece.name] == list('{"x": "é}"')


def test_a_call_that_breaks_off_keeps_its_number() -> None:
    _, events = read(TINY, ids(TINY, f'<tool_call>[{{"name": "a", "arguments": {{</tool_call><tool_call>{WEATHER}'))
    assert [event.number for event in events if isinstance(event, WrittenCall)] == [1]


@pytest.mark.parametrize("name", TEXTS)
def test_a_copy_goes_its_own_way(name: str) -> None:
    tokens = ids(TINY, TEXTS[name][0])
    segmenter = Segmenter(TINY, (), may_call=True, parameters=PARAMETERS)
    whole: list[CallEvent] = []
    copies = []
    for token in tokens:
        copies.append((segmenter.copy(), list(whole)))
        whole += segmenter.push(token)
    whole += segmenter.end()
    for at in range(0, len(tokens), 7):
        twin, events = copies[at]
        for token in tokens[at:]:
            events += twin.push(token)
        assert events + list(twin.end()) == whole
