"""What callers may ask about themselves: their key, and their own requests, wherever these were answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.load import load_config
from penstock.gateway.books import open_books
from penstock.lines import Line
from penstock.server.own import _SHOWN, Asked, Own, own_view, past_view
from penstock.stores.past import Past
from penstock.testing import SimLoop, run
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from tests.stage import Caller

APP, OTHER, ACME = "psk_test_0123456789", "psk_test_9876543210", "psk_test_5555555555"
CONFIG: dict[str, Any] = {
    "providers": {"sim": {}, "down": {"kind": "openai", "base_url": "http://nowhere:9/v1", "api_key": "env:A"}},
    "models": {"fast": {"targets": ["down/x", "sim/small"]}},
    "keys": [
        {"name": "app", "key": "env:APP", "models": ["*"]},
        {"name": "other", "key": "env:OTHER", "models": ["*"]},
        {"name": "acme", "key": "env:ACME", "tenant": "acme", "project": "web", "models": ["*"]},
    ],
}
ENV = {"APP": APP, "OTHER": OTHER, "ACME": ACME, "A": "sk-0123456789abcdef"}
UNKNOWN = "018bcfe5-687b-7000-8000-000000000001"


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def play(scene: Callable[[SimLoop, Fleet, Caller, Caller], Awaitable[None]], **more: Any) -> None:
    async def main(loop: SimLoop) -> None:
        async with Fleet(loop, load_config({**CONFIG, **more}, ENV)) as fleet:
            one, two = [await Caller.connect(address) for address in fleet.addresses]
            await scene(loop, fleet, one, two)
            one.close()
            two.close()

    run(main)


def body(model: str = "sim/small", **more: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": "Hello"}], **more}


def test_a_request_is_told_by_whichever_worker_is_asked() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, one: Caller, two: Caller) -> None:
        answer = await one.post(body("fast"), **bearer(APP), **{"x-penstock-task": "greeting"})
        id = answer.headers["x-request-id"]
        for caller, prefix in ((one, "/v1"), (two, "/v1"), (two, "/openai/v1"), (two, "/anthropic/v1")):
            asked = await caller.get(f"{prefix}/requests/{id.upper()}", **bearer(APP))
            told = asked.json()
            assert (asked.status, told["id"], told["status"], told["model"]) == (200, id, 200, "fast")
            assert told["deployment"] == "sim/small"
            assert told["cost_usd"] == answer.headers["x-penstock-cost-usd"]
            assert told["tokens"]["input"] > 0
            assert told["task"] == "greeting"
            assert [each["deployment"] for each in told["attempts"]][-1] == "sim/small"
            assert {each["outcome"] for each in told["attempts"]} == {"unavailable", "ok"}
            # How the gateway is set up, and what else it could have done, is none of its callers' business.
            assert not told.keys() & {"candidates", "decisions", "address", "key", "tenant", "price_table"}

    play(scene)


def test_whose_it_is_not_there_for_others() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, one: Caller, two: Caller) -> None:
        id = (await one.post(body(), **bearer(ACME))).headers["x-request-id"]
        await loop.clock.sleep(2.0)
        assert (await two.get(f"/v1/requests/{id}", **bearer(ACME))).status == 200
        for key in (APP, OTHER):
            foreign = await two.get(f"/v1/requests/{id}", **bearer(key))
            unknown = await two.get(f"/v1/requests/{UNKNOWN}", **bearer(key))
            assert (
                (foreign.status, foreign.error["code"]) == (unknown.status, unknown.error["code"]) == (404, "not_found")
            )
            assert foreign.error["message"].replace(id, "") == unknown.error["message"].replace(UNKNOWN, "")
        assert (await two.get(f"/v1/requests/{id}", **bearer("psk_test_nobody00"))).status == 401
        assert (await two.get(f"/v1/requests/{id}")).status == 401
        anthropic = await two.get(f"/anthropic/v1/requests/{id}", **bearer(APP))
        assert anthropic.json()["type"] == "error"
        for odd in ("abc", "%2e%2e", f"{id}x", "x" * 300, "%00"):
            assert (await two.get(f"/v1/requests/{odd}", **bearer(APP))).status == 404

    play(scene)


def test_one_that_is_being_answered() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, one: Caller, two: Caller) -> None:
        slow = asyncio.create_task(one.post(body("sim/small:first_token=5s"), **bearer(APP)))
        await loop.clock.sleep(1.0)
        (record,) = fleet.holder(0).gateways[-1].live
        told = (await two.get(f"/v1/requests/{record.id}", **bearer(APP))).json()
        assert (told["open"], told["model"]) == (True, "sim/small:first_token=5s")
        assert (await two.get(f"/v1/requests/{record.id}", **bearer(OTHER))).status == 404
        await slow
        assert "open" not in (await two.get(f"/v1/requests/{record.id}", **bearer(APP))).json()

    play(scene)


def test_the_key_says_whose_it_is() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, one: Caller, two: Caller) -> None:
        told = (await one.get("/v1/key", **bearer(ACME))).json()
        assert (told["name"], told["tenant"], told["project"]) == ("acme", "acme", "web")
        text = json.dumps(told)
        assert ACME not in text
        assert (await one.get("/v1/key", **bearer("psk_test_nobody00"))).status == 401
        assert (await one.post(b"{}", "/v1/key", **bearer(ACME))).status == 405
        assert (await one.ask("OPTIONS", "/v1/key", b"", {})).headers["allow"] == "GET, HEAD, OPTIONS"

    play(scene)


def test_the_key_says_what_is_left_of_its_limits_and_budgets() -> None:
    limits = [
        {"scope": "tenant", "requests": "600/min"},
        {"scope": "key", "concurrency": 5},
        {"scope": "global", "requests": "1000/min"},
    ]
    budgets = [
        {"scope": "tenant", "limit": "50 USD/day"},
        {"scope": "tenant", "match": "globex", "limit": "9 USD/day"},
        {"scope": "key", "limit": "2M tokens/month", "hard": False},
        {"scope": "global", "limit": "500 USD/day"},
    ]

    async def scene(loop: SimLoop, fleet: Fleet, one: Caller, two: Caller) -> None:
        assert (await one.post(body(), **bearer(ACME))).status == 200
        told = (await two.get("/v1/key", **bearer(ACME))).json()
        money, tokens = told["budgets"]
        assert (money["scope"], money["limit"], money["period"]) == ("tenant", "50.000000000", "day")
        assert money["resets_at"] == "2026-01-02T00:00:00Z"
        # What another worker has in hand is not left.
        assert float(money["left"]) + float(money["used"]) == 50.0
        assert (tokens["unit"], tokens["limit"], tokens["hard"]) == ("tokens", 2_000_000, False)
        assert tokens["resets_at"] == "2026-02-01T00:00:00Z"
        assert tokens["left"] < 2_000_000
        rate, seats = told["limits"]
        assert (rate["scope"], rate["requests"], rate["seconds"]) == ("tenant", 600, 60)
        assert 0 < rate["left"] <= 600
        assert seats == {"scope": "key", "concurrency": 5}
        # A key of no tenant hears of what is its own alone: the rest is everybody's.
        other = (await one.get("/v1/key", **bearer(OTHER))).json()
        assert [each["scope"] for each in (*other["budgets"], *other["limits"])] == ["key", "key"]

    play(scene, limits=limits, budgets=budgets)


def test_a_centre_that_is_gone_is_told() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, one: Caller, two: Caller) -> None:
        fleet.supervisor.centre.questions.topics.clear()
        answer = await one.get(f"/v1/requests/{UNKNOWN}", **bearer(APP))
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")

    play(scene)


def test_what_is_told_are_fields_of_the_line() -> None:
    assert set(_SHOWN) <= set(Line.__struct_fields__)
    line = Line("2026-01-01T00:00:00Z", 1.0, UNKNOWN, "chat", 200, "m", "d", False, 1, 1, key="app", address="10.0.0.1")
    told = own_view(msgspec.json.encode(line), Asked(UNKNOWN, "app", None))
    assert told is not None
    assert b"10.0.0.1" not in told
    for asked in (Asked(UNKNOWN, "app", "acme"), Asked(UNKNOWN, None, None), Asked(UNKNOWN[:-1] + "2", "app", None)):
        assert own_view(msgspec.json.encode(line), asked) is None


@pytest.mark.parametrize(
    ("path", "known"),
    [
        (b"/v1/key", True),
        (b"/v1/key/", False),
        (b"/v1/keys", False),
        (b"/v1/requests", False),
        (b"/v1/requests/", False),
        (b"/v1/requests/a", True),
        (b"/v1/requests/a/b", False),
        (b"/openai/v1/requests/a", True),
        (b"/gemini/v1/key", False),
    ],
)
def test_which_paths_they_are(path: bytes, known: bool) -> None:
    assert Own.knows(path) is known


def test_one_of_long_ago_is_told_from_the_ledger(tmp_path: Path) -> None:
    kept = load_config({**CONFIG, "state": f"sqlite:///{tmp_path}/p.db"}, ENV)

    async def main(loop: SimLoop) -> None:
        ids: dict[str, str] = {}
        for serving in (True, False):
            books = open_books(kept, loop.clock, SeededRandom(1), inline=True)
            async with Fleet(loop, kept, books=books) as fleet:
                one = await Caller.connect(fleet.addresses[0])
                if serving:
                    answer = await one.post(body("fast"), **bearer(ACME))
                    ids["acme"] = answer.headers["x-request-id"]
                    ids["cost"] = answer.headers["x-penstock-cost-usd"]
                    await loop.clock.sleep(2.0)
                else:
                    told = (await one.get(f"/v1/requests/{ids['acme']}", **bearer(ACME))).json()
                    assert (told["id"], told["model"], told["deployment"]) == (ids["acme"], "fast", "sim/small")
                    assert told["cost_usd"] == told["charge_usd"] == ids["cost"]
                    assert told["tokens"]["input"] > 0
                    assert {each["outcome"] for each in told["attempts"]} == {"unavailable", "ok"}
                    foreign = await one.get(f"/v1/requests/{ids['acme']}", **bearer(APP))
                    assert (foreign.status, foreign.error["code"]) == (404, "not_found")
                one.close()

    run(main)


def test_what_the_ledger_has_of_one_with_an_unknown_price() -> None:
    known = Past(
        1,
        5 * 10**18 // 3,
        5 * 10**18 // 3 + 10**9,
        "",
        "app",
        "",
        "",
        "m",
        "p/x#a",
        "first",
        200,
        "ok",
        1,
        5,
        6,
        0,
        0,
        0,
        7,
        7,
        0,
    )
    unknown = known._replace(number=2, cost=None, charge=None, flags=8 | 2)
    asked = Asked(UNKNOWN, "app", None)
    told = json.loads(past_view([known, unknown], asked) or b"")
    assert (told["cost_usd"], told["deployment"]) == (None, "p/x")
    assert told["attempts"][0]["cost_usd"] == "0.000000007"
    assert told["attempts"][1]["unpriced"] is told["attempts"][1]["ambiguous"] is True
    assert past_view([known, unknown._replace(tenant="acme")], asked) is None
    assert past_view([], asked) is None
