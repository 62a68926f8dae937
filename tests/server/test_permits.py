"""One limit over several workers: real places and permits at one end, the real centre at the other, in virtual time."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from random import Random

import pytest

from penstock.clock import SystemClock
from penstock.errors import Overloaded
from penstock.server.channel import connect_channel
from penstock.stores.centre import EXPIRY_SECONDS, Centre, FromCentre, Leased, Message, Recall, ToCentre, memory_pair
from penstock.stores.permits import LIFE_BEATS, Permits
from penstock.testing import Cancel, ScriptedUpstream, SimLoop, run, sweep_scenario
from penstock.transport.http import Origin, Pool
from penstock.transport.places import Places

BEAT = 1.0
REQUEST = b"POST / HTTP/1.1\r\nhost: provider\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


class Branch:
    """A worker's permits, connected to a centre in memory, and places that are taken by them."""

    def __init__(self, loop: SimLoop, centre: Centre, name: str, total: int) -> None:
        self.loop = loop
        self.channel, there = memory_pair(loop.call_soon)
        self.permits = Permits(self.channel.send)
        self.channel.open(self.hear, lambda: None)
        self.member = centre.join(name, there)
        # As after a reload: two pools at once, each with an origin of its own for the same provider.
        self.desks = [self.desk(total), self.desk(total)]
        self.used = 0
        self.beating = loop.create_task(self.beat())

    def desk(self, total: int) -> tuple[Places, Origin]:
        places = Places(lambda connection: None, lambda guard, count: None, self.permits)
        return places, Origin("provider", 80, limit=total)

    def hear(self, message: Message) -> None:
        if isinstance(message, Leased):
            self.permits.leased(message)
        elif isinstance(message, Recall):
            self.permits.recall(message)

    async def beat(self) -> None:
        while True:
            await self.loop.clock.sleep(BEAT)
            self.permits.beat()

    async def take(self, desk: int = 0) -> None:
        places, origin = self.desks[desk]
        assert await places.take(origin) is None
        self.used += 1

    def leave(self, desk: int = 0) -> None:
        self.used -= 1
        places, origin = self.desks[desk]
        places.leave(origin)

    async def use(self, seconds: float) -> None:
        await self.take()
        try:
            await self.loop.clock.sleep(seconds)
        finally:
            self.leave()

    def die(self) -> None:
        """As a killed process does: not a word more."""
        self.beating.cancel()
        self.channel.close()

    def end(self) -> None:
        """As one does that has drained."""
        for places, _ in self.desks:
            places.close()
        self.permits.close()
        self.die()


class Firm:
    """A centre and its branches."""

    def __init__(self, loop: SimLoop, count: int, total: int) -> None:
        self.loop = loop
        self.total = total
        self.centre = Centre(lambda counts: None, loop.clock)
        self.branches = [Branch(loop, self.centre, str(number), total) for number in range(count)]

    @property
    def guard(self) -> str:
        return self.branches[0].desks[0][1].guard

    @property
    def out(self) -> int:
        """Permits that somebody holds."""
        return sum(self.centre.leases.held(self.guard).values())

    async def end(self) -> None:
        for branch in self.branches:
            branch.end()
        await self.loop.settle()
        self.centre.close()


def play(count: int, total: int, main: Callable[[Firm], Awaitable[None]]) -> None:
    async def whole(loop: SimLoop) -> None:
        firm = Firm(loop, count, total)
        await main(firm)
        await firm.end()
        assert not firm.centre.members

    run(whole, leak_free=True)


def test_one_worker_may_have_all_while_the_other_needs_none() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        for _ in range(4):
            await one.take()
        third = firm.loop.create_task(other.take())
        await firm.loop.settle()
        assert not third.done()
        assert firm.out == 4
        one.leave()
        await third
        assert (one.used, other.used, firm.out) == (3, 1, 4)
        for _ in range(3):
            one.leave()
        other.leave()

    play(2, 4, main)


def test_where_both_have_callers_that_wait_each_gets_its_share() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        for _ in range(6):
            await one.take()
        mine = [firm.loop.create_task(one.use(1.0)) for _ in range(6)]
        await firm.loop.settle()
        yours = [firm.loop.create_task(other.use(1.0)) for _ in range(6)]
        await firm.loop.settle()
        for _ in range(6):
            one.leave()
            await firm.loop.settle()
        assert (one.used, other.used) == (3, 3)
        assert not one.permits.owes(firm.guard)
        await asyncio.gather(*mine, *yours)

    play(2, 6, main)


