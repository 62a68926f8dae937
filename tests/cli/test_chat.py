"""`penstock chat`: the answer on stdout and nothing else there, through the engine in process or a gateway."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread

import pytest

from penstock.usage import usd
from tests.cli.running import penstock
from tests.end_to_end.process import PENSTOCK, SECONDS, Served, environment
from tests.end_to_end.providers import Provider

UP_KEY = "sk-up-0123456789abcdef"
APP_KEY = "psk_app_0123456789abcdef"
ENV = {"UP_KEY": UP_KEY}
CONFIG = """\
providers: {up: {kind: openai, base_url: "%s", api_key: "env:UP_KEY"}}
models: {fast: {targets: [up/small]}}
default_model: fast
"""


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider(UP_KEY) as provider:
        yield provider


@pytest.fixture
def folder(tmp_path: Path, provider: Provider) -> Path:
    """A folder with a config that leads to a provider behind a socket."""
    (tmp_path / "penstock.yaml").write_text(CONFIG % provider.base_url)
    return tmp_path


# --- the answer


def test_an_answer(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "Grüße, 世界 🌍")
    assert (ran.code, ran.err) == (0, "")
    assert '"Grüße, 世界 🌍"' in ran.out
    assert ran.out.endswith(".\n")
    assert ran.out.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_prompt_from_stdin(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "-", stdin="Hello from a pipe, ü\n".encode())
    assert ran.code == 0
    assert "Hello from a pipe, ü" in ran.out


def test_json(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "Hello", "--json", "--model", "sim/small:tokens=9")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("\n") == 1
    told = json.loads(ran.out)
    assert set(told) == {"text", "finish_reason", "model", "usage", "request_id", "attempts", "cost_usd"}
    assert told["text"] == penstock(tmp_path, "chat", "Hello", "--model", "sim/small:tokens=9").out.rstrip("\n")
    assert told["finish_reason"] == "stop"
    assert told["model"] == "small"
    assert told["usage"]["output_tokens"] == 9
    assert told["cost_usd"] == usd(1000 * told["usage"]["input_tokens"] + 4000 * 9)
    assert told["request_id"][14] == "7"
    assert told["attempts"] == 1


def test_what_the_provider_is_sent(folder: Path, provider: Provider) -> None:
    arguments = ("--system", "Be brief.", "--user", "u1")
    ran = penstock(folder, "chat", "Hello", *arguments, env=ENV)
    assert (ran.code, ran.err) == (0, "")
    body = json.loads(provider.journal.log[-1].body)
    assert body["model"] == "small"
    assert body["messages"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]
    assert body["user"] == "u1"
    assert body["stream"] is True


def test_another_config(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    path = str(folder / "penstock.yaml")
    assert penstock(elsewhere, "chat", "Hello", "--config", path, "--model", "fast", env=ENV).code == 0
    assert penstock(elsewhere, "chat", "Hello", "--model", "fast", env=ENV | {"PENSTOCK_CONFIG": path}).code == 0
    assert penstock(elsewhere, "chat", "Hello", "--model", "fast").code == 2


def test_through_a_gateway(tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(
        "providers: {sim: {}}\nmodels: {fast: {targets: [sim/small]}}\ndefault_model: fast\n"
        'keys: [{name: app, key: "env:APP_KEY"}]\n'
    )
    with Served(tmp_path, "--config", "gateway.yaml", env={"APP_KEY": APP_KEY}) as served:
        to = ("--gateway", served.url, "--key-env", "MINE")
        ran = penstock(tmp_path, "chat", "Hello", *to, "--json", env={"MINE": APP_KEY})
        assert (ran.code, ran.err) == (0, "")
        told = json.loads(ran.out)
        assert '"Hello"' in told["text"]
        line = served.line(id=told["request_id"])
        assert (line["key"], line["deployment"]) == ("app", "sim/small")
        assert line["tokens"]["output"] == told["usage"]["output_tokens"]
        wrong = penstock(tmp_path, "chat", "Hello", *to, env={"MINE": "psk_wrong_0123456789"})
        assert (wrong.code, wrong.out) == (2, "")
        assert "key is not known" in wrong.err
        assert "psk_wrong" not in wrong.err
        unknown = penstock(tmp_path, "chat", "Hello", *to, "--model", "fats", env={"MINE": APP_KEY})
        assert (unknown.code, unknown.out) == (2, "")
        assert 'did you mean "fast"?' in unknown.err


# --- what goes wrong


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument 'PROMPT'"),
        (["Hello", "there"], "unexpected extra argument"),
        (["  "], "The prompt is empty"),
        (["-"], "The prompt is empty"),
        (["Hello", "--key-env", "KEY"], "--key-env is for --gateway"),
        (
            ["Hello", "--gateway", "http://127.0.0.1:1", "--key-env", "NOT_SET"],
            "NOT_SET that --key-env names is not set",
        ),
        (["Hello", "--gateway", "http://127.0.0.1:1", "--config", "a.yaml"], "exclude each other"),
        (["Hello", "--gateway", "ftp://127.0.0.1"], "--gateway: write it as http://host:port or https://host"),
        (["Hello", "--config", "nope.yaml"], "nope.yaml: cannot be read"),
        (["Hello", "--model", "smal"], 'did you mean "small"'),
    ],
)
def test_bad_input(tmp_path: Path, arguments: Sequence[str], told: str) -> None:
    ran = penstock(tmp_path, "chat", *arguments)
    assert ran.out == ""
    assert told in ran.err
    assert ran.code == 2


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("sim/smal", 'Did you mean "sim/small"?'),
        ("smal", 'did you mean "small" or "sim/small"?'),
        (
            "gpt5",
            'Did you mean "gpt-5"? openai has it: set OPENAI_API_KEY, or name the provider in a configuration. Ask',
        ),
        ("grok4", "xai has it: set XAI_API_KEY"),
        ("claude", "`penstock models claude` lists"),
        ("gpt-5-mini", "OPENAI_API_KEY is not set\n  set it, or ask for one of: sim/small"),
        ("openai/gpt-5-mini", "OPENAI_API_KEY is not set"),
        ("claud-haiku-4-5", 'Did you mean "claude-haiku-4-5"? anthropic and'),
        ("qqqq", "ask for one of: sim/small"),
    ],
)
def test_a_model_that_is_misspelt(tmp_path: Path, model: str, told: str) -> None:
    ran = penstock(tmp_path, "chat", "Hello", "--model", model)
    assert ran.code in (1, 2)
    assert told in ran.err
    assert ran.err.count("OPENAI_API_KEY") <= 1


def test_a_vendors_model_where_a_configuration_has_another_vendor(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("providers: {sim: {}}\n")
    ran = penstock(tmp_path, "chat", "Hello", "--model", "gpt-5-mini")
    assert "openai has it: set OPENAI_API_KEY, or name" in ran.err


def test_a_vendors_model_that_is_misspelt(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "Hello", "--model", "gpt-5-min", env={"OPENAI_API_KEY": "sk-" + "4Qm2vT8s" * 3})
    assert 'Did you mean "gpt-5-mini"' in ran.err


def test_stdin_that_is_no_text(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "-", stdin=b"ab\xff")
    assert (ran.code, ran.out) == (2, "")
    assert "not valid UTF-8 (byte 2)" in ran.err


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("status=500", "The provider failed (500)"),
        ("status=401", "refuses the credential"),
        ("status=429,retry_after=130", "Rate limit reached"),
        ("reset=before_headers", "the provider reset the connection"),
        ("html", "something that is not a chat completion"),
    ],
)
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_provider_that_fails(tmp_path: Path, script: str, told: str, options: list[str]) -> None:
    ran = penstock(tmp_path, "chat", "Hello", "--model", f"sim/small:{script}", *options)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("penstock: ")
    assert told in ran.err


def test_a_stream_that_breaks(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "Hello", "--model", "sim/small:cut=4")
    assert ran.code == 1
    assert ran.out.strip()
    assert ran.out.endswith("\n")
    assert "closed the connection in the middle of its answer" in ran.err


@contextmanager
def something_else(answer: bytes) -> Iterator[str]:
    """A server that gives every caller this answer, whatever is asked."""

    class Answer(BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65536)
            self.request.sendall(answer)

    with ThreadingTCPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.0 501 Unsupported method\r\ncontent-type: text/html\r\n\r\n<html>", "is no gateway (501)"),
        (b"HTTP/1.0 200 OK\r\ncontent-type: text/html\r\n\r\n<html>Welcome", "is no gateway (200)"),
        (
            b'HTTP/1.0 404 Not Found\r\ncontent-type: application/problem+json\r\n\r\n{"detail":"none","do":"Ask it."}',
            "Ask it.",
        ),
    ],
)
def test_a_gateway_that_is_something_else(tmp_path: Path, answer: bytes, told: str) -> None:
    with something_else(answer) as url:
        ran = penstock(tmp_path, "chat", "Hello", "--gateway", url)
    assert ran.out == ""
    assert f"what answers at {url}/v1 is no gateway" in ran.err
    assert told in ran.err


def test_a_gateway_that_speaks_no_tls(tmp_path: Path) -> None:
    with something_else(b"HTTP/1.0 400 Bad Request\r\n\r\n") as url:
        ran = penstock(tmp_path, "chat", "Hello", "--gateway", url.replace("http", "https"))
    assert "write http://" in ran.err


def test_a_gateway_that_is_not_there(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "Hello", "--gateway", "http://127.0.0.1:1")
    assert (ran.code, ran.out) == (1, "")
    assert "the gateway at http://127.0.0.1:1" in ran.err


# --- who stops listening


def test_a_reader_that_has_enough(folder: Path, provider: Provider) -> None:
    command = [*PENSTOCK, "chat", "Hello", "--model", "up/large:tokens=5000,between=5ms"]
    process = subprocess.Popen(
        command, cwd=folder, env=environment(**ENV), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.read(5)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(SECONDS) == 1
    assert provider.journal.find(lambda seen: seen.ended is not None).outcome == "disconnected"


@pytest.mark.parametrize("silent", [False, True])
def test_ctrl_c_stops_the_call(folder: Path, provider: Provider, silent: bool) -> None:
    model = "up/small:silence" if silent else "up/large:tokens=5000,between=10ms"
    process = subprocess.Popen(
        [*PENSTOCK, "chat", "Hello", "--model", model],
        cwd=folder, env=environment(**ENV), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    seen = provider.journal.find(lambda seen: True)
    if not silent:
        assert process.stdout.read(5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SECONDS)
    assert process.returncode == 130
    assert err.strip() == b""
    provider.journal.wait_until_quiet()
    assert seen.outcome == "disconnected"


# --- on a terminal


def on_terminal(folder: Path, *arguments: str, **env: str) -> tuple[int, bytes]:
    """Exit code and everything that a terminal gets."""
    ours, theirs = pty.openpty()
    try:
        process = subprocess.Popen(
            [*PENSTOCK, "chat", *arguments],
            cwd=folder, env=environment(TERM="xterm", **env), stdin=theirs, stdout=theirs, stderr=theirs,
        )  # fmt: skip
    finally:
        os.close(theirs)
    came = b""
    while True:
        try:
            data = os.read(ours, 65536)
        except OSError:  # Linux's way of saying that nobody holds the other end any more
            break
        if not data:
            break
        came += data
    os.close(ours)
    return process.wait(SECONDS), came


def test_a_terminal_gets_a_summary(tmp_path: Path) -> None:
    code, came = on_terminal(tmp_path, "Hello", "--model", "sim/small:tokens=9")
    assert code == 0
    answer, summary, rest = came.split(b"\r\n")
    assert b'"Hello"' in answer
    assert summary.startswith(b"\x1b[2msmall: ")
    assert b"+ 9 tokens, " in summary
    assert summary.endswith(b" s\x1b[0m")
    assert rest == b""


def test_a_terminal_without_colour(tmp_path: Path) -> None:
    code, came = on_terminal(tmp_path, "Hello", "--model", "sim/small", NO_COLOR="1")
    assert code == 0
    assert b"\x1b" not in came
    assert b" tokens, " in came


def test_a_terminal_sees_the_reasoning(tmp_path: Path) -> None:
    code, came = on_terminal(tmp_path, "Hello", "--model", "sim/reasoner")
    assert code == 0
    thought, answer, summary, _ = came.split(b"\r\n")
    assert thought.startswith(b"\x1b[2m")
    assert b'"Hello"' in answer
    assert b"\x1b" not in answer
    assert b"tokens" in summary
    # Elsewhere it is left out.
    ran = penstock(tmp_path, "chat", "Hello", "--model", "sim/reasoner")
    assert ran.err == ""
    assert ran.out.strip().encode() == answer


def test_a_terminal_is_told_that_the_answer_is_simulated(tmp_path: Path) -> None:
    _, came = on_terminal(tmp_path, "Hello")
    assert b"sim/small answers, which is simulated" in came
    _, came = on_terminal(tmp_path, "Hello", "--model", "sim/small")
    assert b"simulated" not in came


def test_a_model_gives_a_terminal_no_commands(tmp_path: Path) -> None:
    code, came = on_terminal(tmp_path, "set \x1b]0;title\x07 now", "--model", "sim/small", NO_COLOR="1")
    assert code == 0
    assert b"title" in came
    assert b"\x1b" not in came
    assert b"\x07" not in came


def test_a_terminal_that_knows_few_letters(tmp_path: Path) -> None:
    ran = penstock(tmp_path, "chat", "Grüße", "--model", "sim/small", env={"PYTHONIOENCODING": "ascii"})
    assert ran.code == 0
    assert '"Gr??e"' in ran.out


# --- the books


def test_what_it_costs_is_booked_where_there_is_a_store(tmp_path: Path) -> None:
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders: {sim: {}}\nstate: sqlite:///own.db\n")
    ran = penstock(tmp_path, "chat", "Hello", "--model", "sim/small", "--user", "u1", "--json")
    rows = penstock(tmp_path, "usage", "--by", "user", "--json")
    (row,) = json.loads(rows.out)["data"]
    assert (row["user"], row["cost_usd"]) == ("-/u1", json.loads(ran.out)["cost_usd"])
    told = penstock(tmp_path, "explain", json.loads(ran.out)["request_id"], "--store", "own.db")
    assert "answered     by sim/small" in told.out


def test_a_gateway_s_store_is_the_gateway_s(tmp_path: Path) -> None:
    """It answers beside one that runs, and what it costs is not in that one's books; without one it is."""
    (tmp_path / "penstock.yaml").write_text("auth: open\nproviders: {sim: {}}\n")
    with Served(tmp_path) as served:
        assert penstock(tmp_path, "chat", "Hello", "--model", "sim/small").code == 0
        served.stop()
    assert "Nothing was used" in penstock(tmp_path, "usage").out
    assert penstock(tmp_path, "chat", "Hello", "--model", "sim/small").code == 0
    assert "sim/small" in penstock(tmp_path, "usage").out
