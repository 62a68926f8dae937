"""The steward in a whole gateway: from an attempt that is booked to a signed webhook, and to workers that slow down."""

from __future__ import annotations

import math
from base64 import b64encode
from pathlib import Path
from random import Random
from typing import Any

import msgspec

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway.books import Books, open_books
from penstock.gateway.oddities import EPISODE, HISTORY, Oddities, learn
from penstock.gateway.steward import Steward
from penstock.metrics import Metrics
from penstock.stores.alerts import Alert
from penstock.stores.fullest import ALL, MOST_TENANTS, fullest, hourly, largest
from penstock.stores.posting import post
from penstock.stores.rows import Closed, Hold, Opened
from penstock.stores.sqlite import Database
from penstock.testing import FakeClock, ScriptedUpstream, SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from penstock.testing.simloop import run
from penstock.wire.webhook import verify
from tests.stage import Caller

SECRET = "whsec_" + b64encode(b"penstock-test-secret-of-32-bytes").decode()
KEY = "psk_test_0123456789"
RULE = "budget tenant usd day@UTC"
DAY = 86_400
NOW = 1_767_225_600  # 2026-01-01 00:00 UTC, where virtual time begins
DOLLAR = 1_000_000_000


def config(folder: Path, **more: Any) -> Config:
    budget = {"scope": "tenant", "limit": "10 USD/day", "hard": False, "alert_at": [0.5, 1.0], "on_soft": "throttle"}
    source = {
        "auth": "open",
        "providers": {"sim": {}},
        "state": f"sqlite:///{folder}/p.db",
        "budgets": [budget],
        "alerts": {"webhook": {"url": "http://127.0.0.1:9000/hook", "secret": "env:HOOK"}},
    }
    return load_config({**source, **more}, {"HOOK": SECRET})


def attempt(
    number: int, cost: int, at: float, tenant: str = "acme", window: int = NOW, rule: str = RULE
) -> tuple[Opened, Closed]:
    hold = Hold(rule, tenant, window, "usd", cost)
    opened = Opened(f"r{number}", 1, int(at * 1e9), "fast", "sim/small", "sim", tenant=tenant, holds=(hold,))
    return opened, Closed(f"r{number}", 1, int(at * 1e9), 200, "ok", True, 1, 1, cost=cost, settled=(cost,))


def books_of(folder: Path, loop: SimLoop) -> Books:
    books = open_books(config(folder), loop.clock, SeededRandom(1), inline=True)
    assert books is not None
    return books


