"""Bodies of requests: what becomes of them, and how what is wrong is named."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triroute.proto import chat_pb2, decoding_pb2, router_pb2
from triroute.router.convert.checks import violations
from triroute.router.openai import body
from triroute.router.openai.errors import Problem, Refused
from triroute.router.openai.request import Asked, chat, text
from triroute.router.prompts import KEYS

USER = {"role": "user", "content": "hi"}
FIND = {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}, "strict": True}}


def ask(**keys: Any) -> Asked:
    return chat(json.dumps({"messages": [USER], **keys}).encode())


def refused(given: Any, read: Callable[[bytes], Asked] = chat) -> Problem:
    with pytest.raises(Refused) as caught:
        read(given if isinstance(given, bytes) else json.dumps(given).encode())
    return caught.value.problem


def test_whole_request() -> None:
    asked = ask(
        model="m",
        tools=[FIND, {"function": {"name": "bare"}}],
        tool_choice={"type": "function", "function": {"name": "find"}},
        parallel_tool_calls=False,
        response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "string"}}},
        max_completion_tokens=9,
        temperature=1,
        top_p=0.5,
        seed=2**64 - 1,
        stop="END",
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={"7": -100},
        logprobs=True,
        top_logprobs=3,
        stream=True,
        stream_options={"include_usage": True},
        triroute={
            "mode": "self_speculation",
            "variant": "quadratic",
            "block_length": "auto",
            "verification": "relaxed",
            "step": "code",
            "draft_sources": ["prompt_lookup"],
            "draft_threshold": 0.5,
            "session_id": "s",
            "tags": ["a", "b"],
            "tenant": "t",
            "expected_tokens": 5,
            "latency_class": "batch",
            "first_token_ms": 100,
            "top_k": 4,
            "min_p": 0.25,
            "repetition_penalty": 1.5,
        },
    )
    sampling = chat_pb2.Sampling(
        max_tokens=9,
        temperature=1,
        top_p=0.5,
        top_k=4,
        seed=2**64 - 1,
        stop=["END"],
        min_p=0.25,
        repetition_penalty=1.5,
        presence_penalty=1,
        frequency_penalty=-1,
        logit_bias={7: -100},
        logprobs=3,
    )
    hints = router_pb2.DecodeHints(
        mode=decoding_pb2.MODE_SELF_SPECULATION,
        variant=decoding_pb2.VARIANT_QUADRATIC,
        block_length=0,
        verification=decoding_pb2.VERIFICATION_RELAXED,
        step=router_pb2.STEP_KIND_CODE,
        draft_sources=[decoding_pb2.DRAFT_SOURCE_PROMPT_LOOKUP],
        draft_threshold=0.5,
    )
    assert asked.message == router_pb2.GenerateRequest(
        chat=chat_pb2.Chat(messages=[chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content="hi")]),
        tools=[
            chat_pb2.Tool(name="find", parameters_json='{"type": "object"}', strict=True),
            chat_pb2.Tool(name="bare"),
        ],
        tool_choice=chat_pb2.ToolChoice(kind=chat_pb2.ToolChoice.KIND_NAMED, name="find", one_call=True),
        response_format=chat_pb2.ResponseFormat(json_schema='{"type": "string"}'),
        sampling=sampling,
        hints=hints,
        session_id="s",
        tags=["a", "b"],
        tenant="t",
        expected_tokens=5,
        latency_class=router_pb2.LATENCY_CLASS_BATCH,
        first_token_ms=100,
    )
    assert (asked.model, asked.stream, asked.usage, asked.tokens) == ("m", True, True, "max_completion_tokens")


def test_turns_of_a_tool_loop() -> None:
    call = {"id": "c", "type": "function", "index": 0, "function": {"name": "find", "arguments": '{"a": 1}'}}
    told = {"refusal": None, "annotations": [], "audio": None, "function_call": None, "triroute": {"rule_id": "x"}}
    turns = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        USER,
        {"role": "assistant", "content": None, "tool_calls": [call], **told},
        {"role": "tool", "tool_call_id": "c", "content": "found"},
    ]
    system, _, assistant, tool = ask(messages=turns).message.chat.messages
    assert (system.role, system.content) == (chat_pb2.ROLE_SYSTEM, "Be brief.")
    assert assistant.tool_calls == [chat_pb2.ToolCall(id="c", name="find", arguments_json='{"a": 1}')]
    assert (assistant.content, tool.tool_call_id, tool.content) == ("", "c", "found")


@pytest.mark.parametrize("kind", ["none", "auto", "required"])
def test_choice_of_tools(kind: str) -> None:
    assert ask(tools=[FIND], tool_choice=kind).message.tool_choice.kind == chat_pb2.ToolChoice.Kind.Value(
        f"KIND_{kind.upper()}"
    )


def test_formats() -> None:
    assert ask(response_format={"type": "json_object"}).message.response_format.json_schema == '{"type": "object"}'
    assert ask(response_format={"type": "text"}).message.response_format.WhichOneof("constraint") is None
    assert ask(triroute={"regex": "a+"}).message.response_format.regex == "a+"
    assert ask(triroute={"lark": 'start: "a"'}).message.response_format.lark == 'start: "a"'


def test_logprobs() -> None:
    assert ask(logprobs=True).message.sampling.logprobs == 0
    assert not ask(logprobs=False).message.sampling.HasField("logprobs")
    assert not ask(logprobs=None, top_logprobs=None).message.sampling.HasField("logprobs")


def test_what_changes_nothing() -> None:
    plain = ask().message
    ignored = {
        "user": "u",
        "store": False,
        "metadata": {"a": "b"},
        "service_tier": "flex",
        "reasoning_effort": "low",
        "verbosity": "low",
        "prediction": {"type": "content", "content": "x"},
        "prompt_cache_key": "k",
        "safety_identifier": "s",
        "modalities": ["text"],
        "n": 1,
        "functions": None,
        "stream_options": {"include_usage": True, "include_obfuscation": False},
    }
    asked = ask(**ignored, **dict.fromkeys(body.ChatBody.model_fields.keys() - ignored.keys() - {"messages"}))
    assert asked == Asked(plain)


def test_raw_text() -> None:
    asked = text(b'{"prompt": ["on"], "max_tokens": 3, "logprobs": 2, "best_of": 1, "echo": false, "suffix": null}')
    sampling = chat_pb2.Sampling(max_tokens=3, logprobs=2)
    assert asked.message == router_pb2.GenerateRequest(text="on", sampling=sampling, hints=router_pb2.DecodeHints())
    assert not asked.is_chat


def test_wishes_are_spelled_as_in_prompts() -> None:
    assert set(body.Wishes.model_fields) <= set(KEYS)


def test_the_page_names_every_key() -> None:
    page = (Path(__file__).parents[3] / "docs" / "openai.md").read_text(encoding="utf-8")
    keys = {name for kind in (body.ChatBody, body.TextBody, body.Wishes) for name in kind.model_fields}
    assert {key for key in keys if not re.search(rf"`{key}[`:.]", page)} == set()


@pytest.mark.parametrize(
    ("keys", "param", "says"),
    [
        ({"temprature": 1}, "temprature", "unknown key; did you mean 'temperature'?"),
        ({"top_k": 1}, "top_k", "unknown key; it belongs under triroute"),
        ({"triroute": {"blok_length": 4}}, "triroute.blok_length", "unknown key; did you mean 'block_length'?"),
        (
            {"stream_options": {"include_usge": True}},
            "stream_options.include_usge",
            "unknown key; did you mean 'include_usage'?",
        ),
        ({"tools": [{"function": {"nam": "x"}}]}, "tools[0].function.name", "is missing"),
        (
            {"messages": [{"role": "usr"}]},
            "messages[0].role",
            "'usr' is not 'system', 'developer', 'user', 'assistant' or 'tool'",
        ),
        ({"messages": [{"role": "function"}]}, "messages[0].role", "functions are gone"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "expected text, or a list of parts"),
        (
            {"messages": [USER, {"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
            "messages[1].content",
            "part 0 is of type image_url; the model reads text alone",
        ),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content", "part 0 is no object"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content", "part 0 has no text"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "y": 1}]}]},
            "messages[0].content",
            "part 0 has an unknown key 'y'",
        ),
        ({"messages": [{"role": "assistant", "refusal": "no"}]}, "messages[0].refusal", "refusals are not taken"),
        ({"messages": None}, "messages", "expected a list, found null"),
        ({"messages": [USER] * 1_001}, "messages", "has over 1000"),
        ({"tools": [FIND] * 129}, "tools", "has over 128"),
        ({"functions": []}, "functions", "functions are gone; use tools"),
        ({"function_call": "auto"}, "function_call", "use tool_choice"),
        ({"tool_choice": "any"}, "tool_choice", 'required, or {"type": "function", "function": {"name": "…"}}'),
        ({"tools": [{"type": "custom"}]}, "tools[0].type", "'custom' is not 'function'"),
        ({"n": 2}, "n", "one choice is made for a request"),
        ({"n": True}, "n", "one choice is made for a request"),
        ({"store": True}, "store", "answers are not stored"),
        ({"modalities": ["text", "audio"]}, "modalities", "the model writes text alone"),
        ({"audio": {"voice": "x"}}, "audio", "the model writes text alone"),
        ({"web_search_options": {}}, "web_search_options", "there is no web search"),
        ({"stream_options": {"include_obfuscation": True}}, "stream_options.include_obfuscation", "are not padded"),
        ({"temperature": "1"}, "temperature", "expected a number, found '1'"),
        ({"temperature": 1e300}, "temperature", "must be less than or equal to"),
        ({"max_tokens": True}, "max_tokens", "expected a whole number, found true"),
        ({"max_tokens": 10**400}, "max_tokens", "must be less"),
        ({"max_tokens": 5, "max_completion_tokens": 6}, "max_tokens", "differs from max_completion_tokens"),
        ({"seed": -1}, "seed", "must be greater than or equal to 0, found -1"),
        ({"stop": [1]}, "stop", "expected text, or a list of texts"),
        ({"logit_bias": {"the": 1}}, "logit_bias", "'the' is no token id"),
        ({"logit_bias": {"4294967296": 1}}, "logit_bias", "is no token id"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs to be true"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema", "is missing"),
        (
            {"response_format": {"type": "json"}},
            "response_format.type",
            "'json' is not 'text', 'json_object' or 'json_schema'",
        ),
        (
            {"triroute": {"mode": "fast"}},
            "triroute.mode",
            "'fast' is not 'autoregressive', 'diffusion' or 'self_speculation'",
        ),
        ({"triroute": {"block_length": -1}}, "triroute.block_length", "expected a number of tokens, or auto"),
        ({"triroute": {"regex": "a", "lark": "b"}}, "triroute", "the output has one format"),
        ({"triroute": {"regex": "a"}, "response_format": {"type": "json_object"}}, "triroute", "one format"),
    ],
)
def test_what_is_wrong_is_named(keys: dict[str, Any], param: str, says: str) -> None:
    problem = refused({"messages": [USER], **keys})
    assert (problem.status, problem.param, problem.code) == (400, param, "invalid_request")
    assert problem.message.startswith(f"{param}: ")
    assert says in problem.message


@pytest.mark.parametrize(
    ("given", "param", "says"),
    [
        ({}, "prompt", "is missing"),
        ({"prompt": None}, "prompt", "is missing"),
        ({"prompt": ["a", "b"]}, "prompt", "neither several nor token ids"),
        ({"prompt": [1, 2]}, "prompt", "neither several nor token ids"),
        ({"prompt": "a", "echo": True}, "echo", "the prompt is not repeated"),
        ({"prompt": "a", "best_of": 2}, "best_of", "one choice"),
        ({"prompt": "a", "suffix": "b"}, "suffix", "text is only continued"),
        ({"prompt": "a", "messages": []}, "messages", "unknown key"),
    ],
)
def test_what_is_wrong_with_raw_text(given: dict[str, Any], param: str, says: str) -> None:
    problem = refused(given, text)
    assert (problem.param, says in problem.message) == (param, True)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (b"", "the body is not JSON: EOF"),
        (b"{", "the body is not JSON: EOF"),
        (b"\xff", "the body is not JSON"),
        (b'{"messages": [{"role": "user", "content": "\\ud800"}]}', "the body is not JSON: unexpected end of hex"),
        (b'{"messages": [{"role": "user", "content": "\xed\xa0\x80"}]}', "the body is not JSON: invalid unicode"),
        (b"[" * 300, "the body is not JSON: recursion limit"),
        (b"[" * 200_001, "the body has over 200000 values"),
        (b'{"messages": [], "seed": ' + b"9" * 5_000 + b"}", "the body is not JSON: number out of range"),
        (b"[]", "the body has to be an object, not a list"),
        (b"null", "the body has to be an object, not null"),
        (b'"text"', "the body has to be an object, not 'text'"),
    ],
)
def test_bodies_that_are_none(given: bytes, says: str) -> None:
    problem = refused(given)
    assert (problem.param, says in problem.message) == (None, True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("auto") | st.just(2**70),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | st.just("type"), inner, max_size=3)
    ),
    max_leaves=6,
)
KNOWN = {chat: body.ChatBody, text: body.TextBody}
WELL = {chat: {"messages": [USER]}, text: {"prompt": "x"}}


@settings(max_examples=150, deadline=None)
@given(data=st.data(), read=st.sampled_from([chat, text]))
def test_any_json_is_a_step_or_refused(data: st.DataObject, read: Callable[[bytes], Asked]) -> None:
    """Whatever stands under the keys that are known."""
    keys = sorted(KNOWN[read].model_fields)
    odd = data.draw(st.dictionaries(st.sampled_from(keys), JSON, max_size=3))
    wishes = data.draw(st.dictionaries(st.sampled_from(sorted(body.Wishes.model_fields)), JSON, max_size=2))
    whole = WELL[read] | odd | ({"triroute": wishes} if wishes else {})
    problem = None
    try:
        list(violations(read(json.dumps(whole).encode()).message))
    except Refused as refused:
        problem = refused.problem
    assert problem is None or (problem.status == 400 and problem.message)


def test_many_mistakes_are_told_in_short() -> None:
    problem = refused({"messages": [USER], **{f"k{number}": "x" for number in range(50)}, "y" * 9_000: 1})
    assert "and 43 more" in problem.message
    assert len(problem.message) < 9 * 1_100
