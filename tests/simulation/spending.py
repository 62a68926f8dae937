"""Histories of spending: workers, callers, limits, cancels, deaths, clocks that jump; played, and judged.

Real purses and a real treasury; what a worker would have written into its journal is kept beside them, and is the
truth that they are judged by. A history is made of its seed alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from random import Random
from typing import Any, NamedTuple

import msgspec

from penstock.clock import Clock
from penstock.errors import Overloaded, PenstockError
from penstock.reservation import Accounts, Reservation, Rule, Shortage, Want
from penstock.stores.account import Budget
from penstock.stores.centre import Message, memory_pair
from penstock.stores.purse import Purse
from penstock.stores.treasury import Treasury
from penstock.testing import SimDeadlock, SimLoop, SimTimeout, run
from tests.simulation.spending_truth import History, Truth

__all__ = ["History", "Verdict", "judge", "make_history"]

# What a history's day begins with: an ordinary one, and the nights in which clocks change.
_MORNINGS = (
    ("UTC", "2026-03-04T11:58:00"),
    ("Europe/Berlin", "2026-03-28T22:58:30"),
    ("Europe/Berlin", "2026-10-25T00:59:00"),
    ("Europe/Berlin", "2026-10-25T21:59:30"),
    ("Africa/Cairo", "2026-04-23T21:58:30"),
    ("Australia/Lord_Howe", "2026-04-04T14:58:00"),
)
_EPOCH = 1_767_225_600.0


class Verdict(NamedTuple):
    """What became of it.

    Attributes:
        violations: what should never have been.
        granted, refused, cancelled, killed, most_early: figures.
    """

    violations: list[str]
    granted: int
    refused: int
    cancelled: int
    killed: int
    most_early: int


def make_history(seed: int, *, asks: int = 12, callers: int = 64) -> History:
    """The history of that seed."""
    random = Random(f"spending {seed}")
    zone, morning = random.choice(_MORNINGS)
    limit = random.randint(10**6, 10**10)
    rules = [
        Rule("money:tenant", "tenant", "budget", "usd", limit, period="day", zone=zone),
        Rule("money:user", "user", "budget", "usd", limit // random.randint(2, 5), period="hour", zone=zone),
    ]
    if random.random() < 0.5:
        rules.append(Rule("money:global", "global", "budget", "usd", limit * 2, period="month", zone=zone))
    if random.random() < 0.5:
        burst = random.randint(400, 2000)
        rules.append(Rule("tokens:key", "key", "burst", "tokens", random.randint(4000, 9000), seconds=60, burst=burst))
    if random.random() < 0.5:
        rules.append(Rule("strict:tenant", "tenant", "strict", "tokens", random.randint(400, 4000), seconds=60))
    if random.random() < 0.2:
        rules.append(Rule("leaky:key", "key", "leaky", "requests", 3000, seconds=60))
    workers = 4
    exact = any(rule.kind in ("strict", "leaky") for rule in rules)
    return History(
        seed,
        tuple(rules),
        tuple(f"v{number}" for number in range(random.choice([1, 1, 2, 5]))),
        workers,
        callers,
        asks,
        datetime.fromisoformat(morning).replace(tzinfo=UTC).timestamp() - _EPOCH + random.random() * 60,
        _some(random, 0.3, lambda: (random.uniform(0, 90), random.choice([-7200.0, -60.0, 61.0, 3600.0, 90_000.0]))),
        _some(random, 0.6, lambda: (random.uniform(0, 60), random.randrange(workers), random.uniform(0, 40))),
        _some(random, 0.2, lambda: (random.uniform(0, 60), random.choice([400, 700, 1300, 2000]))),
        0.0 if exact or random.random() < 0.5 else random.choice([0.0002, 0.003, 0.02]),
        random.choice([0, 0, 300, 960]),
        random.random() < 0.2,
    )


def _some(random: Random, chance: float, make: Callable[[], Any]) -> tuple[Any, ...]:
    found = []
    while random.random() < chance:
        found.append(make())
    return tuple(sorted(found))


def judge(history: History) -> Verdict:
    """Play it, and say what was wrong; a crash, a leak or a deadlock of the whole is wrong too."""
    town = Town(history)
    try:
        run(town.live, history.seed, leak_free=True, max_seconds=10_000.0)
    except (AssertionError, RuntimeError, PenstockError, SimDeadlock, SimTimeout) as error:
        town.violations.append(f"{type(error).__name__}: {error}")
    return Verdict(town.violations, town.granted, town.refused, town.cancelled, town.killed, town.most_early)


class WanderingClock:
    """A loop's clock whose wall time is set now and then."""

    def __init__(self, clock: Clock, offset: float) -> None:
        self._clock = clock
        self.offset = offset
        self.monotonic, self.sleep = clock.monotonic, clock.sleep
        self.timeout, self.call_later = clock.timeout, clock.call_later

    def wall(self) -> float:
        return self._clock.wall() + self.offset


