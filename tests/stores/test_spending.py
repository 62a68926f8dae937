"""What a budget has spent, also one that is new in the middle of its window; and the ledger checked against itself."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from penstock.reservation import SCOPES, Rule, Scope, Unit
from penstock.routing.scopes import Rules
from penstock.stores.ledger import Ledger
from penstock.stores.rows import Hold
from penstock.stores.spending import Since
from tests.stores.journals import DAY, HOUR, Story, closed, hold, ledger_of, opened, run

NOW = DAY + 10 * HOUR


def rule(id: str = "day", scope: Scope = "tenant", unit: Unit = "usd") -> Rule:
    return Rule(id, scope, "budget", unit, 10**9, period="day")


def held(story: Story, request: str, settled: int, window: int = DAY) -> None:
    story.journal.open(opened(request, holds=(hold(1000, window=window),)))
    story.journal.close(closed(request, cost=settled, settled=(settled,)))


def test_what_was_settled_in_the_window_is_spent(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    run(ledger.adopt([Since(rule(), DAY)], NOW))
    assert ledger.spent(rule(), "acme", DAY) == 0
    held(story, "a", 70)
    held(story, "b", 7, DAY + 86400)
    assert ledger.spent(rule(), "acme", DAY) == 0  # not before it is in the store
    run(ledger.fold())
    assert ledger.spent(rule(), "acme", DAY) == 70
    assert ledger.spent(rule(), "acme", DAY + 86400) == 7
    assert ledger.spent(rule(), "bigco", DAY) == 0
    assert ledger.spent(rule("other"), "acme", DAY) == 0
    assert ledger.spent(rule(), "acme", 0) == 0


def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("before", 40)
    run(ledger.adopt([Since(rule(), DAY)], NOW))
    held(story, "a", 70)
    run(ledger.fold())
    ledger.database.close()
    again = ledger_of(tmp_path)
    run(again.recover())
    assert run(again.adopt([Since(rule(), DAY)], NOW)) == []
    assert again.spent(rule(), "acme", DAY) == 110


def test_a_rule_that_is_new_begins_with_what_was_spent_before(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("yesterday", 1, at=DAY - 1)
    story.attempt("a", 40)
    story.attempt("b", 2, tenant="bigco")
    assert run(ledger.adopt([Since(rule(), DAY)], NOW)) == ["day"]
    assert (ledger.spent(rule(), "acme", DAY), ledger.spent(rule(), "bigco", DAY)) == (40, 2)
    held(story, "c", 30)
    run(ledger.fold())
    assert ledger.spent(rule(), "acme", DAY) == 70
    assert run(ledger.adopt([Since(rule(), DAY)], NOW)) == []
    assert ledger.spent(rule(), "acme", DAY) == 70


def test_one_that_was_away_misses_nothing(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    run(ledger.adopt([Since(rule(), DAY)], NOW))
    held(story, "a", 70)
    run(ledger.adopt([], NOW))
    story.attempt("b", 5)
    assert run(ledger.adopt([Since(rule(), DAY)], NOW)) == ["day"]
    assert ledger.spent(rule(), "acme", DAY) == 75


def test_a_minute_begins_within_a_quarter_of_an_hour(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a", 1, at=NOW + 59.9)
    story.attempt("b", 2, at=NOW + 60)
    story.attempt("c", 4, at=NOW + 70)
    run(ledger.adopt([Since(rule(), NOW + 60)], NOW + 75))
    assert ledger.spent(rule(), "acme", NOW + 60) == 6


def test_of_whom_a_rule_is_not_for_nothing_is_put_down(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a", 40)
    story.attempt("b", 2, tenant="bigco")
    few = Rule("budget tenant usd day@UTC acme", "tenant", "budget", "usd", 10**9, match="acme", period="day")
    each = Rule("budget tenant usd day@UTC", "tenant", "budget", "usd", 10**9, period="day")
    both = [Since(few, DAY), Since(each, DAY)]
    run(ledger.adopt(both, NOW, Rules([few, each]).holds))
    assert [ledger.spent(few, value, DAY) for value in ("acme", "bigco")] == [40, 0]
    assert [ledger.spent(each, value, DAY) for value in ("acme", "bigco")] == [0, 2]
    # Without the one that was more exact the other is for all of them, and missed nothing.
    story.attempt("c", 5)
    assert run(ledger.adopt(both[1:], NOW, Rules([each]).holds)) == []
    assert [ledger.spent(each, value, DAY) for value in ("acme", "bigco")] == [45, 2]


@pytest.mark.parametrize(("unit", "spent"), [("usd", 300), ("tokens", 45), ("requests", 2)])
def test_each_unit(tmp_path: Path, unit: Unit, spent: int) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    story.attempt("a")
    story.journal.open(opened("b", 1))
    story.journal.close(closed("b", 1, outcome="upstream_timeout", answered=False))
    story.journal.open(opened("b", 2))
    story.journal.close(closed("b", 2))
    run(ledger.adopt([Since(rule(unit=unit), DAY)], NOW))
    assert ledger.spent(rule(unit=unit), "acme", DAY) == spent


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope(tmp_path: Path, scope: Scope) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    more: dict[str, Any] = {"project": "web", "user": "u1", "task": "chat", "tags": (("feature", "search"),)}
    story.attempt("a", 40, **more)
    value = {
        "global": "",
        "provider": "sim",
        "deployment": "sim/small",
        "model": "fast",
        "tenant": "acme",
        "project": "acme/web",
        "key": "app",
        "user": "acme/u1",
        "task": "acme/chat",
        "tag": "acme/feature=search",
    }[scope]
    run(ledger.adopt([Since(rule(scope=scope), DAY)], NOW))
    assert ledger.spent(rule(scope=scope), value, DAY) == 40


# --- the ledger against itself


def whole(folder: Path) -> Ledger:
    ledger, story = ledger_of(folder), Story(folder)
    for number in range(30):
        user = f"u{number % 3}"
        holds = (hold(1000), Hold("user", f"acme/{user}", DAY, "tokens", 50))
        story.journal.open(opened(str(number), at=DAY + 700 * number, user=user, tags=(("a", "b"),), holds=holds))
        if number % 7:
            story.journal.close(closed(str(number), cost=None if number % 5 == 0 else number, settled=(number, 15)))
        if number % 4 == 0:
            run(ledger.fold())
    run(ledger.bury("w0"))
    return ledger


def test_a_whole_ledger_agrees_with_itself(tmp_path: Path) -> None:
    assert run(whole(tmp_path).recompute()) == []


@pytest.mark.parametrize(
    ("statement", "told"),
    [
        ("UPDATE rollups SET cost = cost + 1 WHERE dimension = 'user' AND value = 'acme/u1'", "sum of user 'acme/u1'"),
        ("UPDATE rollups SET output_tokens = 0 WHERE dimension = ''", "sum of all ''"),
        ("DELETE FROM rollups WHERE dimension = 'tag'", "none, by the rows"),
        ("INSERT INTO rollups SELECT 'key', 1, 'x', 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "sum of key 'x' at 1"),
        ("UPDATE accounts SET settled = settled - 1 WHERE rule = 'user'", "account user|acme/u0"),
        ("DELETE FROM accounts", "account 1: none"),
        ("DELETE FROM attempts WHERE request = '3'", "sum of all ''"),
        ("UPDATE attempts SET cost = 0 WHERE request = '5'", "sum of all ''"),
        ("UPDATE attempts SET request = '3' WHERE request = '4'", "attempt 1 of request 3: 2 rows"),
    ],
)
def test_whatever_is_changed_is_found(tmp_path: Path, statement: str, told: str) -> None:
    ledger = whole(tmp_path)

    def change(connection: sqlite3.Connection) -> None:
        connection.execute(statement)

    ledger.database.run_here(change)
    found = run(ledger.recompute())
    assert found
    assert told in "\n".join(found)
