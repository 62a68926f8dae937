"""What rates begin with after a restart: what the attempts of before took, never less, and of never earlier."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from penstock.reservation import SCOPES, Rule, Scope
from penstock.stores.account import Moment, open_account
from penstock.stores.ledger import Ledger
from penstock.stores.rows import LOST
from penstock.stores.taken import Taken, remembered_seconds, taken_lately
from penstock.stores.treasury import Treasury
from penstock.testing import SimLoop
from penstock.testing.simloop import run as simulate
from tests.stores.journals import DAY, HOUR, Story, closed, ledger_of, opened, run

NANOS = 10**9
# A quarter of an hour begins then.
NOW = DAY + 10 * HOUR


def rate(limit: int = 100, kind: Any = "strict", scope: Scope = "tenant", seconds: int = 60, **more: Any) -> Rule:
    unit = more.pop("unit", "requests")
    return Rule(f"{kind} {scope} {unit} {seconds}", scope, kind, unit, limit, seconds=seconds, **more)


def look(ledger: Ledger, rules: Iterable[Rule], now: float = NOW) -> list[Taken]:
    return ledger.database.run_here(lambda connection: list(taken_lately(connection, rules, int(now * NANOS))))


def taken(ledger: Ledger, *rules: Rule, now: float = NOW) -> list[tuple[str, float, int]]:
    run(ledger.fold())
    return [(one.value, round(one.at / NANOS, 3), one.amount) for one in look(ledger, rules, now)]


def attempt(story: Story, request: str, at: float, *, number: int = 1, tokens: int = 15, **more: Any) -> None:
    story.journal.open(opened(request, number, at=at, **more))
    story.journal.close(closed(request, number, at=at + 0.5, input_tokens=tokens - 5))


def test_what_lies_within_the_minute_is_taken_and_nothing_else(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    attempt(story, "old", NOW - 63)
    attempt(story, "a", NOW - 61)
    attempt(story, "b", NOW - 7, tenant="bigco")
    attempt(story, "b", NOW - 6, number=2, tenant="bigco")
    attempt(story, "late", NOW + 40)  # the clock was set back: as of now, which is forgotten last
    assert taken(ledger, rate()) == [("acme", NOW - 61, 1), ("bigco", NOW - 7, 1), ("acme", NOW, 1)]
    assert taken(ledger, rate(unit="tokens")) == [
        *(("acme", NOW - 61, 15), ("bigco", NOW - 7, 15), ("bigco", NOW - 6, 15), ("acme", NOW, 15)),
    ]  # fmt: skip
    assert (
        taken(ledger, Rule("c", "tenant", "concurrency", "requests", 5), Rule("b", "tenant", "budget", "usd", 5)) == []
    )


def test_each_scope_from_rows_and_from_sums(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    facts: dict[str, Any] = {"project": "web", "user": "u1", "task": "t", "tags": (("feature", "beta"),)}
    for request, which in (("a", 1), ("a", 2), ("b", 1)):
        attempt(story, request, NOW - 20, number=which, **facts)
    attempt(story, "c", NOW - 20, tenant="bigco", key="k", model="m", deployment="b/d", provider="b")
    expected: dict[Scope, tuple[str, int]] = {
        "tenant": ("acme", 2), "project": ("acme/web", 2), "key": ("app", 2), "user": ("acme/u1", 2),
        "task": ("acme/t", 2), "tag": ("acme/feature=beta", 2), "model": ("fast", 2),
        "deployment": ("sim/small", 3), "provider": ("sim", 3), "global": ("", 3),
    }  # fmt: skip
    assert set(expected) == set(SCOPES)
    for scope, told in expected.items():
        for seconds in (60, 86_400):
            found = taken(ledger, rate(scope=scope, kind="burst", seconds=seconds))
            assert [(value, amount) for value, _, amount in found if value == told[0]] == [told], (scope, seconds)
            assert all(NOW - 20 <= at <= NOW for _, at, _ in found)


def test_who_names_nobody_counts_as_such(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    attempt(story, "a", NOW - 20, tenant="")
    assert taken(ledger, rate(scope="user"), rate(scope="tag")) == [("-/-", NOW - 20, 1)]


def test_a_rate_is_remembered_as_long_as_it_can_matter() -> None:
    assert remembered_seconds(rate()) == 62
    assert remembered_seconds(rate(60, "burst", seconds=3600)) == 3600
    assert remembered_seconds(rate(60, "burst", burst=600)) == 600
    assert remembered_seconds(rate(60, "leaky", burst=6)) == 60
    assert remembered_seconds(Rule("b", "tenant", "budget", "usd", 5)) == 0


def test_a_day_is_read_from_the_sums_and_never_as_of_earlier(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    for hours in (30, 20, 19.9, 1, 0.1):
        attempt(story, f"r{hours}", NOW - hours * HOUR)
    found = taken(ledger, rate(kind="burst", seconds=86_400))
    assert sum(amount for _, _, amount in found) == 4, "and the one of thirty hours ago is given back"
    assert [at for _, at, _ in found] == sorted(at for _, at, _ in found)
    assert found[0][1] >= NOW - 20 * HOUR
    assert found[-1][1] == NOW


def test_very_many_attempts_within_an_hour_are_read_from_the_sums(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    attempt(story, "a", NOW - 50 * 60)
    attempt(story, "b", NOW - 1)
    run(ledger.fold())

    def found(most_rows: int) -> list[tuple[float, int]]:
        rules, now = [rate(kind="burst", seconds=3600)], NOW * NANOS
        read = ledger.database.run_here(lambda connection: list(taken_lately(connection, rules, now, most_rows)))
        return [(one.at / NANOS, one.amount) for one in read]

    assert found(2) == [(NOW - 50 * 60, 1), (NOW - 1, 1)]
    assert found(1) == [(NOW - 45 * 60, 1), (NOW, 1)], "each at the end of its quarter"


# --- what becomes of it


def moment(seconds: float) -> Moment:
    return Moment(int(seconds * NANOS), NOW - 60 + seconds)


@pytest.mark.parametrize("kind", ["strict", "burst", "leaky"])
def test_whoever_begins_anew_lets_nothing_through_that_would_have_been_refused(tmp_path: Path, kind: str) -> None:
    """Histories of thirty tenants' calls, as accounts that lived on have them, and as the ledger tells of them."""
    rule = rate(100, kind, unit="tokens", burst=40 if kind == "leaky" else 0)
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    lived = {f"t{seed}": open_account(rule, f"t{seed}", moment(0), None) for seed in range(30)}
    for seed, (tenant, account) in enumerate(lived.items()):
        random, at = Random(seed), 0.0
        for number in range(random.randint(1, 30)):
            at += random.choice([0.0, 0.1, 1.0, 7.0])
            amount = random.randint(6, 30)
            if at < 59 and account.left(moment(at)) >= amount:
                account.take(None, amount, moment(at))
                attempt(story, f"{tenant} {number}", NOW - 60 + at, tokens=amount, tenant=tenant)
    run(ledger.fold())
    found = look(ledger, [rule])

    async def begin_anew(loop: SimLoop) -> None:
        treasury = begun(loop, [rule], found)
        start = int(loop.clock.monotonic() * NANOS)
        for tenant, account in lived.items():
            entry = treasury.accounts.find(rule.id, tenant)
            assert entry is not None
            for later in (0.0, 0.7, 3.0, 20.0, 45.0, 62.0):
                left = entry.account.left(Moment(start + int(later * NANOS), 0.0))
                # Whole amounts, of moments that two clocks of floats tell.
                assert left <= account.left(moment(60 + later)) + 1

    simulate(begin_anew)


