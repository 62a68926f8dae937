"""What callers may ask about themselves: their key, and their own requests, wherever these were answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from penstock.config.load import load_config
from penstock.lines import Line
from penstock.server.own import _SHOWN, Asked, Own, own_view
from penstock.testing import SimLoop, run
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


def play(scene: Callable[[SimLoop, Fleet, Caller, Caller], Awaitable[None]]) -> None:
    async def main(loop: SimLoop) -> None:
        async with Fleet(loop, load_config(CONFIG, ENV)) as fleet:
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