def test_what_is_not_used_goes_back_after_a_while() -> None:
    async def main(firm: Firm) -> None:
        one = firm.branches[0]
        await one.take()
        assert firm.out == 1 + 3999 // 20, "some in reserve, so that the next ones cost no word"
        for _ in range(50):
            assert one.permits.try_acquire(firm.guard)
        for _ in range(50):
            one.permits.release(firm.guard)
        await firm.loop.clock.sleep(BEAT * (LIFE_BEATS + 1))
        assert firm.out == 51, "what was used at some time since is kept for another while"
        await firm.loop.clock.sleep(BEAT * (LIFE_BEATS + 1))
        assert firm.out == 1
        one.leave()
        await firm.loop.clock.sleep(2 * BEAT * (LIFE_BEATS + 1))
        assert repr(firm.centre.leases) == "<Leases nothing>"
        assert repr(one.permits) == "<Permits none>"

    play(1, 4000, main)


def test_what_is_not_used_goes_to_whoever_needs_it_at_once() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        await one.take()
        began = firm.loop.time()
        for _ in range(99):
            await other.take()
        assert firm.loop.time() - began < 1.0
        assert firm.out == 100
        for _ in range(99):
            other.leave()
        one.leave()

    play(2, 100, main)


def test_a_dead_workers_permits_expire_after_two_heartbeats() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        for _ in range(3):
            await one.take()
        one.die()
        waits = firm.loop.create_task(other.take())
        began = firm.loop.time()
        await waits
        assert firm.loop.time() - began == pytest.approx(EXPIRY_SECONDS)
        other.leave()

    play(2, 3, main)


def test_a_worker_that_ends_well_gives_all_back_at_once() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        await one.use(1.0)
        one.end()
        began = firm.loop.time()
        for _ in range(3):
            await other.take()
        assert firm.loop.time() - began < 1.0
        for _ in range(3):
            other.leave()

    play(2, 3, main)


def test_a_call_that_gives_up_leaves_no_permit_behind() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        await one.take()
        waits = [firm.loop.create_task(branch.take()) for branch in (one, other)]
        await firm.loop.settle()
        for task in waits:
            task.cancel()
        await firm.loop.settle()
        one.leave()
        await firm.loop.clock.sleep(3 * BEAT * LIFE_BEATS)
        assert firm.out == 0

    play(2, 1, main)


def test_a_call_that_gives_up_as_its_permit_comes() -> None:
    async def main(firm: Firm) -> None:
        one = firm.branches[0]
        for turns in range(20):  # the word goes to the centre and back; give up at every step of its way
            task = firm.loop.create_task(one.take())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait((task,))
            if not task.cancelled():
                one.leave()
        await firm.loop.clock.sleep(3 * BEAT * LIFE_BEATS)
        assert firm.out == 0

    play(2, 2, main)


def test_whoever_waits_at_another_desk_is_told_of_what_is_freed() -> None:
    async def main(firm: Firm) -> None:
        branch = firm.branches[0]
        await branch.take(0)
        await branch.take(0)
        waits = [firm.loop.create_task(branch.take(desk)) for desk in (0, 1, 1)]
        await firm.loop.settle()
        for done in (1, 2, 3):
            branch.leave(0)
            await firm.loop.settle()
            assert [task.done() for task in waits].count(True) == done
        branch.leave(1)
        branch.leave(1)

    play(1, 2, main)


def test_a_line_that_is_full_refuses() -> None:
    async def main(firm: Firm) -> None:
        one, other = firm.branches
        await one.take()
        waits = firm.loop.create_task(other.take())
        await firm.loop.settle()
        with pytest.raises(Overloaded):
            await other.take()
        one.leave()
        await waits
        other.leave()

    play(2, 1, main)


@pytest.mark.parametrize("seed", range(60))
def test_never_more_than_the_limit_whoever_comes_goes_or_dies(seed: int) -> None:
    random = Random(seed)
    total = random.choice([1, 2, 5, 40, 300])
    count = random.randint(1, 4)

    async def main(firm: Firm) -> None:
        dead: list[tuple[float, Branch]] = []
        served = 0

        def check() -> None:
            now = firm.loop.time()
            living = sum(branch.used for branch in firm.branches)
            haunting = sum(branch.used for died, branch in dead if now - died < EXPIRY_SECONDS - 0.001)
            assert living + haunting <= total

        async def caller(branch: Branch) -> None:
            nonlocal served
            desk = random.randrange(2)
            await firm.loop.clock.sleep(random.random() * 60)
            try:
                await branch.take(desk)
            except Overloaded:
                return
            served += 1
            try:
                check()
                await firm.loop.clock.sleep(random.random() * 5)
            finally:
                if branch in firm.branches:
                    branch.leave(desk)

        tasks = [firm.loop.create_task(caller(random.choice(firm.branches))) for _ in range(150)]
        for _ in range(random.randint(0, 2)):
            await firm.loop.clock.sleep(random.random() * 30)
            place = random.randrange(count)
            victim = firm.branches[place]
            victim.die()
            dead.append((firm.loop.time(), victim))
            firm.branches[place] = Branch(firm.loop, firm.centre, str(place), total)
        for _ in range(20):
            await firm.loop.clock.sleep(random.random())
            random.choice(tasks).cancel()
        await firm.loop.clock.sleep(400)
        queues = [queue for _, each in dead for places, _ in each.desks for queue in places.queues.values()]
        waiting = sum(not turn.done() for queue in queues for turn in queue)
        lost = [task for task in tasks if not task.done()]
        assert len(lost) == waiting, "only who waited at a dead worker's still waits"
        for task in lost:
            task.cancel()
        assert served
        assert all(branch.used == 0 for branch in firm.branches)
        await firm.loop.clock.sleep(3 * BEAT * LIFE_BEATS)
        assert firm.out == 0

    play(count, total, main)


