"""The commands as people run them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

TRIROUTE = [sys.executable, "-m", "triroute.router"]
SECONDS = 180


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    return {**os.environ, "TRIROUTE_HOME": str(tmp_path), "NO_COLOR": "1", "COLUMNS": "100"}


def _run(env: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [*TRIROUTE, *arguments]
    return subprocess.run(command, env=env, input=stdin, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_demo_and_trace(home: dict[str, str], tmp_path: Path) -> None:
    report = tmp_path / "demo.json"
    done = _run(home, "demo", "--json", str(report))
    assert done.returncode == 0, done.stderr
    figures = json.loads(report.read_text())
    steps = figures["steps"]
    assert [step["expected"] for step in steps] == ["plan"] * 2 + ["tool_call"] * 2 + ["code"] * 2 + ["prose"] * 2
    assert all(step["step"] == step["expected"] for step in steps)
    assert {"confidence", "rule", "mode", "variant", "ttft_ms", "tokens_per_second", "finish"} <= set(steps[0])
    for step in steps:
        assert step["tokens"] > 0
        assert step["drafted"] == step["accepted"] + step["rejected"]
        assert step["trace_id"][:8] in done.stdout
        assert step["text"].strip().splitlines()[0][:20] in done.stdout
    assert len(figures["revision"]) == 64
    speculated = next(step for step in steps if step["mode"] == "self_speculation")
    shown = _run(home, "trace", speculated["trace_id"][:12])
    assert shown.returncode == 0, shown.stderr
    for part in ("decision", "passed over editable-draft", "segment 0", "prefill", "draft", "verify", "✗", "output"):
        assert part in shown.stdout
    listed = _run(home, "trace", "--list")
    assert len([line for line in listed.stdout.splitlines() if " ok " in line]) == 8
    told = [json.loads(line) for line in _run(home, "trace", "--list", "--json").stdout.splitlines()]
    assert {one["decision"]["trace_id"] for one in told} == {step["trace_id"] for step in steps}
    record = json.loads(_run(home, "trace", speculated["trace_id"], "--json").stdout)
    assert len(record["token_ids"]) == speculated["tokens"]


def test_serve_generate_and_drain(home: dict[str, str], tmp_path: Path) -> None:
    command = [*TRIROUTE, "-v", "serve", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, env=home, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        line = next(line for line in serving.stdout if "address" in line)
        address = line.split("address")[1].split()[0]
        lines = [
            {"id": "a", "prompt": "Name a colour.", "max_tokens": 8, "mode": "autoregressive"},
            {"id": "b", "prompt": "Name a colour.", "max_tokens": 8, "mode": "self_speculation", "block_length": 3},
            {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 8, "seed": 1, "temperature": 1},
            {"id": "bad", "prompt": "Name a colour.", "temperature": -1},
            {"id": "far", "prompt": "Name a colour.", "logit_bias": {"99999": 1}},
            {"id": "all", "prompt": "Name a colour.", "max_tokens": 8, "temperature": 1, "min_p": 0.1, "logprobs": 2}
            | {"repetition_penalty": 1.2, "presence_penalty": 0.5, "frequency_penalty": 0.5, "logit_bias": {"3": -100}},
        ]
        prompts = tmp_path / "prompts.jsonl"
        prompts.write_text("\n".join(json.dumps(line) for line in lines))
        many = _run(home, "generate", "--prompts", str(prompts), "--json", "--address", address)
        first, second, third, bad, far, whole = [json.loads(line) for line in many.stdout.splitlines()]
        assert many.returncode == 1
        assert (first["id"], second["id"], bad["id"]) == ("a", "b", "bad")
        assert first["token_ids"] == second["token_ids"]
        assert (second["mode"], second["variant"]) == ("self_speculation", "linear")
        assert second["drafted"] == second["accepted"] + second["rejected"] > 0
        assert third["finish"] in ("stop", "length")
        assert bad["error"]["code"] == "INVALID_ARGUMENT"
        assert "99999" in far["error"]["message"]
        assert "vocabulary of 49152" in far["error"]["message"]
        assert [one["token_id"] for one in whole["logprobs"]] == whole["token_ids"]
        assert all(one["top"][0]["log_probability"] >= one["log_probability"] for one in whole["logprobs"])
        assert {len(one["top"]) for one in whole["logprobs"]} == {2}
        assert "logprobs" not in first
        biased = [
            *("--logit-bias", "3=-100"),
            *("--repetition-penalty", "1.2"),
            *("--min-p", "0.1"),
            *("--logprobs", "2"),
        ]
        biased += [*("--presence-penalty", "0.5"), *("--frequency-penalty", "0.5"), *("--temperature", "1")]
        again = _run(home, "generate", "Name a colour.", "--max-tokens", "8", *biased, "--address", address, "--json")
        assert json.loads(again.stdout)["logprobs"] == whole["logprobs"], again.stderr
        one = _run(home, "generate", "-", "--address", address, "--max-tokens", "8", stdin="Name a colour.")
        assert one.returncode == 0, one.stderr
        assert one.stdout.strip() == first["text"].strip()
        assert "rule" in one.stderr
        serving.send_signal(signal.SIGINT)
        assert serving.wait(timeout=30) == 0
        assert serving.stderr is not None
        logged = [json.loads(line) for line in serving.stderr]
    told = {line["trace_id"]: line for line in logged if line["logger"] == "triroute.steps"}
    assert told[second["trace_id"]].items() >= {"triroute.mode": "self_speculation", "level": "INFO"}.items()
    assert told[second["trace_id"]]["gen_ai.usage.output_tokens"] == len(second["token_ids"])
    assert "colour" not in json.dumps(logged)
    assert any("finishing running steps" in line["message"] for line in logged)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["generate", "hi", "--address", "127.0.0.1:1"], 1, "no service answers at 127.0.0.1:1"),
        (["generate"], 2, "give a PROMPT, or --prompts FILE"),
        (["generate", "hi", "--logit-bias", "nonsense"], 2, "write ID=VALUE"),
        (["generate", "hi", "--logit-bias", "3=nan"], 1, "NaN"),
        (["generate", "hi", "--latency-class", "soon"], 1, "known are interactive, standard, batch"),
        (["generate", "hi", "--mode", "magic"], 1, "known are autoregressive, diffusion, self_speculation"),
        (["generate", "--prompts", "/nowhere.jsonl"], 1, "/nowhere.jsonl"),
        (["serve", "--listen", "nonsense"], 1, "write HOST:PORT"),
        (["serve", "--policy", "/nowhere.yaml"], 3, "/nowhere.yaml:1:1"),
        (["serve", "--checkpoint", "/nowhere.gguf", "--listen", "127.0.0.1:0"], 1, "/nowhere.gguf is not a file"),
        (["trace", "abcdef123"], 1, "no record abcdef123"),
        (["policy", "check", "/nowhere.yaml"], 3, "can't be read"),
    ],
)
def test_failures_are_readable(home: dict[str, str], arguments: list[str], code: int, says: str) -> None:
    done = _run(home, *arguments)
    shown = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == code, shown
    assert says in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('{"prompt": "a", "temprature": 1}', "p.jsonl:2: unknown key 'temprature'; did you mean 'temperature'?"),
        ("{", "p.jsonl:2: not JSON"),
        ("[]", "p.jsonl:2: expected an object"),
        ('{"max_tokens": 3}', "p.jsonl:2: give either prompt or messages"),
        ('{"prompt": "a", "max_tokens": "many"}', "p.jsonl:2: "),
        ('{"messages": [{"content": "x"}]}', "p.jsonl:2: 'role' is missing"),
    ],
)
def test_bad_lines_are_named(home: dict[str, str], tmp_path: Path, line: str, says: str) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "fine"}\n' + line)
    done = _run(home, "generate", "--prompts", str(tmp_path / "p.jsonl"))
    assert done.returncode == 1
    assert says in " ".join(done.stderr.split())


def test_help_and_version(home: dict[str, str]) -> None:
    shown = _run(home, "--help").stdout
    for word in ("serve", "demo", "generate", "trace", "policy", "bench", "Examples"):
        assert word in shown
    assert _run(home, "--version").stdout.startswith("triroute 0.")
    assert "tool-call" in _run(home, "policy", "check").stdout
