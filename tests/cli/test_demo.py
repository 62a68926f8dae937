"""`penstock demo`: the tour in a pipe and on a terminal, its pace, its ports and its ends."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from tests.cli.running import Ran, penstock
from tests.cli.terminal import ESCAPE, Terminal, terminal

STEPS = 9
ROW = re.compile(r"^   (\d\.\d) s  +([EWx+]+) +(\d+)  (closed|open|half open) .*\$(\d\.\d{6})", re.MULTILINE)


def walk(shown: Terminal) -> None:
    """Press Enter through the whole tour."""
    for step in range(1, STEPS + 2):
        shown.wait_for(partial(_asked_for_enter, step))
        shown.press(b"\n")
    shown.wait_for(lambda text: "/metrics\n" in text)


def _asked_for_enter(times: int, text: str) -> bool:
    return text.count("Enter goes on") == times


def ask(url: str, model: str = "fast") -> int:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}]})
    connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
    status = connection.getresponse().status
    connection.close()
    return status


def url_in(text: str) -> str:
    found = re.search(r"runs now on (http://127\.0\.0\.1:\d+)", text)
    assert found
    return found[1]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ran, list[str]]:
    """What it wrote in a pipe, and the files it left."""
    folder = tmp_path_factory.mktemp("demo")
    return penstock(folder, "demo"), [path.name for path in folder.iterdir()]


def test_in_a_pipe_it_ends_by_itself(plain: tuple[Ran, list[str]]) -> None:
    ran, left = plain
    assert (ran.code, ran.err) == (0, "")
    assert "\x1b" not in ran.out
    for number in range(1, STEPS + 1):
        assert f"\n{number}. " in ran.out
    assert "Enter goes on" not in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80
    assert left == []


def test_what_it_shows_came_from_the_gateway(plain: tuple[Ran, list[str]]) -> None:
    out = plain[0].out
    said = " ".join(out.split())
    assert 'HTTP 404, model_not_found: Unknown model "fsat" (did you mean "fast"' in said
    assert "HTTP 429, rate_limit_exceeded: " in said
    assert re.search(r"asked 3 times in \d\.\d s, retry-after: 1 request id 01", said)
    assert said.count("answered by sim/small") == 2
    assert 'finish_reason "stop"' in said
    assert 'stop_reason "end_turn"' in said
    costs = re.findall(r"x-penstock-cost-usd: (\d+\.\d{9})", out)
    assert len(costs) == 2
    assert all(float(cost) > 0 and out.count(f"${cost}") >= 1 for cost in costs)
    first = re.search(r"first word after (\d+) ms", said)
    assert first
    assert int(first[1]) >= 300
    rows = re.findall(r"^   (\d{3}) chat +(\S+)", out, re.MULTILINE)
    assert [status for status, _ in rows] == ["200", "200", "200", "200", "200", "404", "429"]
    assert [model for _, model in rows][:6] == ["fast", "fast", "smart", "fast", "smart", "fsat"]


def test_the_outage_is_seen_and_no_caller_fails(plain: tuple[Ran, list[str]]) -> None:
    out = plain[0].out
    rows = ROW.findall(out)
    assert [float(seconds) for seconds, *_ in rows] == [row / 2 for row in range(1, 10)]
    assert {failed for _, _, failed, _, _ in rows} == {"0"}
    answers = [answers.rstrip("+") for _, answers, _, _, _ in rows]
    assert set(answers[0] + answers[1]) == {"E"}  # before it, and the first choice
    assert set(answers[3]) == {"W"}  # its breaker is open
    assert answers[-1].endswith("E")  # it is back
    states = [state for _, _, _, state, _ in rows]
    assert states[:2] == ["closed", "closed"]
    assert states[3] == "open"
    assert states[-1] == "closed"
    spent = [float(dollars) for *_, dollars in rows]
    assert spent == sorted(spent)
    assert spent[0] > 0
    told = re.search(r"^   (\d+) calls, 0 failed, (\d+) fallbacks, (\$\S+)$", out, re.MULTILINE)
    assert told
    assert int(told[1]) >= 80
    assert int(told[2]) >= 20
    assert f"and {told[1]} of the outage: 0 failed, {told[2]} fallbacks, {told[3]}" in out
    assert "east/small failed: unavailable" in out
    assert "west/small is chosen: fallback" in out


def test_a_budget_holds_against_a_crowd(plain: tuple[Ran, list[str]]) -> None:
    out = plain[0].out
    told = re.search(r"20 calls at once: (\d+) answered.*\s+(\d+) refused.*\s+spent: (0\.\d+) USD of (0\.\d+) USD", out)
    assert told
    assert int(told[1]) + int(told[2]) == 20
    assert int(told[2]) > 0
    assert 0 < float(told[3]) <= float(told[4])


def test_a_pipe_sees_each_row_once(plain: tuple[Ran, list[str]]) -> None:
    assert "\r" not in plain[0].out


def test_no_key_is_used_and_no_setting_obeyed(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("no config: [")
    env = {"OPENAI_API_KEY": "sk-0123456789abcdef", "HTTP_PROXY": "http://127.0.0.1:1", "ALL_PROXY": "http://[::1]:1"}
    ran = penstock(tmp_path, "demo", "--once", env=env | {"PYTHONIOENCODING": "ascii"})
    assert (ran.code, ran.err) == (0, "")
    assert "sk-0123456789abcdef" not in ran.out
    assert "openai/" not in ran.out


def test_the_usual_port_is_taken(tmp_path: Path) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", 8484))
    except OSError:
        taken = socket.socket()  # somebody else has it already
    with closing(taken):
        ran = penstock(tmp_path, "demo")
    assert ran.code == 0
    assert not url_in(ran.out).endswith(":8484")


@pytest.mark.parametrize("columns", [80, 200])
def test_on_a_terminal(tmp_path: Path, columns: int) -> None:
    with terminal(tmp_path, "demo", columns=columns) as shown:
        walk(shown)
        assert "\x1b[1m" in shown.shown
        assert max(map(len, shown.text.splitlines())) <= min(columns, 100)
        url = url_in(shown.text)
        before = shown.text.count(" 200 chat ")
        assert ask(url) == 200
        shown.wait_for(lambda text: text.count(" 200 chat ") == before + 1)
        assert ask(url, "nope") == 404
        shown.wait_for(lambda text: "unknown_model" in text.rpartition("Your turn")[2])
        control = re.search(r"curl (http://127\.0\.0\.1:\d+)/metrics", shown.text)
        assert control
        connection = http.client.HTTPConnection(control[1].removeprefix("http://"), timeout=10)
        connection.request("GET", "/metrics")
        assert b"penstock_requests_total" in connection.getresponse().read()
        connection.close()
        shown.press(b"\x03")
        assert shown.wait() == 130
        assert "Traceback" not in shown.text
        assert shown.text.endswith("The gateway is closed.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_narrow_terminal_breaks_nothing_but_what_may_be_copied(tmp_path: Path) -> None:
    with terminal(tmp_path, "demo", "--once", columns=60) as shown:
        assert shown.wait() == 0
        wide = [line for line in shown.text.splitlines() if len(line) > 60]
    assert "-> models: OpenAI, Anthropic, your own servers" in shown.text
    assert re.search(r"^   200 smart +13 \+ \d+ tokens  \$0\.\d+$", shown.text, re.MULTILINE)
    copied = re.compile(r" {3,}(?:client|answer|messages|model=|breaker|penstock) ?")
    titles_and_events = re.compile(r"\d\. |.* (?:goes down|is back)$")
    assert [line for line in wide if not copied.match(line) and not titles_and_events.match(line)] == []


def test_interrupted_in_the_middle(tmp_path: Path) -> None:
    with terminal(tmp_path, "demo") as shown:
        shown.wait_for(lambda text: "Enter goes on" in text)
        shown.press(b"\x03")
        assert shown.wait() == 130
        assert "Traceback" not in shown.text


@pytest.mark.parametrize("keys", [b"q\n", b" Quit \n", b"\x04"])
def test_left_in_the_middle(tmp_path: Path, keys: bytes) -> None:
    """By the letter that programs are left by, and by the end of what is typed."""
    with terminal(tmp_path, "demo") as shown:
        shown.wait_for(lambda text: "Enter goes on, q ends" in text)
        shown.press(keys)
        assert shown.wait() == 0
        assert shown.text.endswith("The gateway is closed.\n")
        assert "2. " not in shown.text
        assert "Traceback" not in shown.text


def test_anything_else_that_is_typed_goes_on(tmp_path: Path) -> None:
    with terminal(tmp_path, "demo") as shown:
        shown.wait_for(partial(_asked_for_enter, 1))
        shown.press(b"what?\n")
        shown.wait_for(partial(_asked_for_enter, 2))
        shown.press(b"\x03")
        assert shown.wait() == 130


def test_terminated_it_ends_well(tmp_path: Path) -> None:
    with terminal(tmp_path, "demo") as shown:
        walk(shown)
        shown.process.send_signal(signal.SIGTERM)
        assert shown.wait() == 0


def test_once_on_a_terminal(tmp_path: Path) -> None:
    with terminal(tmp_path, "demo", "--once") as shown:
        assert shown.wait() == 0  # within SECONDS, which are the 20 of the contract
        assert "Enter goes on" not in shown.text
        assert "Your turn" in shown.text
        assert len(ROW.findall(shown.text.replace("\r", "\n"))) > 9  # rows that fill while somebody watches


@pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_without_colour(tmp_path: Path, env: dict[str, str]) -> None:
    with terminal(tmp_path, "demo", "--once", env=env) as shown:
        assert shown.wait() == 0
        assert not [found for found in ESCAPE.findall(shown.shown) if found[1] == "m"]