class Wire:
    """Delivers in order, each message a moment later."""

    def __init__(self, loop: SimLoop, latency: float) -> None:
        self._loop = loop
        self._latency = latency
        self._last = 0.0

    def post(self, deliver: Callable[..., object], *args: object) -> None:
        if not self._latency:
            self._loop.call_soon(deliver, *args)
            return
        self._last = max(self._last + 1e-9, self._loop.time() + self._latency)
        self._loop.call_at(self._last, deliver, *args)


class Staff:
    """A worker: its purse, its calls, and its journal: what it reserved and what of that it settled."""

    def __init__(self, town: Town, number: int) -> None:
        self.books = f"journal-{number}"
        self.dead = False
        self.tasks: set[asyncio.Task[Any]] = set()
        self.open: dict[int, Reservation] = {}
        self.settled: dict[tuple[str, int], int] = {}
        # As layers do, it remembers on which accounts its calls draw.
        self.known: dict[tuple[tuple[str, str], ...], Accounts] = {}
        here, self.end = memory_pair(Wire(town.loop, town.history.latency).post)
        self.purse = Purse(self._send, town.clock, self.books)
        self.end.open(self._received, lambda: None)
        town.treasury.join(self, here.send)
        here.open(lambda message: town.treasury.received(self, message), lambda: town.treasury.left(self))  # type: ignore[arg-type]
        self.purse.open()
        self.purse.adopt(town.rules)

    def accounts(self, wants: Sequence[Want]) -> Accounts:
        found = Accounts([want[:2] for want in wants])
        return self.known.setdefault(found.keys, found)

    def _send(self, message: Message) -> None:
        if not self.dead:
            self.end.send(message)

    def _received(self, message: Message) -> None:
        if not self.dead:
            self.purse.received(message)  # type: ignore[arg-type]


