"""Ten times as many requests as there is room for, in virtual time: what is answered, and how soon the others know.

What the refusals cost in CPU is told by the soak test of the same name.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from random import Random
from typing import Any

from penstock.testing import SimLoop, run
from tests.stage import ENV, Caller, Stage

SECONDS = 3.0
# A provider that takes a tenth of a second, ten calls at a time: a hundred a second.
ROOM = 10
CAPACITY = 100
CHAT = {"model": "up/small:head=100ms", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
CONFIG: dict[str, Any] = {
    "auth": "required",
    "keys": [
        {"name": "flood", "key": "env:APP_KEY", "tenant": "flood", "models": ["*"]},
        {"name": "good", "key": "env:OTHER_KEY", "tenant": "good", "models": ["*"]},
    ],
    "tenants": [{"name": "flood"}, {"name": "good"}],
    "admission": {"most": ROOM, "queue": ROOM},
}


class Crowd:
    """Callers that ask at a rate, whatever becomes of what they asked before."""

    def __init__(self, stage: Stage, seed: int = 0) -> None:
        self.stage = stage
        self.chance = Random(seed)
        self.statuses: Counter[tuple[str, int]] = Counter()
        self.refusals: list[float] = []
        self.answers: list[float] = []
        self._free: list[Caller] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def ask(self, name: str, **headers: str) -> None:
        loop = self.stage.loop
        caller = self._free.pop() if self._free else await Caller.connect()
        began = loop.time()
        key = ENV["APP_KEY" if name == "flood" else "OTHER_KEY"]
        answer = await caller.post(CHAT, authorization=f"Bearer {key}", x_penstock_deadline="2s", **headers)
        self.statuses[name, answer.status] += 1
        (self.answers if answer.status == 200 else self.refusals).append(loop.time() - began)
        self._free.append(caller)

    async def come(self, rate: float, name: str, **headers: str) -> None:
        """So many a second, at random."""
        loop = self.stage.loop
        until = loop.time() + SECONDS
        while loop.time() < until:
            self._tasks.append(loop.create_task(self.ask(name, **headers)))
            await loop.clock.sleep(self.chance.expovariate(rate))

    async def end(self) -> None:
        await asyncio.gather(*self._tasks)
        for caller in self._free:
            caller.close()
        await self.stage.loop.clock.sleep(1)


def p99(values: list[float]) -> float:
    return sorted(values)[int(0.99 * (len(values) - 1))]


def test_ten_times_as_many_as_there_is_room_for() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, CONFIG) as stage:
            crowd = Crowd(stage)
            await crowd.come(10 * CAPACITY, "flood")
            await crowd.end()
        answered, refused = crowd.statuses["flood", 200], crowd.statuses["flood", 503]
        assert answered + refused == crowd.statuses.total()
        assert answered >= 0.9 * CAPACITY * SECONDS
        assert p99(crowd.refusals) < 0.02
        assert max(crowd.answers) < 0.5

    run(main, leak_free=True)


def test_who_floods_takes_neither_the_turns_of_others_nor_those_of_the_urgent() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, CONFIG) as stage:
            crowd = Crowd(stage)
            await asyncio.gather(
                crowd.come(10 * CAPACITY, "flood"),
                crowd.come(0.25 * CAPACITY, "good"),
                crowd.come(0.1 * CAPACITY, "flood", x_penstock_priority="sheddable"),
            )
            await crowd.end()
        good = crowd.statuses["good", 200], crowd.statuses["good", 503]
        assert good[0] >= 0.98 * sum(good), "half of what it has a right to, and so all of it"
        assert crowd.statuses["flood", 200] >= 0.6 * CAPACITY * SECONDS
        assert stage.gateway.metrics.shed.series["sheddable",] > 0.9 * 0.1 * CAPACITY * SECONDS

    run(main, leak_free=True)


def test_two_tenants_that_saturate_get_as_much_as_each_other_and_one_of_weight_three_more() -> None:
    def shares(weight: int) -> float:
        async def main(loop: SimLoop) -> float:
            config = {**CONFIG, "tenants": [{"name": "flood"}, {"name": "good", "weight": weight}]}
            async with Stage(loop, config) as stage:
                crowd = Crowd(stage)
                await asyncio.gather(crowd.come(6 * CAPACITY, "flood"), crowd.come(4 * CAPACITY, "good"))
                await crowd.end()
            return crowd.statuses["good", 200] / crowd.statuses["flood", 200]

        return run(main, leak_free=True)

    assert 0.8 <= shares(1) <= 1.2
    assert 2.2 <= shares(3) <= 3.8


def test_where_nobody_may_wait_who_has_no_place_is_refused_before_its_body_is_read() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, CONFIG | {"admission": {"most": 1, "queue": 0}}) as stage:
            first, second = await Caller.connect(), await Caller.connect()
            key = {"authorization": f"Bearer {ENV['APP_KEY']}"}
            running = loop.create_task(first.post(CHAT, **key))
            await loop.clock.sleep(0.01)
            unread = {"model": "up/small", "messages": "not a list"}
            for number in range(1, 4):
                refused = await second.post(unread, **key, x_penstock_priority="low")
                assert (refused.status, refused.headers["retry-after"]) == (503, "1")
                assert b"answers 1 calls already" in refused.body
                assert stage.gateway.metrics.shed.cells[("low",)][0] == number
                assert stage.lines[-1]["error"] == "overloaded"
                told = refused.headers["x-request-id"]
                assert (told, told) == (stage.lines[-1]["id"], refused.error["request_id"])
            assert len({line["id"] for line in stage.lines}) == 3, "each has its own"
            asked = await second.post(unread, "/v1/messages", **key)
            assert asked.status == 503
            assert asked.json()["type"] == "error"
            assert asked.headers["request-id"] == asked.headers["x-request-id"] == stage.lines[-1]["id"]
            assert asked.json()["request_id"] == stage.lines[-1]["id"]
            connections = stage.plane.listener.connections
            assert [each.task is None for each in connections] == [False, True], "it costs no task"
            # The doors come first all the same.
            assert (await second.post(CHAT, **key, host="evil.example")).status == 403
            assert (await running).status == 200
            assert (await second.post(unread, **key)).status == 400
            assert (await second.post(CHAT, **key)).status == 200
            for caller in (first, second):
                caller.close()
            await loop.clock.sleep(1)

    run(main, leak_free=True)
