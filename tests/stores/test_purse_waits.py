"""Who waits as long as told, alone, is admitted: by purse and treasury, in seconds as a caller is told them."""

from __future__ import annotations

import asyncio
import math
from random import Random
from typing import Any

import pytest

from penstock.reservation import Reservation, Rule, Shortage
from penstock.stores.purse import open_purse
from penstock.stores.treasury import Treasury
from penstock.testing import FakeClock
from tests.stores.bank import want

TIMES = 4_000


def rules(random: Random, kind: Any) -> Rule:
    if kind == "budget":
        period, zone = random.choice(["minute", "hour", "day"]), random.choice(["UTC", "Europe/Berlin"])
        return Rule("r", "key", "budget", "tokens", random.randint(1, 1000), period=period, zone=zone)
    limit, seconds = random.randint(1, 100_000), 60 if kind == "strict" else random.choice([1, 60, 3600])
    burst = random.randint(1, limit) if kind == "burst" else 0
    return Rule("r", "key", kind, "tokens", limit, seconds=seconds, burst=burst)


async def wait_as_told(kind: Any, times: int) -> None:
    random, clock = Random(f"waits {kind}"), FakeClock()
    told = 0
    while told < times:
        rule = rules(random, kind)
        treasury = Treasury(clock)
        treasury.adopt([rule])
        purse = open_purse(treasury, clock)
        whole = rule.burst or rule.limit
        for _ in range(20):
            clock.advance(random.choice([0.0, random.random() * 1e-6, random.random() * 3]))
            asked = [want(rule, random.randint(1, whole))]
            came = await purse.reserve(asked)
            if isinstance(came, Shortage):
                told += 1
                assert 0 < came.wait < math.inf
                assert came.left < asked[0].amount
                clock.advance(came.wait)
                came = await purse.reserve(asked)
                assert isinstance(came, Reservation), f"the {told}th: {rule}, {came}"
            purse.settle(came, [random.choice([asked[0].amount, random.randint(0, asked[0].amount)])])


@pytest.mark.parametrize("kind", ["burst", "leaky", "strict", "budget"])
def test_who_waits_as_long_as_told_is_admitted(kind: str) -> None:
    asyncio.run(wait_as_told(kind, TIMES if kind != "budget" else 1000))


@pytest.mark.parametrize("kind", ["burst", "leaky", "strict"])
def test_and_the_wait_is_no_longer_than_it_must(kind: str) -> None:
    """A microsecond less is too early, but for what is rounded."""

    async def main() -> None:
        clock = FakeClock()
        limit = 7
        rule = Rule("r", "key", kind, "requests", limit, seconds=60)  # type: ignore[arg-type]
        treasury = Treasury(clock)
        treasury.adopt([rule])
        purse = open_purse(treasury, clock)
        for _ in range(limit if kind != "leaky" else 1):
            assert isinstance(await purse.reserve([want(rule, 1)]), Reservation)
        came = await purse.reserve([want(rule, 1)])
        assert isinstance(came, Shortage)
        clock.advance(came.wait - 3e-6)
        assert isinstance(await purse.reserve([want(rule, 1)]), Shortage)

    asyncio.run(main())
