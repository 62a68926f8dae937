"""Outages of minutes, in virtual time: how often a deployment that is down is asked, and what callers feel of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import pytest

from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.providers.simulated import SimulatedProvider
from penstock.records import Record
from penstock.server.data_plane import DataPlane
from penstock.testing import SeededRandom, SimLoop, run
from tests.stage import Answer, Caller, chat

MINUTES = 10
SECONDS = MINUTES * 60
SOUND = "tokens=3,head=200ms"


class Run(NamedTuple):
    """What came of it.

    Attributes:
        asked: when the first provider was asked, from the beginning on.
        statuses, waits: of the answers, and how long each took, in the order in which they were asked for.
        began: when each was asked for.
    """

    asked: list[float]
    statuses: list[int]
    waits: list[float]
    began: list[float]


def play(rate: float, seconds: float, first: str, model: Mapping[str, Any], after: float = 0.0, seed: int = 1) -> Run:
    """Requests at that rate for one model, whose first provider follows a script, and is well `after` that."""
    config = {
        "auth": "open",
        "providers": {
            name: {"kind": "openai", "base_url": f"http://{name}:8000/v1", "api_key": "none"} for name in ("a", "b")
        },
        "models": {"fast": model},
    }

    async def main(loop: SimLoop) -> Run:
        providers = {
            "a": SimulatedProvider(loop.clock, script=first, keep=1_000_000),
            "b": SimulatedProvider(loop.clock, script=SOUND, keep=1_000_000),
        }
        for name, provider in providers.items():
            await loop.create_server(provider.connection, name, 8000)
        records: list[Record] = []
        gateway = Gateway(load_config(config, {}), loop.clock, SeededRandom(seed), records.append)
        plane = DataPlane(gateway, loop.clock)
        await plane.open()
        start, total = loop.time(), int(rate * (seconds + after))
        recovery = loop.call_later(seconds, setattr, providers["a"], "script", SOUND)

        async def ask(number: int) -> tuple[Answer, float]:
            await loop.clock.sleep(number / rate)
            began = loop.time()
            caller = await Caller.connect()
            answer = await caller.post(chat(f"Number {number}"))
            caller.close()
            return answer, loop.time() - began

        answers = await asyncio.gather(*(ask(number) for number in range(total)))
        recovery.cancel()
        await plane.drain(0)
        await gateway.aclose()
        for provider in providers.values():
            provider.close()
        return Run(
            [seen.time - start for seen in providers["a"].journal.log],
            [answer.status for answer, _ in answers],
            [wait for _, wait in answers],
            [number / rate for number in range(total)],
        )

    return run(main, seed=seed, leak_free=True)


def percentile(values: list[float], part: float) -> float:
    return sorted(values)[min(len(values) - 1, int(len(values) * part))]


ALONE: dict[str, Any] = {"targets": ["a/small"]}
PAIR: dict[str, Any] = {"targets": ["a/small", "b/small"]}


@pytest.mark.parametrize(
    ("model", "rate"),
    [(ALONE, 3.0), ({**ALONE, "breaker": "off"}, 3.0), (PAIR, 3.0), ({**PAIR, "breaker": "off"}, 3.0), (ALONE, 0.5)],
    ids=["alone", "alone, no breaker", "pair", "pair, no breaker", "alone, seldom"],
)
def test_ten_minutes_of_503(model: dict[str, Any], rate: float) -> None:
    """Semantics: attempts on a deployment in an outage are at most 1.1 times the requests sent to it and 1 a second."""
    found = play(rate, SECONDS, "status=503", model)
    requests = len(found.statuses)
    assert requests == rate * SECONDS
    assert len(found.asked) <= 1.1 * requests + SECONDS
    if "breaker" not in model:
        # An open breaker lets nothing through but its trials.
        assert len(found.asked) <= 5 * 3 + SECONDS / 5
    if model["targets"] == PAIR["targets"]:
        assert set(found.statuses) == {200}
        assert percentile(found.waits, 0.99) < 1.0
    else:
        assert set(found.statuses) <= {502, 503}


def test_no_minute_of_it_is_worse_than_the_whole() -> None:
    found = play(3.0, SECONDS, "status=503", {**ALONE, "breaker": "off"})
    for minute in range(MINUTES):
        asked = sum(60 * minute <= time < 60 * (minute + 1) for time in found.asked)
        assert asked <= 1.1 * 180 + 60 + 40, "the bucket of a first minute is full"


@pytest.mark.parametrize("model", [ALONE, PAIR], ids=["alone", "pair"])
def test_it_is_back_soon_after(model: dict[str, Any]) -> None:
    """Semantics, invariant 12: when faults stop, success returns within 22 s and one request."""
    found = play(4.0, 120.0, "status=503", model, after=60.0)
    used = [time for time in found.asked if time >= 120.0]
    assert used[0] <= 120.0 + 22.0 + 0.25
    well = [status for status, began in zip(found.statuses, found.began, strict=True) if began >= 120.0 + 22.25]
    assert set(well) == {200}


def test_a_brownout_is_hardly_felt() -> None:
    """Half of what A is asked ends with 529, and B is well: 99.9 % succeed, and p99 is less than a second later."""
    sound = play(10.0, 200.0, SOUND, PAIR)
    brown = play(10.0, 200.0, f"status=529,p=0.5,{SOUND}", PAIR)
    assert len(brown.statuses) == 2000
    assert sum(status == 200 for status in brown.statuses) >= 0.999 * len(brown.statuses)
    assert percentile(brown.waits, 0.99) - percentile(sound.waits, 0.99) < 1.0
