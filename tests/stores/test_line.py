"""Calls that wait at an account: who asks next, and that nobody is passed, forgotten or let wait for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from random import Random
from typing import Any

import pytest

from penstock.clock import Clock
from penstock.reservation import Accounts, Reservation, Rule, Shortage, Want
from penstock.stores.line import Asking, Lines, _Line
from penstock.testing import Cancel, SimLoop, run, sweep_scenario

RULE = Rule("r", "tenant", "burst", "requests", 1, seconds=1, burst=1, queue=60.0)
OTHER = Rule("o", "user", "burst", "requests", 1, seconds=1, burst=1, queue=60.0)


class Bucket:
    """So much a second of each account, nothing saved beyond one request's worth; asked over a distance of 10 ms."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.free_at: dict[str, float] = {}
        self.reserved: list[float] = []
        self.asked = 0

    async def reserve(self, wants: Sequence[Want]) -> Reservation | Shortage:
        self.asked += 1
        await self._clock.sleep(0.01)
        now = self._clock.monotonic()
        for want in wants:
            wait = self.free_at.get(want.account, 0.0) - now
            if wait > 1e-9:
                return Shortage(want.rule, want.value, 0, wait)
        for want in wants:
            self.free_at[want.account] = now + want.amount
        self.reserved.append(now)
        return Reservation(Accounts([want[:2] for want in wants]), [want.amount for want in wants])


class Scene:
    """Lines at a bucket, and calls that go on once they are admitted."""

    def __init__(self, loop: SimLoop, most: int = 1000) -> None:
        self.loop = loop
        self.purse = Bucket(loop.clock)
        self.lines = Lines(self.purse, loop.clock, most)
        self.went: list[str] = []
        self.gave_up: list[str] = []
        self.places: dict[str, Callable[[], int] | None] = {}

    async def ask(
        self, name: str, rank: int = 2, *, tenant: str = "", patience: float = 60.0, amount: int = 1,
        rules: Sequence[Rule] = (RULE,),
    ) -> Reservation | Shortage:  # fmt: skip
        wants = [Want(rule, "a", amount) for rule in rules]
        found: Reservation | Shortage = self.lines.before(wants, rank) or await self.purse.reserve(wants)
        if isinstance(found, Shortage):
            now = self.loop.time()
            asking = Asking(rank, tenant, 1.0, now, now + patience)

            def tell(place: Callable[[], int] | None) -> None:
                self.places[name] = place

            found = await self.lines.reserve(wants, found, asking, tell)
        (self.went if isinstance(found, Reservation) else self.gave_up).append(name)
        return found

    def start(self, name: str, rank: int = 2, **more: object) -> asyncio.Task[Reservation | Shortage]:
        return self.loop.create_task(self.ask(name, rank, **more))  # type: ignore[arg-type]

    async def start_in_turn(self, names: str, **more: Any) -> list[asyncio.Task[Reservation | Shortage]]:
        tasks = []
        for name in names:
            tasks.append(self.start(name, **more))
            await self.loop.clock.sleep(0.02)
        return tasks

    def calm(self) -> bool:
        return not self.lines and len(self.lines) == 0 and not any(self.places.values())


def test_they_go_one_after_the_other_as_soon_as_there_is_enough() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        tasks = await scene.start_in_turn("abcd")
        await asyncio.gather(*tasks)
        assert scene.went == list("abcd")
        gaps = [later - before for before, later in zip(scene.purse.reserved, scene.purse.reserved[1:], strict=False)]
        assert gaps == pytest.approx([1.01] * 3, abs=0.02)
        assert scene.calm()

    run(main, leak_free=True)


def test_who_is_more_urgent_goes_first_also_when_it_comes_later() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        tasks = [scene.start("first")]
        await loop.clock.sleep(0.05)
        for name, rank in (("low", 3), ("normal", 2), ("critical", 0), ("high", 1)):
            tasks.append(scene.start(name, rank))
            await loop.clock.sleep(0.05)
        await asyncio.gather(*tasks)
        assert scene.went == ["first", "critical", "high", "normal", "low"]

    run(main, leak_free=True)


def test_whoever_comes_later_passes_nobody_as_urgent() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        await scene.ask("first")
        waits = scene.start("waits")
        await loop.clock.sleep(0.999 - loop.time() % 1 + scene.purse.reserved[0] % 1)
        # Just before the one that waits has its turn, one comes that would be quicker.
        late = scene.start("late")
        await asyncio.gather(waits, late)
        assert scene.went == ["first", "waits", "late"]
        assert scene.lines.before([Want(RULE, "a", 1)], 4) is None

    run(main, leak_free=True)


def test_one_that_needs_much_is_not_passed_by_many_that_need_little() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        scene.purse.free_at["r|a"] = loop.time() + 5
        tasks = [scene.start("large", tenant="l", amount=5)]
        await loop.clock.sleep(0.1)
        tasks += [scene.start(f"small{number}", tenant="s") for number in range(5)]
        await asyncio.gather(*tasks)
        assert scene.went[0] == "large"

    run(main, leak_free=True)


def test_tenants_take_turns() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        tasks = [scene.start("first")]
        await loop.clock.sleep(0.05)
        tasks += [scene.start(f"a{number}", tenant="a") for number in range(6)]
        tasks += [scene.start(f"b{number}", tenant="b") for number in range(3)]
        await asyncio.gather(*tasks)
        assert [name[0] for name in scene.went[1:7]].count("b") == 3

    run(main, leak_free=True)