def begun(loop: SimLoop, rules: list[Rule], found: list[Taken]) -> Treasury:
    """A treasury of a process that begins at `NOW`."""
    treasury = Treasury(loop.clock)
    treasury.adopt(rules)
    now = int(loop.clock.wall() * NANOS)
    treasury.remember(one._replace(at=now - (NOW * NANOS - one.at)) for one in found)
    return treasury


def test_of_calls_that_a_crash_cut_nobody_knows_how_much_they_took(tmp_path: Path) -> None:
    """So of a strict limit of tokens they took all that was left, until their minute is over."""
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    attempt(story, "a", NOW - 40, tokens=30)
    story.journal.open(opened("cut", at=NOW - 10, input_tokens=7))
    story.journal.end()
    assert run(ledger.recover()).lost == 1
    rules = [rate(unit="tokens"), rate(), rate(kind="burst", unit="tokens")]
    found = look(ledger, rules)
    assert [(one.rule.id, one.amount, one.lost) for one in found if one.lost] == [
        (rules[0].id, 7, 1), (rules[1].id, 1, 1), (rules[2].id, 7, 1),
    ]  # fmt: skip
    assert LOST == 16, "as the statement has it"

    async def begin_anew(loop: SimLoop) -> None:
        treasury = begun(loop, rules, found)
        stands = [treasury.stand(rule.id, "acme") for rule in rules]
        assert [stand.left for stand in stands if stand] == [0, 98, 100], "what is not strict has forgotten it"
        await loop.clock.sleep(52)
        stand = treasury.stand(rules[0].id, "acme")
        assert stand is not None
        assert stand.left == 100

    simulate(begin_anew)


def test_rules_that_are_gone_are_passed_over(tmp_path: Path) -> None:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    attempt(story, "a", NOW - 1)
    run(ledger.fold())
    found = look(ledger, [rate()])

    async def begin_anew(loop: SimLoop) -> None:
        treasury = Treasury(loop.clock)
        treasury.remember(found)
        assert not len(treasury.accounts)

    simulate(begin_anew)
