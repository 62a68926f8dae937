"""Limits of calls at a time and the choice among targets, on the whole path: real requests to a simulated provider."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from penstock.gateway import Gateway
from penstock.testing import Cancel, SimLoop, run, sweep_scenario
from tests.stage import Answer, Caller, Stage, chat

UP = {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"}
SLOW = "up/small:head=1s,tokens=4"
LIMITED: dict[str, Any] = {
    "providers": {"up": UP},
    "models": {"fast": {"targets": [SLOW], "concurrency": {"most": 2, "queue": 3}}},
}


async def ask(**more: Any) -> Answer:
    caller = await Caller.connect()
    try:
        return await caller.post(chat(**more))
    finally:
        caller.close()


def test_so_many_at_a_time_and_the_rest_in_their_turn() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, LIMITED) as stage:
            asking = [loop.create_task(ask(stream=number % 2 == 0)) for number in range(6)]
            await loop.clock.sleep(0.5)
            assert stage.provider.journal.open == 2
            stage.plane.count_connections()
            assert stage.gateway.metrics.gauges()["penstock_calls_waiting"] == 3
            answers = await asyncio.gather(*asking)
            # Two run, three wait, and for one there is no room.
            assert Counter(answer.status for answer in answers) == {200: 5, 503: 1}
            [refused] = [answer for answer in answers if answer.status == 503]
            assert refused.error["code"] == "overloaded"
            assert int(refused.headers["retry-after"]) >= 1
            queued = [line for line in stage.lines if "queued" in str(line.get("decisions"))]
            assert len(queued) == 3
            assert stage.gateway.calls_waiting == 0

    run(main, leak_free=True)


def test_the_callers_priority_says_who_goes_first() -> None:
    async def main(loop: SimLoop) -> None:
        config = {**LIMITED, "models": {"fast": {"targets": [SLOW], "concurrency": 1}}}
        async with Stage(loop, config) as stage:

            async def prompted(priority: str) -> None:
                caller = await Caller.connect()
                assert (await caller.post(chat(), x_penstock_priority=priority)).status == 200
                order.append(priority)
                caller.close()

            order: list[str] = []
            asking = []
            for priority in ("normal", "low", "sheddable", "high", "critical"):
                asking.append(loop.create_task(prompted(priority)))
                await loop.clock.sleep(0.1)
            await asyncio.gather(*asking)
            assert order == ["normal", "critical", "high", "low", "sheddable"]
            assert len(stage.lines) == 5

    run(main, leak_free=True)


def test_the_limit_is_kept_over_a_reload() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, LIMITED) as stage:
            asking = [loop.create_task(ask()) for _ in range(2)]
            await loop.clock.sleep(0.5)
            again = Gateway(stage.config, loop.clock, stage.gateway._random, shared=stage.gateway.shared)
            [candidate] = next(iter(again.plans)).candidates
            assert candidate.pace.gate.running == 2
            assert not candidate.pace.gate.has_room
            await asyncio.gather(*asking)
            assert candidate.pace.gate.running == 0

    run(main, leak_free=True)


def test_a_caller_that_leaves_the_queue_leaves_nothing_behind() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        config = {**LIMITED, "models": {"fast": {"targets": [SLOW], "concurrency": 1}}}
        async with Stage(loop, config) as stage:
            first = loop.create_task(ask())
            await loop.clock.sleep(0.5)
            await cancel(ask(stream=True))
            last = await ask()
            assert (await first).status == last.status == 200
            await loop.clock.sleep(1)
            [candidate] = next(iter(stage.gateway.plans)).candidates
            assert (candidate.pace.in_flight, candidate.pace.gate.waiting("")) == (0, 0)

    assert sweep_scenario(scenario) == 2  # connecting, and waiting for the answer


def test_busy_deployments_share_what_one_cannot_take() -> None:
    """A second deployment takes at once what the first has no room for, and a queue is for what neither can."""

    async def main(loop: SimLoop) -> None:
        config = {
            "providers": {"up": UP, "other": UP},
            "models": {"fast": {"targets": [SLOW, SLOW.replace("up", "other")], "concurrency": 2}},
        }
        async with Stage(loop, config) as stage:
            start = loop.time()
            answers = await asyncio.gather(*(ask() for _ in range(4)))
            assert loop.time() - start < 1.5
            assert Counter(line["deployment"].partition("/")[0] for line in stage.lines) == {"up": 2, "other": 2}
            assert {answer.status for answer in answers} == {200}
            assert {len(line["attempts"]) for line in stage.lines} == {1}
            answers = await asyncio.gather(*(ask() for _ in range(8)))
            assert {answer.status for answer in answers} == {200}

    run(main, leak_free=True)


def test_the_faster_is_found_and_asked() -> None:
    async def main(loop: SimLoop) -> None:
        config = {
            "providers": {"up": UP, "other": UP},
            "models": {"fast": {"targets": ["up/small:head=900ms", "other/small:head=300ms"], "strategy": "latency"}},
        }
        async with Stage(loop, config) as stage:
            for _ in range(40):
                assert (await ask(stream=True)).status == 200
            asked = Counter(line["deployment"].partition("/")[0] for line in stage.lines)
            assert asked["other"] >= 35
            assert asked["up"] >= 1

    run(main, leak_free=True)
