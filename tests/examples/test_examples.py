"""Every example runs as its reader would run it: `python examples/x.py`, in an empty folder, without a key.

It must end by itself with exit code 0, say what it promises, write nothing to stderr and leave no file behind.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.end_to_end.process import Served, environment
from tests.house.trees import ROOT

FOLDER = ROOT / "examples"
SECONDS = 60
# What each must say, in this order; `served` only lends the others a gateway.
SAYS = {
    "anthropic_client": [r"end_turn, \d+ \+ \d+ tokens", r"\d+ tokens, counted before"],
    "asgi_mount": [r"http://127\.0\.0\.1:\d+/llm says: \S+"],
    "embeddings": [r"0\.\d+  The sluice is opened", r"0\.\d+  ", r"0\.\d+  ", r"256 numbers each, \d+ tokens for 3"],
    "faults": [
        r"a good day +\S+ .* \"Summarise: the log of the mill\"",
        r"status=429 +\(busy, try again\)",
        r"status=503 +\(no summary today\)",
        r"cut=5 +\(no summary today\)",
        r"malformed=2 +\(no summary today either\)",
        r"stall=3 +\(no summary today\)",
        r"8 requests seen",
    ],
    "kept_budget": [
        r"(?=.*alert: budget: 100 % of 2 requests a day of user -/u1)first run: 0\.\d{9} USD",
        r"second run: 0\.\d{9} USD",
        r"third run: the budget of user '.*u1'",
        r"penstock usage",
    ],
    "library": [
        r"small: \d+ \+ \d+ tokens, stop",
        r"0\.000\d{6} USD",
        r"unknown_model: .*did you mean \"fast\"",
        r"unavailable, .*: True",
    ],
    "openai_async": [r"20 answers in [0-2]\.\d s", r"\w+"],
    "openai_client": [
        r"\d+ tokens",
        r"x-request-id: \w+",
        r"x-penstock-target: sim/small",
        r"cost-usd: 0\.0",
        r"404 model_not_found",
    ],
    "own_layer": [
        r"untagged, sim/small: \d+ tokens, the first after \d+\.\d ms",
        r"forecast, sim/small: \d+ pieces, \d+ tokens, the first after",
        r"invalid_request: the prompt holds what looks like",
    ],
    "streaming": [r"\d+ tokens, ended by stop", r"left after '\w+'", r"\d+ letters, then stream_interrupted"],
    "structured_output": [r"ok, validation: valid", r"\"danger\": \"(none|low|high)\"", r"\d+ tokens in \d+ ms"],
    "sync_threads": [r"6 answers, \d+ tokens, [01]\.\d s", r"\w+"],
    "tools_loop": [r"water_level\(.*\) -> .*406\.1", r"According to water_level"],
    "virtual_time": [r"seed 0: \{'ok': \d+(, '\w+': \d+)*\}, and the same again: True", r"seed 2: ", r"six hours"],
}


def trouble_of(script: Path, says: list[str], folder: Path, **env: str) -> str:
    """What is wrong with an example; an empty text if nothing is."""
    try:
        done = subprocess.run(
            [sys.executable, "-W", "error", script],
            cwd=folder,
            env=environment(PYTHONPATH=str(ROOT / "src"), PYTHONDONTWRITEBYTECODE="1", **env),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired:
        return f"still running after {SECONDS} s"
    left = sorted(path.name for path in folder.iterdir())
    said = re.search(".*?".join(says), done.stdout, re.DOTALL)
    if done.returncode or done.stderr or left or not said:
        return f"ended with {done.returncode}, left {left}, said:\n{done.stdout}\n{done.stderr}"
    return ""


def test_every_example_is_run() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SAYS, "served"}


@pytest.mark.parametrize("name", SAYS)
def test_example(name: str, tmp_path: Path) -> None:
    assert trouble_of(FOLDER / f"{name}.py", SAYS[name], tmp_path) == ""


def test_they_use_a_gateway_that_runs_already(tmp_path: Path) -> None:
    home, empty = tmp_path / "home", tmp_path / "empty"
    home.mkdir()
    empty.mkdir()
    with Served(home) as served:
        says = SAYS["openai_client"]
        assert trouble_of(FOLDER / "openai_client.py", says, empty, PENSTOCK_URL=served.url) == ""
        assert served.line(model="sim/small")["status"] == 200


@pytest.mark.parametrize(
    "code",
    ["raise SystemExit(3)", "open('left', 'w').close()\nprint('hello')", "import sys; sys.stderr.write('no')", "pass"],
)
def test_an_example_that_fails_is_found(code: str, tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    script = tmp_path / "bad.py"
    script.write_text(code)
    assert trouble_of(script, ["hello"], folder)
    script.write_text("print('hello')")
    for path in folder.iterdir():
        path.unlink()
    assert trouble_of(script, ["hello"], folder) == ""