def test_nobody_waits_beyond_its_time_and_who_cannot_have_it_by_then_not_at_all() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        scene.purse.free_at["r|a"] = loop.time() + 10
        start = loop.time()
        hopeless = await scene.ask("hopeless", patience=5.0)
        assert isinstance(hopeless, Shortage)
        assert hopeless.wait == pytest.approx(10, abs=0.05)
        assert loop.time() - start < 0.05
        patient = scene.start("patient", patience=11.0)
        await loop.clock.sleep(0.05)
        behind = scene.start("behind", patience=10.5)
        await asyncio.gather(patient, behind)
        assert (scene.went, scene.gave_up) == (["patient"], ["hopeless", "behind"])
        assert loop.time() - start == pytest.approx(10.02, abs=0.02), "what comes too late is not waited for"
        assert scene.calm()

    run(main, leak_free=True)


def test_a_rule_without_a_queue_is_not_waited_for() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        strict = Rule("r", "tenant", "burst", "requests", 1, seconds=1, burst=1)
        await scene.ask("first")
        assert isinstance(await scene.ask("refused", rules=(strict,)), Shortage)
        assert scene.purse.asked == 2

    run(main, leak_free=True)


def test_who_is_short_of_something_else_then_waits_there() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        scene.purse.free_at |= {"r|a": loop.time() + 1, "o|a": loop.time() + 3}
        both = scene.start("both", rules=(RULE, OTHER))
        await loop.clock.sleep(1.5)
        # It does not stand in the way of those that need only the first.
        assert isinstance(await scene.ask("one"), Reservation)
        await both
        assert scene.went == ["one", "both"]
        assert loop.time() == pytest.approx(scene.purse.reserved[-1])
        assert scene.calm()

    run(main, leak_free=True)


def test_a_full_line_refuses_and_makes_place_for_the_urgent() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, most=2)
        tasks = [scene.start("first")]
        await loop.clock.sleep(0.05)
        tasks += [scene.start("head"), scene.start("low", 3)]
        await loop.clock.sleep(0.05)
        refused = await scene.ask("refused", 3)
        assert isinstance(refused, Shortage)
        assert scene.lines.expected(Want(RULE, "a", 1)) == 3.0
        tasks.append(scene.start("high", 1))
        await asyncio.gather(*tasks)
        assert (scene.went, scene.gave_up) == (["first", "high", "head"], ["refused", "low"])
        assert scene.calm()

    run(main, leak_free=True)


def test_it_tells_the_place_in_the_line() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        await scene.ask("first")
        tasks = []
        for name in "abc":
            tasks.append(scene.start(name))
            await loop.clock.sleep(0.02)
        told = {name: place() for name, place in scene.places.items() if place is not None}
        assert told == {"a": 1, "b": 2, "c": 3}
        assert repr(scene.lines) == "<Lines 3 waiting at 1 accounts>"
        await asyncio.gather(*tasks)

    run(main, leak_free=True)


@pytest.mark.parametrize("named", ["b", "c"])
def test_cancelled_anywhere_the_others_go_on(named: str) -> None:
    """The first in line and one behind it: whoever leaves, whenever, the next ones are admitted in time."""

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        scene = Scene(loop)
        tasks = []
        for name in "abcd":
            work = scene.ask(name)
            tasks.append(loop.create_task(cancel(work) if name == named else work))
            await loop.clock.sleep(0.02)
        await asyncio.gather(*tasks)
        others = [name for name in "abcd" if name != named]
        assert [name for name in scene.went if name != named] == others
        assert loop.time() < scene.purse.reserved[0] + 3.2
        assert scene.calm()

    assert sweep_scenario(scenario) >= 2


def test_whatever_happens_the_account_is_never_idle_while_somebody_waits() -> None:
    """Random callers, ranks, patience and cancellations: from turn to turn goes no longer than one amount takes."""

    async def main(loop: SimLoop, seed: int) -> None:
        scene, chance = Scene(loop, most=20), Random(seed)
        tasks = []
        for number in range(300):
            name, patience = str(number), 1 + 40 * chance.random()
            tasks.append(scene.start(name, chance.getrandbits(2), tenant=str(number % 3), patience=patience))
            await loop.clock.sleep(chance.random())
            if chance.random() < 0.2:
                tasks[chance.getrandbits(8) % len(tasks)].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        gaps = [later - before for before, later in zip(scene.purse.reserved, scene.purse.reserved[1:], strict=False)]
        busy = gaps[5:-25]
        assert max(busy) < 1.1
        assert len(scene.went) > 100
        assert scene.calm()

    for seed in range(20):
        run(partial(main, seed=seed), seed, leak_free=True)


class _Sleepy(_Line):
    """A planted bug: who leaves as the first in line wakes nobody."""

    __slots__ = ()

    def leave(self, place: Any) -> None:
        if self.head is place:
            self.head, self.asks = None, False
            self._choose()
        else:
            super().leave(place)


def test_a_planted_bug_is_seen() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        await scene.ask("a")
        tasks = await scene.start_in_turn("bcd", patience=20)
        for line in scene.lines.open.values():
            line.__class__ = _Sleepy
        await asyncio.gather(*tasks)
        assert scene.went == ["a", "b"]

    run(main)
