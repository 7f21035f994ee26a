"""OpenAI's own client against the whole service with the embedded model."""

from __future__ import annotations

import json
import math
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel

from triroute.proto import chat_pb2, router_pb2
from triroute.router.settings import Settings

from .conftest import Receiver, Running

ROOT = Path(__file__).parents[2]
PAGES = [(ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/openai.md")]
EXAMPLES = [block for page in PAGES for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
KEY = "open sesame"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
ASKED: list[Any] = [{"role": "user", "content": "Write a Python function that adds two numbers."}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}


@pytest.fixture(scope="module")
def served(settings: Settings, receiver: Receiver) -> Iterator[Running]:
    service = Running(replace(settings, http="127.0.0.1:0", http_token=KEY, otlp_endpoint=receiver.address))
    yield service
    service.close()


@pytest.fixture(scope="module")
def client(served: Running) -> Iterator[openai.OpenAI]:
    with client_of(served, KEY) as one:
        yield one


def client_of(served: Running, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"http://{served.service.http.address}/v1", api_key=key, max_retries=0, timeout=60)


@pytest.fixture(scope="module")
def model(client: openai.OpenAI) -> str:
    (served,) = client.models.list().data
    return served.id


def by_grpc(served: Running, most: int) -> str:
    message = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, content=ASKED[0]["content"])
    sampling = chat_pb2.Sampling(max_tokens=most, temperature=0.7, seed=5)
    request = router_pb2.GenerateRequest(chat=chat_pb2.Chat(messages=[message]), sampling=sampling)
    return "".join(event.delta.text for event in served.stub.Generate(request))


@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_examples_of_the_pages(served: Running, example: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Each goes on from the client that the first lines make."""
    first = [line for line in EXAMPLES[0].splitlines() if "OpenAI" in line and line not in example]
    code = "\n".join([*first, example]).replace("127.0.0.1:50152", served.service.http.address)
    names: dict[str, Any] = {}
    exec(code.replace('api_key="none"', f'api_key="{KEY}"'), names)
    names["client"].close()
    assert capsys.readouterr().out.strip()


def test_chat_is_what_grpc_gives(served: Running, client: openai.OpenAI, model: str) -> None:
    done = client.chat.completions.create(model=model, messages=ASKED, max_tokens=24, temperature=0.7, seed=5)
    assert done.choices[0].message.content == by_grpc(served, 24)
    assert (done.choices[0].finish_reason, done.usage and done.usage.completion_tokens) == ("length", 24)
    long: list[Any] = [{"role": "system", "content": "Be brief. " * 60}, *ASKED]
    client.chat.completions.create(model=model, messages=long, max_tokens=2)
    again = client.chat.completions.create(model=model, messages=long, max_tokens=2)
    assert again.usage is not None
    assert again.usage.prompt_tokens_details is not None
    assert (again.usage.prompt_tokens_details.cached_tokens or 0) > 0
    told: dict[str, Any] = again.model_extra["triroute"]  # type: ignore[index]
    record = served.stub.GetRecord(router_pb2.GetRecordRequest(id=told["request_id"]))
    assert (record.decision.rule_id, record.decision.trace_id) == (told["rule_id"], told["trace_id"])


def test_stream(served: Running, client: openai.OpenAI, model: str) -> None:
    stream = client.chat.completions.create(
        model=model,
        messages=ASKED,
        max_tokens=24,
        temperature=0.7,
        seed=5,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == by_grpc(served, 24)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 24


def test_raw_text(client: openai.OpenAI, model: str) -> None:
    done = client.completions.create(model=model, prompt="One, two, three,", max_tokens=8, logprobs=2)
    told = done.choices[0].logprobs
    assert done.choices[0].text
    assert told is not None
    assert told.text_offset is not None
    assert len(told.tokens or ()) == 8
    assert done.choices[0].text[told.text_offset[3] :].startswith((told.tokens or ())[3])


def test_stop_and_roles(client: openai.OpenAI, model: str) -> None:
    asked: list[Any] = [
        {"role": "developer", "content": [{"type": "text", "text": "You count."}]},
        {"role": "user", "content": "Count from one to ten: 1, 2, 3"},
    ]
    plain = client.chat.completions.create(model=model, messages=asked, max_tokens=20)
    text = plain.choices[0].message.content or ""
    stop = text[4:8]
    done = client.chat.completions.create(model=model, messages=asked, max_tokens=20, stop=[stop])
    assert done.choices[0].message.content == text[: text.index(stop)]
    assert done.choices[0].finish_reason == "stop"


class Person(BaseModel):
    name: Literal["Ada", "Grace"]
    born: Literal[1815, 1906]


def test_schema_by_the_clients_own_helper(client: openai.OpenAI, model: str) -> None:
    asked: list[Any] = [{"role": "user", "content": "Who wrote the first program?"}]
    done = client.chat.completions.parse(model=model, messages=asked, response_format=Person, max_tokens=40)
    assert isinstance(done.choices[0].message.parsed, Person)
    assert done.model_extra["triroute"]["check"]["result"] == "valid"  # type: ignore[index]


def test_tools_in_a_loop(client: openai.OpenAI, model: str) -> None:
    """Asked for, streamed, answered, and sent back as frameworks do."""
    turns: list[Any] = [{"role": "user", "content": "What is the weather in Rome?"}]
    with client.chat.completions.stream(
        model=model, messages=turns, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=60
    ) as stream:
        pieces = [event.arguments_delta for event in stream if event.type == "tool_calls.function.arguments.delta"]
        done = stream.get_final_completion()
    (call,) = done.choices[0].message.tool_calls or ()
    assert (done.choices[0].finish_reason, call.function.name) == ("tool_calls", "weather")
    assert call.function.arguments == "".join(pieces)
    assert json.loads(call.function.arguments)["city"] in ("Oslo", "Rome")
    whole = client.chat.completions.create(
        model=model, messages=turns, tools=[WEATHER], tool_choice="required", parallel_tool_calls=False, max_tokens=60
    )
    (same,) = whole.choices[0].message.tool_calls or ()
    assert same.type == "function"
    assert same.function.arguments == call.function.arguments
    assert (done.choices[0].message.content or None, whole.choices[0].message.content) == (None, None)
    turns.append(whole.choices[0].message.model_dump())
    turns.append({"role": "tool", "tool_call_id": same.id, "content": "Sunny, 24 degrees."})
    last = client.chat.completions.create(model=model, messages=turns, tools=[WEATHER], max_tokens=20)
    assert last.choices[0].finish_reason in ("stop", "length", "tool_calls")


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(client: openai.OpenAI, model: str, stream: bool) -> None:
    told: Any = client.chat.completions.create(
        model=model, messages=ASKED, max_tokens=12, logprobs=True, top_logprobs=2, stream=stream
    )
    choices = [chunk.choices[0] for chunk in told] if stream else told.choices
    tokens = [one for choice in choices if choice.logprobs for one in choice.logprobs.content]
    text = "".join((choice.delta if stream else choice.message).content or "" for choice in choices)
    assert len(tokens) == 12
    assert b"".join(bytes(one.bytes) for one in tokens).decode() == text
    for one in tokens:
        assert len(one.top_logprobs) == 2
        assert one.logprob == pytest.approx(one.top_logprobs[0].logprob)  # temperature 0 draws the likeliest
        assert 0 < math.exp(one.logprob) <= 1


WRONG: list[tuple[dict[str, Any], type[openai.APIStatusError], str | None, str]] = [
    ({"model": "gpt-9"}, openai.NotFoundError, "model", "is served"),
    ({"messages": [{"role": "user", "content": "word " * 9_000}]}, openai.BadRequestError, "messages", "shorten"),
    ({"max_tokens": 9_000}, openai.BadRequestError, "max_tokens", "pass the context of 8192"),
    ({"temperature": 9}, openai.BadRequestError, "temperature", "9 is outside 0 to 5"),
    (
        {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 5}}}},
        openai.BadRequestError,
        "response_format.json_schema.schema",
        "not a valid JSON Schema",
    ),
    ({"tool_choice": "required"}, openai.BadRequestError, "tool_choice", "no tools are offered"),
    ({"extra_body": {"triroute": {"regex": "(["}}}, openai.BadRequestError, "triroute.regex", "can't be compiled"),
    ({"extra_body": {"triroute": {"block_length": 999}}}, openai.BadRequestError, "triroute.block_length", "use 2 to"),
    ({"extra_body": {"tempurature": 1}}, openai.BadRequestError, "tempurature", "did you mean 'temperature'?"),
]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("keys", "kind", "param", "says"), WRONG)
def test_errors(
    client: openai.OpenAI,
    model: str,
    keys: dict[str, Any],
    kind: type[openai.APIStatusError],
    param: str | None,
    says: str,
    stream: bool,
) -> None:
    """All of them before a stream begins."""
    with pytest.raises(kind) as caught:
        client.chat.completions.create(**{"model": model, "messages": ASKED, "stream": stream, **keys})
    assert (caught.value.param, says in caught.value.message) == (param, True)


def test_key(served: Running, model: str) -> None:
    with client_of(served, "wrong") as client, pytest.raises(openai.AuthenticationError):
        client.chat.completions.create(model=model, messages=ASKED)


def test_trace_of_the_caller(served: Running, client: openai.OpenAI, model: str, receiver: Receiver) -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
    done = client.chat.completions.create(model=model, messages=ASKED, max_tokens=4, extra_headers=headers)
    assert done.model_extra["triroute"]["trace_id"] == TRACE  # type: ignore[index]
    until(lambda: sum(span.trace_id.hex() == TRACE for span in receiver.spans) == 6)
    spans = {span.name: span for span in receiver.spans if span.trace_id.hex() == TRACE}
    server = spans["POST /v1/chat/completions"]
    assert server.parent_span_id.hex() == PARENT
    assert spans[f"chat {model}"].parent_span_id == spans["route"].parent_span_id == server.span_id
    told = {tag.key: tag.value for tag in server.attributes}
    assert told["http.response.status_code"].int_value == 200
    assert not [name for name in told if name.startswith("rpc.")]


def test_leaving_ends_the_work(served: Running, client: openai.OpenAI, model: str) -> None:
    stream: Any = client.chat.completions.create(
        model=model, messages=ASKED, max_tokens=2_000, temperature=1.5, stream=True
    )
    first: ChatCompletionChunk = next(stream)
    stream.close()
    until(lambda: not served.service.pipeline.engine.load.running)
    wanted = first.model_extra["triroute"]["request_id"]  # type: ignore[index]
    until(lambda: wanted not in served.service.pipeline.running)
    record = served.stub.GetRecord(router_pb2.GetRecordRequest(id=wanted))
    assert record.error.startswith("CANCELLED")


def until(holds: Any) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_web_pages_can_not_ask(served: Running) -> None:
    """What a page may send elsewhere without asking first is no JSON by its type."""
    url = f"http://{served.service.http.address}/v1/chat/completions"
    headers = {"authorization": f"Bearer {KEY}", "content-type": "text/plain", "origin": "http://evil.example"}
    asked = urllib.request.Request(url, json.dumps({"messages": ASKED}).encode(), headers)
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(asked, timeout=20)
    with caught.value as answer:
        assert (answer.status, "access-control-allow-origin" in answer.headers) == (415, False)
