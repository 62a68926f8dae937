"""`concurrency: {most}` over several workers: real gates and permits at one end, the real centre at the other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

from penstock.stores.centre import EXPIRY_SECONDS, Centre, Leased, Message, Recall, memory_pair
from penstock.stores.gate import Gate, GateRules
from penstock.stores.pace import Pace
from penstock.stores.permits import LIFE_BEATS, Permits
from penstock.testing import SimLoop, run

GUARD = "calls:a/b"
BEAT = 1.0


class Branch:
    """A worker: its permits, and a gate that calls go through."""

    def __init__(self, firm: Firm, name: str, most: int) -> None:
        self.loop = firm.loop
        self.channel, there = memory_pair(firm.loop.call_soon)
        self.permits = Permits(self.channel.send)
        self.channel.open(self.hear, lambda: None)
        firm.centre.join(name, there)
        self.pace = Pace("a/b")
        self.gate = self.pace.gate = Gate(self.pace)
        self.gate.set_rules(GateRules(most), self.permits)
        self.beating = firm.loop.create_task(self.beat())

    def hear(self, message: Message) -> None:
        if isinstance(message, Leased):
            self.permits.leased(message)
        elif isinstance(message, Recall):
            self.permits.recall(message)

    async def beat(self) -> None:
        while True:
            await self.loop.clock.sleep(BEAT)
            self.permits.beat()

    async def call(self, seconds: float) -> None:
        """As the layers breaker and concurrency have it."""
        self.pace.in_flight += 1
        try:
            if not self.gate.try_enter():
                place = self.gate.queue(2, float("inf"))
                assert place is not None
                try:
                    assert await place.turn == "go"
                finally:
                    self.gate.leave(place)
            await self.loop.clock.sleep(seconds)
        finally:
            self.pace.ended()

    def start(self, seconds: float) -> asyncio.Task[None]:
        return self.loop.create_task(self.call(seconds))

    def die(self) -> None:
        """As a killed process does: not a word more."""
        self.beating.cancel()
        self.channel.close()


class Firm:
    """A centre and its branches."""

    def __init__(self, loop: SimLoop, count: int, most: int) -> None:
        self.loop = loop
        self.centre = Centre(lambda counts: None, loop.clock)
        self.branches = [Branch(self, str(number), most) for number in range(count)]

    @property
    def running(self) -> int:
        return sum(branch.gate.running for branch in self.branches)

    @property
    def out(self) -> int:
        """Permits that somebody holds."""
        return sum(self.centre.leases.held(GUARD).values())

    async def end(self) -> None:
        for branch in self.branches:
            branch.die()
        await self.loop.settle()
        self.centre.close()


def play(count: int, most: int, main: Callable[[Firm], Awaitable[None]]) -> None:
    async def whole(loop: SimLoop) -> None:
        firm = Firm(loop, count, most)
        await main(firm)
        await firm.end()

    run(whole, leak_free=True)


def test_the_most_is_of_all_workers_together() -> None:
    async def main(firm: Firm) -> None:
        tasks = [branch.start(1.0) for branch in firm.branches for _ in range(10)]
        await firm.loop.settle()
        assert (firm.running, firm.out) == (4, 4)
        start = firm.loop.time()
        await asyncio.gather(*tasks)
        # Nobody stood still while somebody waited.
        assert firm.loop.time() - start < 30 / 4 + 1
        assert firm.running == 0

    play(3, 4, main)


def test_one_worker_may_have_all_while_the_others_need_none() -> None:
    async def main(firm: Firm) -> None:
        one, other, _ = firm.branches
        tasks = [one.start(5.0) for _ in range(4)]
        await firm.loop.settle()
        assert (one.gate.running, firm.out) == (4, 4)
        late = other.start(1.0)
        await asyncio.gather(*tasks, late)

    play(3, 4, main)


def test_where_both_have_calls_that_wait_each_gets_its_share() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        tasks = [one.start(1.0) for _ in range(40)]
        await firm.loop.clock.sleep(0.5)
        tasks += [other.start(1.0) for _ in range(10)]
        await firm.loop.clock.sleep(0.1)
        assert (one.gate.running, other.gate.running) == (4, 0)
        # What the first frees goes to the other, one in a round, though calls of its own wait.
        await firm.loop.clock.sleep(2.0)
        assert (one.gate.running, other.gate.running) == (2, 2)
        await asyncio.gather(*tasks)

    play(2, 4, main)


def test_what_nobody_uses_goes_back() -> None:
    async def main(firm: Firm) -> None:
        await firm.branches[0].start(1.0)
        await firm.loop.clock.sleep(2 * LIFE_BEATS * BEAT + 1)
        assert firm.out == 0

    play(2, 4, main)


def test_what_a_dead_worker_had_is_free_two_missed_heartbeats_later() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        lost = [one.start(100.0) for _ in range(4)]
        await firm.loop.settle()
        one.die()
        start = firm.loop.time()
        waits = other.start(1.0)
        await waits
        assert EXPIRY_SECONDS <= firm.loop.time() - start <= EXPIRY_SECONDS + 2
        for task in lost:
            task.cancel()

    play(2, 4, main)


def test_calls_from_before_there_was_a_most_count() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        one.gate.lift()
        early = [one.start(10.0) for _ in range(3)]
        await firm.loop.settle()
        assert (one.gate.running, firm.out) == (3, 0)
        one.gate.set_rules(GateRules(4), one.permits)
        tasks = [one.start(1.0)]
        await firm.loop.settle()
        assert (one.gate.running, firm.out) == (4, 4)
        tasks.append(other.start(1.0))
        await firm.loop.settle()
        assert (firm.running, other.gate.running) == (4, 0)
        await asyncio.gather(*tasks)
        assert all(not task.done() for task in early)
        await asyncio.gather(*early)

    play(2, 4, main)


def test_a_reload_that_lifts_the_limit_gives_every_permit_back() -> None:
    async def main(firm: Firm) -> None:
        one, _ = firm.branches
        tasks = [one.start(1.0) for _ in range(6)]
        await firm.loop.settle()
        one.gate.set_rules(GateRules(), one.permits)
        await firm.loop.settle()
        assert one.gate.running == 6
        await asyncio.gather(*tasks)
        one.permits.close()
        await firm.loop.settle()
        assert firm.out == 0

    play(2, 4, main)


def test_whatever_they_do_never_too_many_and_all_are_served() -> None:
    def history(seed: int) -> None:
        async def main(firm: Firm) -> None:
            chance = Random(seed)
            tasks: list[asyncio.Task[None]] = []
            for _ in range(150):
                branch = chance.choice(firm.branches)
                draw = chance.random()
                if draw < 0.7:
                    tasks.append(branch.start(chance.choice([0.1, 0.5, 3.0])))
                elif draw < 0.85 and tasks:
                    chance.choice(tasks).cancel()
                await firm.loop.clock.sleep(chance.choice([0.0, 0.01, 0.2]))
                assert firm.running <= firm.out <= 5
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert not [error for error in ended if error and not isinstance(error, asyncio.CancelledError)]
            assert firm.running == 0
            assert all(not branch.gate._queue for branch in firm.branches)

        play(3, 5, main)

    for seed in range(25):
        history(seed)


def test_whoever_waits_no_more_keeps_nothing_from_others() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        running = [one.start(5.0), other.start(60.0)]
        await firm.loop.settle()
        gives_up = one.start(1.0)
        waits = other.start(1.0)
        await firm.loop.settle()
        gives_up.cancel()
        await firm.loop.settle()
        await running[0]
        await firm.loop.settle()
        assert other.gate.running == 2, "at once, and not when what lies unused at the first goes back after a while"
        await asyncio.gather(waits, running[1])

    play(2, 2, main)


def test_what_comes_for_one_that_waits_no_more_goes_on_to_others() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        running = [other.start(5.0), other.start(60.0)]
        await firm.loop.settle()
        gives_up, waits = one.start(1.0), other.start(1.0)
        await firm.loop.settle()
        gives_up.cancel()
        await running[0]
        await firm.loop.settle()
        assert other.gate.running == 2
        await asyncio.gather(waits, running[1])

    play(2, 2, main)