def test_two_pools_open_no_more_connections_than_one_may() -> None:
    async def whole(loop: SimLoop) -> None:
        firm = Firm(loop, 2, 2)
        async with ScriptedUpstream([(5.0, OK)], clock=loop.clock) as server:
            pools = [Pool(loop.clock, branch.permits) for branch in firm.branches]
            # As two workers have it: each with an origin of its own.
            origins = [Origin("127.0.0.1", server.port, limit=2) for _ in pools]
            most = 0

            async def call(number: int) -> None:
                nonlocal most
                pool, origin = pools[number], origins[number]
                connection = pool.take(origin) or await pool.connect(origin, 60.0)
                try:
                    most = max(most, sum(pool.open for pool in pools))
                    await connection.exchange(REQUEST, stream=False, timeout=30.0)
                    assert connection.parser.take() == b"ok"
                finally:
                    connection.release()

            await asyncio.gather(*(call(number % 2) for number in range(4)))
            assert most == 2
            # The idle one is closed for the other worker's sake, within a second.
            for number in (0, 1):
                began = loop.time()
                await asyncio.gather(call(number), call(number))
                assert pools[number].open == 2
                assert loop.time() - began < 6.5
            assert most == 2
            for pool in pools:
                await pool.aclose()
        await firm.end()
        assert repr(firm.centre.leases) == "<Leases nothing>"

    run(whole, leak_free=True)


@pytest.mark.parametrize("full", [False, True])
def test_cancelled_at_every_await_of_a_leased_connection(full: bool) -> None:
    """With permits to be had, and where another worker has to give one back first."""

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        firm = Firm(loop, 2, 1)
        one, other = firm.branches
        async with ScriptedUpstream([(1.0, OK)], clock=loop.clock) as server:
            pools = [Pool(loop.clock, branch.permits) for branch in firm.branches]
            origins = [Origin("127.0.0.1", server.port, limit=1) for _ in pools]

            async def call(number: int) -> None:
                connection = pools[number].take(origins[number]) or await pools[number].connect(origins[number], 60.0)
                try:
                    await connection.exchange(REQUEST, stream=False, timeout=30.0)
                finally:
                    connection.release()

            busy = loop.create_task(call(0)) if full else None
            await loop.settle()
            await cancel(call(1))
            if busy is not None:
                await busy
            # Whatever became of it, the next ones are served.
            await call(0)
            await call(1)
            assert sum(pool.open for pool in pools) <= 1
            for pool in pools:
                await pool.aclose()
        await loop.clock.sleep(3 * BEAT * LIFE_BEATS)
        assert repr(one.permits) == repr(other.permits) == "<Permits none>"
        assert repr(firm.centre.leases) == "<Leases nothing>"
        await firm.end()

    assert sweep_scenario(scenario) >= 3


def test_over_a_real_socket() -> None:
    async def whole() -> None:
        clock = SystemClock()
        centre = Centre(lambda counts: None, clock)
        here, there = socket.socketpair()
        centre.join("0", await connect_channel(here, ToCentre))
        channel = await connect_channel(there, FromCentre)
        permits = Permits(channel.send)

        def hear(message: Message) -> None:
            if isinstance(message, Leased):
                permits.leased(message)

        channel.open(hear, lambda: None)
        places = Places(lambda connection: None, lambda guard, count: None, permits)
        origin = Origin("provider", 80, limit=3)
        for _ in range(3):
            assert await places.take(origin) is None
        assert sum(centre.leases.held(origin.guard).values()) == 3
        for _ in range(3):
            places.leave(origin)
        permits.close()
        await centre.until(lambda: not centre.leases.held(origin.guard))
        channel.close()
        await centre.until(lambda: not centre.members)

    asyncio.run(whole())
