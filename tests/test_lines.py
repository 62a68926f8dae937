"""The log line: what was decided, what was tried, and nothing that says nothing."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest

from penstock.lines import AttemptLine, DecisionLine, Line, encode_lines
from penstock.records import Attempt, Decision, Record
from penstock.usage import Usage
from tests.house.trees import ROOT

DOCS = (ROOT / "docs/requests.md").read_text()


def record(*attempts: Attempt, decisions: tuple[Decision, ...] = (), candidates: str = "a/m b/n") -> Record:
    made = Record("id", "chat", 100.0, 1_700_000_000.25)
    made.ended = 110.0
    made.attempts, made.decisions, made.candidates = list(attempts), list(decisions), tuple(candidates.split())
    return made


def line_of(made: Record) -> dict[str, Any]:
    line: dict[str, Any] = msgspec.json.decode(encode_lines([made]))
    return line


# --- decisions


@pytest.mark.parametrize(("candidates", "why"), [("a/m b/n", "listed first"), ("a/m", "the only one")])
def test_what_was_answered_at_once_was_chosen_as_listed(candidates: str, why: str) -> None:
    line = line_of(record(Attempt("a/m", 100.0, 100.0, 101.0, 200, "ok"), candidates=candidates))
    assert line["decisions"] == [{"what": "chosen", "deployment": "a/m", "why": why}]
    assert line["attempts"] == [{"deployment": "a/m", "outcome": "ok", "status": 200, "ms": 1000.0}]
    assert line.get("candidates") == (["a/m", "b/n"] if candidates == "a/m b/n" else None)
    assert "degraded" not in line


def test_what_reached_no_provider_has_no_decision() -> None:
    line = line_of(record(candidates=""))
    assert not {"decisions", "attempts", "candidates"} & set(line)


@pytest.mark.parametrize("later", [101.5, 100.0])
def test_the_first_choice_stands_before_what_followed_it(later: float) -> None:
    first = Attempt("a/m", 100.0, 100.0, later, 503, "unavailable")
    second = Attempt("b/n", later, later, later + 1, 200, "ok", "fallback")
    noted = (Decision("failed", "a/m", "unavailable", later), Decision("chosen", "b/n", "fallback", later))
    told = line_of(record(first, second, decisions=noted))["decisions"]
    assert [(each["what"], each["deployment"], each["why"]) for each in told] == [
        ("chosen", "a/m", "listed first"), ("failed", "a/m", "unavailable"), ("chosen", "b/n", "fallback"),
    ]  # fmt: skip
    assert [each.get("at_ms") for each in told[1:]] == [(later - 100) * 1000 or None] * 2


def test_a_choice_that_was_noted_is_not_told_twice() -> None:
    noted = (Decision("passed_over", "a/m", "open: unavailable", 100.0), Decision("chosen", "b/n", "ordered", 100.0))
    told = line_of(record(Attempt("b/n", 100.0, 100.0, 101.0, 200, "ok"), decisions=noted))["decisions"]
    assert [each["what"] for each in told] == ["passed_over", "chosen"]


def test_the_only_one_that_was_waited_for_was_chosen_after_the_wait() -> None:
    noted = (
        Decision("passed_over", "a/m", "paused: rate limited", 100.0),
        Decision("waited", "", "", 100.0, 1.5),
    )
    waited = Attempt("a/m", 101.5, 101.5, 102.0, 200, "ok")
    told = line_of(record(waited, decisions=noted, candidates="a/m"))["decisions"]
    assert [each["what"] for each in told] == ["passed_over", "waited", "chosen"]
    assert told[1] == {"what": "waited", "wait_ms": 1500.0}


def test_a_place_that_was_wanted_tells_the_first_choice() -> None:
    noted = (
        Decision("failed", "a/m", "overloaded", 100.0),
        Decision("chosen", "b/n", "fallback", 100.0),
        Decision("queued", "b/n", "its turn", 100.5, 0.5),
    )
    asked = Attempt("b/n", 100.5, 100.5, 101.0, 200, "ok", "fallback")
    told = line_of(record(asked, decisions=noted))["decisions"]
    assert [(each["what"], each["deployment"]) for each in told] == [
        ("chosen", "a/m"), ("failed", "a/m"), ("chosen", "b/n"), ("queued", "b/n"),
    ]  # fmt: skip
    full = line_of(record(decisions=noted[:1]))["decisions"]
    assert [(each["what"], each["deployment"]) for each in full] == [("chosen", "a/m"), ("failed", "a/m")]


def test_what_nobody_could_be_asked_for_has_no_choice() -> None:
    noted = (Decision("passed_over", "a/m", "open: unavailable", 100.0),)
    told = line_of(record(decisions=noted, candidates="a/m"))["decisions"]
    assert [each["what"] for each in told] == ["passed_over"]


# --- attempts


def test_attempts_tell_their_kind_wait_doubt_and_cost() -> None:
    cut = Attempt("a/m", 100.0, 100.0, 100.5, 0, "unavailable", ambiguous=True, usage=Usage(9, estimated=True), cost=9)
    again = Attempt("a/m", 100.7, 100.7, 100.8, 429, "upstream_rate_limited", "retry", 0.2)
    other = Attempt("b/n", 100.8, 100.8, 101.8, 200, "ok", "fallback", usage=Usage(3, 5), cost=None)
    first, second, third = line_of(record(cut, again, other))["attempts"]
    tokens = {"input": 9, "output": 0, "cache_read": 0, "cache_write": 0, "reasoning": 0, "estimated": True}
    known = {"deployment": "a/m", "outcome": "unavailable", "status": 0, "ms": 500.0, "ambiguous": True}
    assert first == {**known, "tokens": tokens, "cost_usd": "0.000000009"}
    assert (second["kind"], second["wait_ms"], second["at_ms"]) == ("retry", 200.0, pytest.approx(700, abs=0.01))
    assert not {"tokens", "cost_usd", "ambiguous"} & set(second)
    assert (third["kind"], third["tokens"]["output"], third["cost_usd"]) == ("fallback", 5, None)


def test_the_only_attempt_says_when_it_is_ambiguous() -> None:
    (attempt,) = line_of(record(Attempt("a/m", 100.0, 100.0, 105.0, 0, "unavailable", ambiguous=True)))["attempts"]
    assert attempt["ambiguous"] is True


def test_an_attempt_that_still_runs_takes_as_long_as_the_request() -> None:
    (attempt,) = line_of(record(Attempt("a/m", 104.0, 104.0)))["attempts"]
    assert (attempt["outcome"], attempt["ms"]) == ("open", 6000.0)


# --- what is written of it


@pytest.mark.parametrize("kind", [Line, AttemptLine, DecisionLine])
def test_every_field_is_described(kind: type[msgspec.Struct]) -> None:
    described = set(
        re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in DOCS.splitlines() if line[:1] == "|"))
    )
    assert not set(kind.__struct_fields__) - described


def test_every_decision_that_is_made_is_described() -> None:
    made = set()
    for path in (ROOT / "src/penstock").rglob("*.py"):
        made |= set(re.findall(r"(?:Decision|_decide)\((?:\w+, )?\"(\w+)\"", path.read_text()))
    assert {"chosen", "passed_over", "failed", "queued", "degraded", "gave_up"} <= made
    assert made <= set(re.findall(r"^\| `(\w+)` \|", DOCS, re.MULTILINE))


def test_every_decision_is_described() -> None:
    told = re.findall(r"`(\w+)`", (Decision.__doc__ or "").partition("what:")[2].partition("deployment:")[0])
    assert len(told) == 10
    assert set(told) <= set(re.findall(r"^\| `(\w+)` \|", DOCS, re.MULTILINE))


@pytest.mark.parametrize("letter", [*range(0x20), *range(0x7F, 0xA0), 0x200E, 0x2028, 0x2029, 0x202E, 0x2066, 0x2069])
def test_no_line_holds_what_a_terminal_obeys(letter: int) -> None:
    name = f"a{chr(letter)}[2J\u00e9\u4e2d\U0001f600{chr(letter)}"
    line = encode_lines([Record("r", "chat", 0.0, 0.0, model=name)])
    assert chr(letter) not in line.decode()[:-1]
    assert line.count(b"\n") == 1
    assert msgspec.json.decode(line)["model"] == name
    assert "\u00e9\u4e2d\U0001f600" in line.decode()