class Town:
    """A treasury, its workers and their callers; what is true of each account, and what was wrong."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.random = Random(f"town {history.seed}")
        self.violations: list[str] = []
        self.rules = list(history.rules)
        self.granted = self.refused = self.cancelled = self.killed = self.most_early = 0
        self.truth = Truth(history, self.wrong)
        self.largest = 0
        # A minute must pass, and more, for what forgets by the minute.
        self.pause = 12.0 if any(rule.kind == "strict" for rule in self.rules) else 3.0
        self.staff: list[Staff] = []
        self.hired = 0
        self.unsettled = 0
        self.closing: list[asyncio.Task[Any]] = []

    # --- the whole

    async def live(self, loop: SimLoop) -> None:
        self.loop = loop
        self.clock = WanderingClock(loop.clock, self.history.offset)
        self.truth.began = self.clock.wall()
        self.treasury = Treasury(self.clock, self.truth.before)
        self.treasury.adopt(self.rules)
        self.staff = [self._hire() for _ in range(self.history.workers)]
        events = [loop.create_task(each) for each in (self._beat(), self._jump(), self._kill(), self._reload())]
        callers = [loop.create_task(self._caller(number)) for number in range(self.history.callers)]
        await asyncio.gather(*callers)
        for event in events[1:]:
            event.cancel()
        await asyncio.gather(*events[1:], return_exceptions=True)
        await asyncio.gather(*self.closing)
        await self._probe()
        events[0].cancel()
        for staff in self.staff:
            staff.purse.close()
            staff.end.close()
        await loop.clock.sleep(1.0)
        self.treasury.close()
        self._close_books()
        self.truth.judge_rates()

    def _hire(self) -> Staff:
        self.hired += 1
        return Staff(self, self.hired)

    def wrong(self, what: str) -> None:
        self.violations.append(f"{what} (at {self.loop.time():.3f})")

    # --- what happens

    async def _beat(self) -> None:
        while True:
            await self.clock.sleep(1.0)
            for staff in self.staff:
                staff.purse.beat()

    async def _until(self, time: float) -> None:
        await self.clock.sleep(max(0.0, 1000.0 + time - self.loop.time()))

    async def _jump(self) -> None:
        for time, seconds in self.history.jumps:
            await self._until(time)
            self.clock.offset += seconds

    async def _reload(self) -> None:
        for time, part in self.history.reloads:
            await self._until(time)
            self.rules = [_scaled(rule, part) for rule in self.history.rules]
            for rule in self.rules:
                self.truth.highest[rule.id] = max(self.truth.highest[rule.id], rule.limit)
            self.treasury.adopt(self.rules)
            for staff in self.staff:
                staff.purse.adopt(self.rules)

    async def _kill(self) -> None:
        for time, which, delay in self.history.kills:
            await self._until(time)
            staff = self.staff[which]
            staff.dead = True
            self.killed += 1
            self.unsettled += 1
            # What was open is posted at what was reserved: it is in the truth already.
            for reservation in staff.open.values():
                self._write(staff, reservation, [want.amount for want in reservation.wants])
            staff.open.clear()
            for task in list(staff.tasks):
                task.cancel()
            staff.end.close()
            self.staff[which] = self._hire()
            self.closing.append(self.loop.create_task(self._bury(staff, delay)))

    async def _bury(self, staff: Staff, delay: float) -> None:
        await self.clock.sleep(delay)
        self.treasury.settled(staff.books, staff.settled)
        self.unsettled -= 1

    # --- callers

    async def _caller(self, number: int) -> None:
        random = Random(f"caller {self.history.seed} {number}")
        for _ in range(self.history.asks):
            await self.clock.sleep(random.expovariate(1 / self.pause))
            staff = self.staff[random.randrange(len(self.staff))]
            task = self.loop.create_task(self._call(staff, random))
            staff.tasks.add(task)
            if random.random() < 0.15:
                await self.clock.sleep(random.choice([0.0, 0.0, random.random() * 0.01, random.random()]))
                for _ in range(random.randrange(8)):
                    await asyncio.sleep(0)
                task.cancel()
            await asyncio.wait([task])
            staff.tasks.discard(task)
            if task.cancelled():
                self.cancelled += 1
            elif (error := task.exception()) is not None:
                self.wrong(f"a call failed: {error!r}")
            elif task.result() and random.random() < 0.7:
                # As an adversary would, or an obedient one: back at the moment that was told.
                await self.clock.sleep(min(task.result(), 65.0))

    def _wants(self, random: Random) -> list[Want]:
        wants = []
        for rule in self.rules:
            value = "" if rule.scope == "global" else random.choice(self.history.values)
            if rule.unit == "usd":
                wants.append(Want(rule, value, random.randint(1, max(1, self.truth.highest["money:user"] // 40))))
            else:
                wants.append(Want(rule, value, 1 if rule.unit == "requests" else random.randint(1, 300)))
        money = random.randint(1, 3)
        chosen = [want for want in wants if want.rule.unit != "usd" or money & 1 or want.rule.id != "money:user"]
        self.largest = max([self.largest, *(want.amount for want in chosen if want.rule.unit == "usd")])
        return chosen

    async def _call(self, staff: Staff, random: Random) -> float:
        """Reserve, take a while, settle; how long to wait before the next, where it was told to."""
        wants = self._wants(random)
        try:
            amounts = [want.amount for want in wants]
            came = staff.purse.try_reserve(staff.accounts(wants), amounts) or await staff.purse.reserve(wants)
        except Overloaded:
            if not staff.dead and not self.killed:
                self.wrong("the centre did not answer")
            return 0.0
        if staff.dead:
            return 0.0
        if isinstance(came, Shortage):
            self._refused(came)
            return came.wait if came.rule.kind != "budget" else 0.0
        self._take(staff, came)
        amounts = [0] * len(wants)
        try:
            await self.clock.sleep(random.choice([0.0, random.random(), random.expovariate(1 / 5.0)]))
            amounts = [self._actual(want, random) for want in wants]
        finally:
            if not staff.dead:
                self._settle(staff, came, amounts)
        return 0.0

    def _actual(self, want: Want, random: Random) -> int:
        if self.history.overruns and want.rule.kind == "budget" and random.random() < 0.1:
            return want.amount * 2
        if want.rule.unit == "requests":
            return 1
        return random.choice([want.amount, random.randint(0, want.amount)])

    # --- what is written down

    def _take(self, staff: Staff, reservation: Reservation) -> None:
        self.granted += 1
        staff.open[id(reservation)] = reservation
        self.truth.took(reservation, self.loop.time(), self.clock.wall())

    def _settle(self, staff: Staff, reservation: Reservation, amounts: Sequence[int]) -> None:
        del staff.open[id(reservation)]
        self.truth.settled(reservation, amounts, self.loop.time())
        self._write(staff, reservation, amounts)
        staff.purse.settle(reservation, amounts)

    def _write(self, staff: Staff, reservation: Reservation, amounts: Sequence[int]) -> None:
        for want, window, actual in zip(reservation.wants, reservation.windows, amounts, strict=True):
            if want.rule.kind == "budget":
                key = (want.account, window)
                staff.settled[key] = staff.settled.get(key, 0) + actual

    def _refused(self, short: Shortage) -> None:
        """Once leases have shrunk nothing lies idle anywhere while somebody is refused, or one reservation at most."""
        self.refused += 1
        entry = self.treasury.accounts.find(short.rule.id, short.value)
        if short.rule.kind != "budget" or entry is None or entry.loose or entry.called or entry.waiting:
            return
        idle = 0
        for staff in self.staff:
            lease = staff.purse._leases.get((short.rule.id, short.value))
            if lease is not None and lease.until > self.loop.time():
                idle += lease.idle
        self.most_early = max(self.most_early, idle)
        if idle > self.largest:
            self.wrong(f"refused early: while {idle} of {entry.account!r} were idle")

    # --- the end

    async def _probe(self) -> None:
        """When all is quiet what is free is free for whoever asks, to the last nano-dollar, and not one more."""
        for entry in self.treasury.accounts:
            account = entry.account
            if not isinstance(account, Budget):
                continue
            rule = next(each for each in self.rules if each.id == account.rule.id)
            await self.clock.sleep(0.1)
            self.treasury.stand(rule.id, account.value)
            window = account._page.window.start
            free = rule.limit - self.truth.of(rule, account.value, window)
            staff = self.random.choice(self.staff)
            more = await staff.purse.reserve([Want(rule, account.value, max(0, free) + 1)])
            if isinstance(more, Reservation):
                self.wrong(f"more than there is: {free + 1} of {account!r}")
                staff.purse.void(more)
            await self.clock.sleep(0.1)
            staff = self.random.choice(self.staff)
            came = await staff.purse.reserve([Want(rule, account.value, max(0, free))])
            if isinstance(came, Reservation):
                staff.purse.void(came)
            elif free >= 0:
                self.wrong(f"leak: {free} of {account!r} are free and not to be had, {came.left} are said to be")

    def _close_books(self) -> None:
        """Nothing is in anybody's hands, and what the treasury has as spent is what the journals have."""
        for entry in self.treasury.accounts:
            account = entry.account
            if isinstance(account, Budget):
                for start, page in account._pages.items():
                    if page.hands:
                        self.wrong(f"leak: in hands when all is idle: {account!r}")
                    truth = self.truth.of(account.rule, account.value, start)
                    if page.spent != truth:
                        self.wrong(f"books: {page.spent} spent, and {truth} in the journals of {account!r}")
        if self.treasury.unsettled:
            self.wrong(f"unsettled: {self.treasury.unsettled}")


def _scaled(rule: Rule, part: int) -> Rule:
    return msgspec.structs.replace(rule, limit=max(1, rule.limit * part // 1000))
