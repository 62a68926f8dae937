"""A limit is one limit, however many workers there are: rates and calls at a time over a fleet, reloads and deaths."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import msgspec

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.testing import SimLoop, run
from penstock.testing.fleet import Fleet
from tests.stage import Answer, Caller

WORKERS = 3
CHAT = {"model": "sim/small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


def config(*limits: dict[str, Any], **more: Any) -> Config:
    return load_config(
        {"auth": "open", "providers": {"sim": {}}, "limits": list(limits), "state": "memory", **more}, {}
    )


class Callers:
    """Connections to each worker."""

    def __init__(self, loop: SimLoop, fleet: Fleet) -> None:
        self.loop = loop
        self.fleet = fleet
        self._open: list[Caller] = []

    async def ask(self, worker: int, body: dict[str, Any] | None = None, **headers: str) -> Answer:
        caller = await Caller.connect(self.fleet.addresses[worker])
        self._open.append(caller)
        return await caller.post(body or CHAT, **headers)

    async def ask_all(self, times: int, body: dict[str, Any] | None = None) -> list[Answer]:
        """So often each worker, all together."""
        return list(await asyncio.gather(*(self.ask(number % WORKERS, body) for number in range(WORKERS * times))))

    def close(self) -> None:
        for caller in self._open:
            caller.close()


def play(scene: Any, config: Config) -> None:
    async def main(loop: SimLoop) -> None:
        async with Fleet(loop, config, WORKERS) as fleet:
            callers = Callers(loop, fleet)
            await scene(loop, fleet, callers)
            callers.close()

    run(main)


def statuses(answers: list[Answer]) -> Counter[int]:
    return Counter(answer.status for answer in answers)


def test_a_rate_is_one_rate_for_all_workers() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, callers: Callers) -> None:
        answers = await callers.ask_all(20)
        assert statuses(answers) == {200: 10, 429: 50}
        await loop.clock.sleep(5)
        assert statuses(await callers.ask_all(5)) == {200: 5, 429: 10}

    play(scene, config({"scope": "global", "requests": "60/min", "burst": 10}))


def test_who_waits_as_it_is_told_is_admitted_by_any_worker() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, callers: Callers) -> None:
        for number in range(30):
            answer = await callers.ask(number % WORKERS)
            if answer.status == 429:
                await loop.clock.sleep(int(answer.headers["retry-after-ms"]) / 1000)
                assert (await callers.ask((number + 1) % WORKERS)).status == 200

    play(scene, config({"scope": "global", "requests": "60/min", "burst": 3}))


def test_calls_at_a_time_are_counted_over_all_workers() -> None:
    slow = {**CHAT, "model": "sim/small:head=2s"}

    async def scene(loop: SimLoop, fleet: Fleet, callers: Callers) -> None:
        most = 0

        async def watch() -> None:
            nonlocal most
            for _ in range(200):
                gateways = [one.worker.gateways[-1] for one in fleet.hired]
                most = max(most, sum(one.upstream_busy for one in gateways))
                await loop.clock.sleep(0.1)

        watching = loop.create_task(watch())
        began = loop.time()
        answers = await callers.ask_all(4, slow)
        assert statuses(answers) == {200: 12}
        assert 6.0 <= loop.time() - began < 7.5, "four at a time, three rounds of two seconds"
        watching.cancel()
        assert most == 4

    play(scene, config({"scope": "global", "concurrency": 4, "queue": "30s"}))


def test_a_reload_forgets_nothing() -> None:
    before = config({"scope": "global", "requests": "60/min", "burst": 6}, {"scope": "user", "concurrency": 5})

    async def scene(loop: SimLoop, fleet: Fleet, callers: Callers) -> None:
        assert statuses(await callers.ask_all(2)) == {200: 6}
        await fleet.supervisor.adopt(msgspec.structs.replace(before, known_as={"sim/x": "sim/y"}))
        assert statuses(await callers.ask_all(2))[200] == 0
        await loop.clock.sleep(2)
        assert statuses(await callers.ask_all(2))[200] == 2

    play(scene, before)


def test_a_dead_workers_calls_are_over() -> None:
    slow = {**CHAT, "model": "sim/small:head=50s"}

    async def scene(loop: SimLoop, fleet: Fleet, callers: Callers) -> None:
        tasks = [loop.create_task(callers.ask(0, slow)) for _ in range(3)]
        await loop.clock.sleep(1)
        assert (await callers.ask(1)).status == 429
        fleet.holder(0).kill()
        await asyncio.wait(tasks)
        await loop.clock.sleep(15)
        assert (await callers.ask(1)).status == 200
        shown = await metrics_of(fleet)
        assert shown == {("calls:concurrency global requests",)}

    async def metrics_of(fleet: Fleet) -> set[tuple[str, ...]]:
        await fleet.supervisor.report()
        return {labels for labels in fleet.supervisor.overview.metrics.leased.cells if labels[0].startswith("calls:")}

    play(scene, config({"scope": "global", "concurrency": 3}))


def test_a_fleet_that_is_short_sheds_by_each_workers_own_strain() -> None:
    async def scene(loop: SimLoop, fleet: Fleet, callers: Callers) -> None:
        strain = fleet.holder(1).worker.gateways[-1].strain
        assert strain is not None
        assert strain.lag == 0.05
        strain.level = 4.0
        assert (await callers.ask(1)).status == 503
        assert (await callers.ask(0)).status == 200

    play(scene, config(admission={"loop_lag": "50ms"}))