def test_what_is_spent_reaches_the_webhook_and_the_workers(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        budget = {"scope": "tenant", "limit": "10 USD/hour", "hard": False, "alert_at": [0.5], "on_soft": "throttle"}
        by_the_hour = config(tmp_path, budgets=[budget])
        hourly_rule = by_the_hour.rules[0].id
        account = f"{hourly_rule}|acme"
        receiver = ScriptedUpstream(b"HTTP/1.1 204 No Content\r\n\r\n", clock=loop.clock)
        await loop.create_server(receiver.connection, "127.0.0.1", 9000)
        books = books_of(tmp_path, loop)
        async with Fleet(loop, by_the_hour, books=books) as fleet:
            # A dollar a minute: used up in ten minutes.
            for number in range(24):
                journal = fleet.hired[number % 2].gateways[-1].shared.journal
                assert journal is not None
                opened, closed = attempt(number, DOLLAR // 4, loop.clock.wall(), rule=hourly_rule)
                journal.open(opened)
                journal.close(closed)
                await loop.clock.sleep(15.0)
            told = [msgspec.json.decode(request.body) for request in receiver.requests]
            assert [each["type"] for each in told] == ["penstock.budget.projected", "penstock.budget.threshold"]
            projected = told[0]["data"]
            assert (projected["tenant"], projected["limit"]) == ("acme", "10.000000000")
            assert "2026-01-01T00:09:00Z" < projected["exhausted_at"] < "2026-01-01T00:11:00Z"
            for request in receiver.requests:
                headers = {name.decode(): value.decode() for name, value in request.headers.items()}
                assert verify(SECRET, headers, request.body, int(headers["webhook-timestamp"]))
            assert math.isclose(fleet.supervisor.steward.projections[account].rate, DOLLAR / 60, rel_tol=0.1)
            pressures = [worker.gateways[-1].shared.pressure(account) for worker in fleet.hired]
            assert pressures[0] == pressures[1] > 0.8
            assert fleet.hired[0].gateways[-1].shared.pressure(f"{hourly_rule}|globex") == 0.0
            # Another configuration, without the budget: nothing presses any more.
            await fleet.supervisor.adopt(config(tmp_path, budgets=[]))
            await loop.clock.sleep(30.0)
            assert fleet.hired[0].gateways[-1].shared.pressure(account) == 0.0
        again = books_of(tmp_path, loop)
        async with Fleet(loop, by_the_hour, books=again) as fleet:
            await loop.clock.sleep(60.0)
            assert len(receiver.requests) == 2
            assert len(await fleet.supervisor.steward.book.newest(None, 10)) == 2

    run(main)


def test_where_nothing_is_to_be_watched_nothing_runs(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        plain = load_config({"auth": "open", "providers": {"sim": {}}, "state": "memory"}, {})
        async with Fleet(loop, plain) as fleet:
            steward = fleet.supervisor.steward
            assert steward._task is None
            assert not steward._begun
            steward.tell(Alert("loop", "x", "1", "a loop"))
            await loop.clock.sleep(1.0)
            assert [noted.kind for _, noted in await steward.book.newest(None, 5)] == ["loop"]

    run(main, leak_free=True)


def test_a_store_that_fails_does_not_end_the_watching(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        db = Database(tmp_path / "p.db", inline=True)
        steward = Steward(db, loop.clock, SeededRandom(1), Metrics(), lambda topic, value: None)
        await db.run(lambda connection: connection.execute("ALTER TABLE accounts RENAME TO away"))
        steward.adopt(config(tmp_path, alerts={"anomaly": "off"}))
        await loop.clock.sleep(60.0)
        await db.run(lambda connection: connection.execute("ALTER TABLE away RENAME TO accounts"))
        await db.run(lambda connection: post(connection, [attempt(1, 6 * DOLLAR, loop.clock.wall())]))
        await loop.clock.sleep(60.0)
        assert [noted.kind for _, noted in await steward.book.newest(None, 5)] == ["budget.threshold"]
        await steward.aclose()
        db.close()

    run(main, leak_free=True)


def test_the_fullest_accounts_are_found(tmp_path: Path) -> None:
    (rule,) = config(tmp_path).rules
    db = Database(":memory:", inline=True)
    ended = [attempt(number, number * 10**7, NOW + 1, f"t{number}") for number in range(1, 101)]
    ended += [attempt(1000, 9 * DOLLAR, NOW - 1, "t1", NOW - DAY)]
    db.run_here(lambda connection: post(connection, ended))
    found = db.run_here(lambda connection: fullest(connection, [(rule, NOW)]))
    assert [one.value for one in found[:2]] == ["t100", "t99"]
    assert [one.spent for one in found][-1] == 2 * 10**8  # a fiftieth of 10 dollars
    assert all(one.window == NOW for one in found)
    db.close()


def test_what_was_spent_by_the_hour() -> None:
    db = Database(":memory:", inline=True)
    hour = NOW // 3600
    ended = [attempt(number, 10 + number, NOW + 900 * number, f"t{number % 3}") for number in range(9)]
    ended += [attempt(100 + number, 1, NOW, f"u{number}") for number in range(MOST_TENANTS)]
    db.run_here(lambda connection: post(connection, ended))
    found = db.run_here(lambda connection: hourly(connection, hour, hour + 3))
    assert found[ALL] == {hour: 10 + 11 + 12 + 13 + MOST_TENANTS, hour + 1: 14 + 15 + 16 + 17, hour + 2: 18}
    assert found["t0"] == {hour: 10 + 13, hour + 1: 16}
    assert len(found) == 4 + MOST_TENANTS
    assert len(largest(found)) == 1 + MOST_TENANTS
    assert {ALL, "t0", "t1", "t2"} < largest(found).keys()
    later = db.run_here(lambda connection: hourly(connection, hour + 2, hour + 3))
    assert later == {ALL: {hour + 2: 18}, "t2": {hour + 2: 18}}
    db.close()


def test_unusual_spend_is_told_once_an_episode_by_tenant_and_in_all() -> None:
    clock = FakeClock()
    alerts: list[Alert] = []
    oddities = Oddities(clock, alerts.extend)
    random = Random(1)
    first = int(clock.wall() // 3600)
    spends = {
        name: {first - back: int(random.uniform(8, 12) * DOLLAR) for back in range(1, HISTORY)}
        for name in (ALL, "acme", "globex")
    }
    for minute in range(10 * 60):
        hour = oddities.hour
        if oddities.known != hour:
            oddities.adopt(hour, learn(spends, hour))
        factor = 10 if minute >= 30 else 1
        spends["acme"].setdefault(hour, 0)
        spends["acme"][hour] += int(factor * 10 / 60 * DOLLAR)
        spends["globex"][hour] = int(10 * (minute % 60) / 60 * DOLLAR)
        oddities.look({name: of.get(hour, 0) for name, of in spends.items()})
        clock.advance(60.0)
    assert [(alert.subject, alert.tenant) for alert in alerts] == [("acme", "acme")]
    assert "unusual spend by tenant acme" in alerts[0].text
    assert alerts[0].data["hours"] in (1, 3)
    # Calm for longer than an episode, then again.
    for _ in range(EPISODE + 2):
        clock.advance(3600.0)
        oddities.adopt(oddities.hour, learn(spends, oddities.hour))
        oddities.look({})
    assert len(alerts) == 1
    spends["acme"] |= {oddities.hour - back: 10 * DOLLAR for back in range(1, EPISODE + 3)}
    oddities.adopt(oddities.hour, learn(spends, oddities.hour))
    oddities.look({"acme": 100 * DOLLAR})
    oddities.look({"acme": 110 * DOLLAR})
    assert len(alerts) == 2


def test_what_is_unusual_is_read_from_the_ledger(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        db = Database(tmp_path / "p.db", inline=True)
        now = loop.clock.wall()
        past = [attempt(hours, 10 * DOLLAR, now - hours * 3600 - 1) for hours in range(6 * 168)]
        await db.run(lambda connection: post(connection, past))
        steward = Steward(db, loop.clock, SeededRandom(1), Metrics(), lambda topic, value: None)
        steward.adopt(config(tmp_path, budgets=[], alerts={}))
        await loop.clock.sleep(300.0)
        assert await steward.book.newest(None, 5) == []
        await db.run(lambda connection: post(connection, [attempt(9999, 200 * DOLLAR, loop.clock.wall())]))
        await loop.clock.sleep(120.0)
        told = await steward.book.newest(None, 5)
        assert sorted(msgspec.json.decode(noted.body)["data"]["subject"] for _, noted in told) == [ALL, "acme"]
        await steward.aclose()
        db.close()

    run(main, leak_free=True)


def soft(folder: Path, **action: Any) -> Config:
    """Callers of acme, and a soft budget of a dollar a day that acts."""
    source: dict[str, Any] = {
        "auth": "required",
        "keys": [{"name": "app", "key": "env:APP", "tenant": "acme", "models": ["*"]}],
        "providers": {"sim": {}},
        "models": {"smart": {"targets": ["sim/large"]}, "cheap": {"targets": ["sim/small"]}},
        "state": f"sqlite:///{folder}/p.db",
        "budgets": [{"scope": "tenant", "limit": "1 USD/day", "hard": False, **action}],
    }
    return load_config(source, {"APP": KEY})


def after_spending(folder: Path, taken: Config, dollars: float) -> tuple[int, dict[str, str], dict[str, Any]]:
    """What a caller gets once so much is spent of the budget, and the steward has seen it."""
    got: list[Any] = []

    async def main(loop: SimLoop) -> None:
        books = open_books(taken, loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, taken, books=books) as fleet:
            journal = fleet.hired[0].gateways[-1].shared.journal
            assert journal is not None
            opened, closed = attempt(1, int(dollars * DOLLAR), loop.clock.wall())
            journal.open(opened)
            journal.close(closed)
            await loop.clock.sleep(20.0)
            caller = await Caller.connect(fleet.addresses[1])
            body = {"model": "smart", "messages": [{"role": "user", "content": "Hello"}]}
            answers = [await caller.post(body, authorization=f"Bearer {KEY}") for _ in range(3)]
            got.extend((answers[-1].status, answers[-1].headers, answers[-1].json()))
            caller.close()

    run(main)
    status, headers, told = got
    return status, headers, told


def test_a_throttled_caller_is_slowed_down_by_every_worker(tmp_path: Path) -> None:
    taken = soft(tmp_path, on_soft="throttle")
    status, headers, told = after_spending(tmp_path, taken, 1.5)
    assert (status, told["error"]["code"]) == (429, "rate_limit_exceeded")
    assert int(headers["retry-after"]) > 0
    assert "runs short" in told["error"]["message"]


def test_a_caller_below_the_budget_is_not(tmp_path: Path) -> None:
    assert after_spending(tmp_path, soft(tmp_path, on_soft="throttle"), 0.2)[0] == 200


def test_a_caller_is_answered_by_the_cheaper_model(tmp_path: Path) -> None:
    taken = soft(tmp_path, on_soft={"downgrade": "cheap"})
    status, headers, _ = after_spending(tmp_path, taken, 1.5)
    assert (status, headers["x-penstock-target"]) == (200, "sim/small")
