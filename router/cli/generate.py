"""`triroute generate`: one step, or a file of them."""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from triroute.proto import router_pb2
from triroute.router.cli.connect import client_of
from triroute.router.cli.options import DEFAULTS, Adapter, CacheMB, Checkpoint, PolicyFile, Records, Threads
from triroute.router.cli.outcome import Outcome, run
from triroute.router.cli.screen import console, errors, safe
from triroute.router.client import Client
from triroute.router.errors import InvalidRequest
from triroute.router.prompts import build, read_lines
from triroute.router.settings import Settings
from triroute.router.words import word

_DECODING, _LABELS, _SAMPLING = "Decoding (hints to the policy)", "What policy rules may ask about", "Sampling"


def _hint(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=_DECODING, show_default=False)


def _label(text: str, least: int | None = None) -> Any:
    return typer.Option(help=text, rich_help_panel=_LABELS, show_default=False, min=least)


def _sample(text: str, *names: str) -> Any:
    return typer.Option(*names, help=text, rich_help_panel=_SAMPLING, show_default=False)


def generate(
    prompt: Annotated[
        str | None, typer.Argument(help="What to ask; - reads it from stdin.", show_default=False)
    ] = None,
    prompts: Annotated[Path | None, typer.Option(help="JSON lines: many steps, run concurrently.")] = None,
    system: Annotated[str | None, typer.Option(help="System prompt.")] = None,
    raw: Annotated[bool, typer.Option("--raw", help="Continue the text as it is, without the chat template.")] = False,
    tools: Annotated[Path | None, typer.Option(help="JSON file with OpenAI-style tools.")] = None,
    json_schema: Annotated[Path | None, typer.Option(help="JSON Schema file that the output must follow.")] = None,
    mode: Annotated[str | None, _hint("autoregressive, diffusion or self_speculation.")] = None,
    variant: Annotated[str | None, _hint("Arrangement of self-speculation: linear or quadratic.")] = None,
    block_length: Annotated[str | None, _hint("Tokens a block, or auto.")] = None,
    confidence_threshold: Annotated[float | None, _hint("Diffusion: keep positions at or over it.")] = None,
    max_steps: Annotated[int | None, _hint("Most refinement steps a block, or draft passes a cycle.")] = None,
    fixed_steps: Annotated[int | None, _hint("Diffusion: exactly so many refinement steps a block.")] = None,
    draft_source: Annotated[list[str] | None, _hint("diffusion or prompt_lookup; may be repeated.")] = None,
    draft_threshold: Annotated[float | None, _hint("Draft again what is under it.")] = None,
    step: Annotated[str | None, _hint("What this step is: plan, tool_call, code or prose.")] = None,
    session: Annotated[str | None, _label("Conversation that the step belongs to.")] = None,
    tenant: Annotated[str | None, _label("Who the step is for.")] = None,
    tag: Annotated[list[str] | None, _label("A label; may be repeated.")] = None,
    expected_tokens: Annotated[int | None, _label("How many tokens will probably come.", least=0)] = None,
    latency_class: Annotated[str | None, _label("How soon it is needed: interactive, standard or batch.")] = None,
    first_token_ms: Annotated[int | None, _label("Wait for the first token that is fine, ms.", least=0)] = None,
    max_tokens: Annotated[int | None, _sample("Most new tokens.")] = None,
    temperature: Annotated[float | None, _sample("0 is greedy.")] = None,
    top_p: Annotated[float | None, _sample("Keep the likeliest tokens with this much probability.")] = None,
    top_k: Annotated[int | None, _sample("Keep this many of the likeliest tokens.")] = None,
    min_p: Annotated[float | None, _sample("Keep tokens this many times as likely as the likeliest.")] = None,
    repetition_penalty: Annotated[float | None, _sample("Divide the scores of tokens seen; 1 is off.")] = None,
    presence_penalty: Annotated[float | None, _sample("Lower the scores of tokens in the output.")] = None,
    frequency_penalty: Annotated[float | None, _sample("Lower them once for each time they are there.")] = None,
    logit_bias: Annotated[list[str] | None, _sample("ID=VALUE: add to a token's score; may be repeated.")] = None,
    logprobs: Annotated[int | None, _sample("With --json: log-probabilities, and of so many likeliest.")] = None,
    seed: Annotated[int | None, _sample("Key of the noise.")] = None,
    stop: Annotated[list[str] | None, _sample("End before this text; may be repeated.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="With --prompts: steps at a time.")] = 8,
    address: Annotated[
        str | None,
        typer.Option(help="A running service; $TRIROUTE_ADDRESS. Without one, a service is started for the call."),
    ] = None,
    policy: PolicyFile = DEFAULTS.policy,
    checkpoint: Checkpoint = None,
    adapter: Adapter = None,
    records: Records = DEFAULTS.records,
    threads: Threads = None,
    cache_mb: CacheMB = DEFAULTS.cache_mb,
) -> None:
    """Run a step and stream its text."""
    if (prompt is None) == (prompts is None):
        raise typer.BadParameter("give a PROMPT, or --prompts FILE")
    own = {
        "mode": mode,
        "variant": variant,
        "block_length": _block_length(block_length),
        "confidence_threshold": confidence_threshold,
        "max_steps": max_steps,
        "fixed_steps": fixed_steps,
        "draft_sources": draft_source,
        "draft_threshold": draft_threshold,
        "step": step,
        "session_id": session,
        "tenant": tenant,
        "tags": tag,
        "expected_tokens": expected_tokens,
        "latency_class": latency_class,
        "first_token_ms": first_token_ms,
        "max_tokens": max_tokens,
        "temperature": temperature,
        "top_p": top_p,
        "top_k": top_k,
        "min_p": min_p,
        "repetition_penalty": repetition_penalty,
        "presence_penalty": presence_penalty,
        "frequency_penalty": frequency_penalty,
        "logit_bias": _biases(logit_bias),
        "logprobs": logprobs,
        "seed": seed,
        "stop": stop,
        "system": system,
        "raw": raw or None,
        "tools": _json_file(tools),
        "json_schema": _json_file(json_schema),
    }
    shared = {key: value for key, value in own.items() if value is not None}
    settings = Settings(
        listen="127.0.0.1:0",
        policy=policy,
        checkpoint=checkpoint,
        adapter=adapter,
        records=records,
        threads=threads,
        cache_mb=cache_mb,
    )
    if prompts is not None:
        asked = [shared | line for line in read_lines(prompts)]
        failed = asyncio.run(_many(asked, str(prompts), as_json, concurrency, address, settings))
    else:
        text = sys.stdin.read() if prompt == "-" else prompt
        failed = asyncio.run(_one(shared | {"prompt": text}, as_json, address, settings))
    if failed:
        raise typer.Exit(1)


async def _one(asked: dict[str, Any], as_json: bool, address: str | None, settings: Settings) -> bool:
    request = build(asked, "options")
    async with client_of(address, settings) as client:
        on_text = (lambda text: None) if as_json else (lambda text: print(safe(text), end="", flush=True))  # noqa: T201
        outcome = await run(client, request, on_text=on_text)
    if as_json:
        print(json.dumps(outcome.as_json(), ensure_ascii=False))  # noqa: T201
    elif outcome.error is None:
        print()  # noqa: T201
        errors.print(_footer(outcome), highlight=False)
    if outcome.error is not None and not as_json:
        raise outcome.error
    return outcome.error is not None


async def _many(
    asked: list[dict[str, Any]], source: str, as_json: bool, concurrency: int, address: str | None, settings: Settings
) -> bool:
    """All at once, answered in the file's order. True when any failed."""
    requests = [build(line, f"{source}, step {number}") for number, line in enumerate(asked, start=1)]
    room = asyncio.Semaphore(concurrency)

    async def bounded(client: Client, index: int) -> Outcome:
        async with room:
            return await run(client, requests[index])

    failed = False
    settings = replace(settings, most_in_flight=max(settings.most_in_flight, concurrency))
    async with client_of(address, settings) as client:
        tasks = [asyncio.create_task(bounded(client, index)) for index in range(len(requests))]
        for line, task in zip(asked, tasks, strict=True):
            outcome = await task
            failed = failed or outcome.error is not None
            _answer(line, outcome, as_json)
    return failed


def _answer(line: dict[str, Any], outcome: Outcome, as_json: bool) -> None:
    named = {"id": line["id"]} if "id" in line else {}
    if as_json:
        print(json.dumps(named | outcome.as_json(), ensure_ascii=False), flush=True)  # noqa: T201
        return
    console.rule(str(named.get("id", "")) or outcome.step, align="left")
    console.print(safe(outcome.text) if outcome.error is None else str(outcome.error), markup=False, highlight=False)
    if outcome.error is None:
        console.print(_footer(outcome), highlight=False)


def _footer(outcome: Outcome) -> str:
    usage = outcome.finish.usage
    words = [
        f"{outcome.step} ({outcome.decision.confidence:.2f})",
        f"rule {outcome.decision.rule_id}",
        outcome.mode + (f" {outcome.variant}" if outcome.variant else ""),
        f"{len(outcome.token_ids)} tokens in {usage.passes} passes",
        f"drafts {usage.accepted_prediction_tokens} accepted, {usage.rejected_prediction_tokens} rejected",
        f"{outcome.tokens_per_second:.0f} tok/s",
        f"trace {outcome.decision.trace_id}",
    ]
    if usage.lossy_tokens:
        words.insert(-1, f"lossy: {usage.lossy_tokens} tokens are not what autoregression draws")
    if outcome.unenforced:
        words.insert(-1, f"no grammar holds it to {', '.join(outcome.unenforced)}")
    check = outcome.finish.check
    if check.problem:
        words.insert(-1, f"{word(router_pb2.Check.Result, check.result)} at {check.path}: {check.problem}")
    return f"[dim]{escape(safe(' · '.join(words)))}[/dim]"


def _block_length(given: str | None) -> int | None:
    if given is None or given == "auto":
        return None if given is None else 0
    if not given.isdigit() or int(given) == 0:
        raise typer.BadParameter(f"{given!r} is neither a number of tokens nor auto", param_hint="--block-length")
    return int(given)


def _biases(given: list[str] | None) -> dict[str, float] | None:
    """ID=VALUE pairs as the JSON form of a map."""
    if not given:
        return None
    pairs = [pair.partition("=") for pair in given]
    try:
        return {str(int(token)): float(value) for token, _, value in pairs}
    except ValueError:
        raise typer.BadParameter("write ID=VALUE, as in 42=-5", param_hint="--logit-bias") from None


def _json_file(path: Path | None) -> Any:
    if path is None:
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidRequest(f"{path}: can't be read as JSON: {error}") from error
