"""`penstock explain`: the story of a request, from a gateway that runs, and as it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.story import past_story, read_line, story
from penstock.lines import encode_lines
from penstock.records import Attempt, Decision, Record
from penstock.stores.past import Past
from penstock.stores.past_told import past_told
from penstock.usage import Usage
from tests.cli.running import penstock
from tests.cli.test_serve import chat
from tests.end_to_end.process import Served

ID = "0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21"


def lines_of(record: Record, now: float = 0.0) -> list[str]:
    return story(read_line(json.loads(encode_lines([record], now)))).splitlines()


def failed_over() -> Record:
    record = Record(ID, "chat", 100.0, 1_700_000_000.25)
    record.candidates = ("openai/gpt-5-mini", "anthropic/claude-haiku-4-5")
    first = Attempt("openai/gpt-5-mini", 100.0, 100.0, 100.12, 503, "unavailable")
    again = Attempt("openai/gpt-5-mini", 100.16, 100.16, 105.16, 0, "upstream_timeout", "retry", 0.04, ambiguous=True)
    again.usage, again.cost = Usage(12, estimated=True), 12_000
    other = Attempt("anthropic/claude-haiku-4-5", 105.16, 105.16, 105.5, 200, "ok", "fallback")
    other.usage, other.cost = Usage(12, 1040, cache_read_tokens=4, reasoning_tokens=1000), None
    record.attempts = [first, again, other]
    record.decisions = [
        Decision("failed", "openai/gpt-5-mini", "unavailable", 100.12),
        Decision("waited", "openai/gpt-5-mini", "", 100.12, 0.04),
        Decision("chosen", "openai/gpt-5-mini", "retry", 100.16),
        Decision("failed", "openai/gpt-5-mini", "upstream_timeout", 105.16),
        Decision("chosen", "anthropic/claude-haiku-4-5", "fallback", 105.16),
    ]
    record.model, record.stream, record.key, record.tenant, record.user = "fast", True, "app", "acme", "u1"
    record.first_output, record.ended, record.overhead, record.status = 105.5, 112.5, 0.0004, 200
    record.deployment, record.finish_reason = "anthropic/claude-haiku-4-5", "stop"
    record.adopt(other)
    record.finish_reason, record.dropped = "stop", ("seed", "user")
    return record


def test_a_story_reads_like_one() -> None:
    assert lines_of(failed_over()) == [
        "request      0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21",
        "             chat, streamed, 2023-11-14 22:13:20.250 UTC",
        "asked for    fast",
        "by           key app, tenant acme, user u1",
        "answered     200 by anthropic/claude-haiku-4-5 after 12.50 s, finished: stop",
        "             first output after 5.50 s, 0.4 ms of it Penstock's own",
        "",
        "could go to  openai/gpt-5-mini, anthropic/claude-haiku-4-5",
        "decided      0 ms: openai/gpt-5-mini is chosen: listed first",
        "             120 ms: openai/gpt-5-mini failed: unavailable",
        "             120 ms: waited 40 ms",
        "             160 ms: openai/gpt-5-mini is chosen: retry",
        "             5.16 s: openai/gpt-5-mini failed: upstream_timeout",
        "             5.16 s: anthropic/claude-haiku-4-5 is chosen: fallback",
        "",
        "attempts     1. openai/gpt-5-mini: unavailable (503) after 120 ms",
        "             2. openai/gpt-5-mini: upstream_timeout after 5.00 s; a retry at 160",
        "               ms; waited 40 ms before; it may have been answered, and charged,",
        "               all the same; 12 tokens in, 0 out, estimated, $0.000012000",
        "             3. anthropic/claude-haiku-4-5: ok (200) after 340 ms; a fallback at",
        "               5.16 s; 12 tokens in, 1,040 out (4 read from the cache, 1,000",
        "               reasoning), cost unknown",
        "",
        "used         12 tokens in, 1,040 out (4 read from the cache, 1,000 reasoning)",
        "cost         unknown: a price is missing",
        "left out     seed, user",
    ]


def test_it_fits_a_terminal() -> None:
    assert max(map(len, lines_of(failed_over()))) <= 80


def test_a_wait_for_a_place_is_told() -> None:
    record = Record(ID, "chat", 100.0, 1_700_000_000.0, [Attempt("a/m", 102.0, 102.0, 103.0, 200, "ok")])
    record.decisions = [Decision("queued", "a/m", "go", 100.0, 2.0)]
    told = lines_of(record, 103.0)
    assert told[-4:-2] == [
        "decided      0 ms: a/m is chosen: the only one",
        "             0 ms: waited 2.00 s for a place at a/m",
    ]


def ended(**fields: Any) -> Record:
    record = Record(ID, "chat", 100.0, 1_700_000_000.0)
    record.ended, record.model = 101.0, "fast"
    for name, value in fields.items():
        setattr(record, name, value)
    return record


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (ended(status=499, error="cancelled"), "no: the caller left after 1.00 s"),
        (ended(status=503, error="circuit_open"), "no: circuit_open (503) after 1.00 s"),
        (ended(status=200, degraded=True), "by the text of on_failure (200) after 1.00 s"),
        (
            ended(status=200, deployment="a/m", stream_error="stream_interrupted"),
            "200 by a/m after 1.00 s, then broke off: stream_interrupted",
        ),
    ],
)
def test_how_it_ended_is_told(record: Record, told: str) -> None:
    assert f"answered     {told}" in lines_of(record)


def test_what_a_limit_refused_is_told_with_the_limit() -> None:
    record = ended(status=429, error="rate_limited")
    record.decisions = [
        Decision("refused", "", "the limit of 6 requests a minute for user 'acme/u1' is reached", 101.0)
    ]
    told = lines_of(record)
    assert "answered     no: rate_limited (429) after 1.00 s" in told
    assert "decided      1.00 s: refused: the limit of 6 requests a minute for user" in told
    assert "               'acme/u1' is reached" in told


def test_what_nobody_serves_is_told_with_its_path() -> None:
    told = lines_of(ended(operation="http", model="", path="/index.php", status=404, error="not_found"))
    assert "asked for    /index.php" in told
    unknown = lines_of(ended(operation="http", model="", status=400, error="invalid_request"))
    assert not [line for line in unknown if line.startswith("asked for")]


def test_one_being_answered_is_told_as_it_stands() -> None:
    record = Record(ID, "chat", 100.0, 1_700_000_000.0, [Attempt("a/m", 100.0, 100.0)])
    told = lines_of(record, 103.0)
    assert "answered     not yet: 3.00 s so far, no output yet" in told
    assert "attempts     1. a/m: still open after 3.00 s" in told


def test_what_a_caller_wrote_cannot_speak_to_the_terminal() -> None:
    told = "\n".join(lines_of(ended(model="\x1b[2Jfast\r\x9b", task="a\nb")))
    assert "asked for    [2Jfast" in told
    assert not [letter for letter in told if not letter.isprintable() and letter != "\n"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_running_gateway_tells_it(tmp_path: Path, workers: str) -> None:
    config = "auth: open\nproviders: {sim: {}}\nmodels: {fast: {targets: [sim/small]}}\n"
    (tmp_path / "penstock.yaml").write_text(config)
    with Served(tmp_path, "--workers", workers) as served:
        status, _ = chat(served, model="fast")
        id = served.line(model="fast")["id"]
        refused, _ = chat(served, model="nothing")
        wrong = served.line(model="nothing")["id"]
        told = penstock(tmp_path, "explain", id)
        assert (status, told.code, told.err) == (200, 0, "")
        assert f"request      {id}" in told.out
        assert "0 ms: sim/small is chosen: the only one" in told.out
        raw = penstock(tmp_path, "explain", id, "--json", "--admin", served.admin_url)
        assert json.loads(raw.out) == served.line(model="fast")
        assert "answered     no: unknown_model (404)" in penstock(tmp_path, "explain", wrong).out
        assert refused == 404
        nobody = penstock(tmp_path, "explain", ID)
        assert (nobody.code, nobody.out) == (1, "")
        assert "before this gateway began" in nobody.err
        assert penstock(tmp_path, "explain", "nonsense").code == 2
        served.stop()
    # No gateway runs: its store is asked.
    gone = penstock(tmp_path, "explain", id)
    assert (gone.code, gone.err) == (0, "")
    assert "answered     by sim/small" in gone.out
    assert "1. sim/small: ok (200) after" in gone.out
    assert "forgotten    operation, status" in gone.out
    unasked = penstock(tmp_path, "explain", wrong)
    assert (unasked.code, unasked.out) == (1, "")
    assert "has no attempt of the request" in unasked.err
    # One that has begun since knows it from there, too.
    with Served(tmp_path, "--workers", workers) as served:
        assert penstock(tmp_path, "explain", id).out == gone.out
        again = json.loads(penstock(tmp_path, "explain", id.upper(), "--json").out)
        assert (again["source"], again["id"], again["cost_usd"]) == ("ledger", id, json.loads(raw.out)["cost_usd"])
        assert "no attempt of it is in the ledger" in penstock(tmp_path, "explain", wrong).err
        assert penstock(tmp_path, "explain", id, "--store", str(tmp_path / "penstock.db")).out == gone.out
        served.stop()
    (tmp_path / "penstock.db").unlink()
    nothing = penstock(tmp_path, "explain", id)
    assert nothing.code == 2
    assert "no gateway runs" in nothing.err


def test_attempts_of_old_are_told_with_what_is_known_of_each() -> None:
    second = 10**9
    who = ("acme", "app", "u1", "")
    first = Past(1, 0, second, *who, "fast", "a/m", "first", 503, "unavailable", 0, 7, 0, 0, 0, 0, 9, 9, 3)
    lost = first._replace(
        number=2, opened=3 * second, closed=4 * second, kind="retry", outcome="lost", status=0, flags=16
    )
    won = first._replace(
        number=3, opened=4 * second, closed=6 * second, deployment="b/m", kind="fallback", outcome="ok", status=200,
        answered=1, output_tokens=5, cost=None, charge=None, flags=8, tags='{"team":"x"}',
    )  # fmt: skip
    told = past_story(past_told(ID, [first, lost, won])).splitlines()
    assert "by           key app, tenant acme, user u1" in told
    assert "answered     by b/m" in told
    assert "             the last attempt was over after 6.00 s" in told
    shown = " ".join(line.strip() for line in told)
    assert "1. a/m: unavailable (503) after 1.00 s; its tokens were counted here; it may have been answered" in shown
    assert "2. a/m: lost after 1.00 s; a retry at 3.00 s; 2.00 s after the one before; its process died" in shown
    assert "3. b/m: ok (200) after 2.00 s; a fallback at 4.00 s; 7 tokens in, 5 out, cost unknown" in shown
    assert "cost unknown: a price is missing" in shown.replace("cost         ", "cost ")
    assert past_told(ID, [first])["cost_usd"] == "0.000000009"
