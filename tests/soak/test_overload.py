"""Ten times as many callers as there is room for: those inside are served as before, those outside are told at once.

What sheds load is `max_connections`, or `admission: {most}`; the second test says what happens without either, when
all get in: answers take ten times as long, but none is lost. How many are answered and how soon the others know it is
proved in virtual time (`tests/server/test_overload.py`); here it is told what that costs.

The callers are Python too, and slower than the gateway: so rates and their latencies are told, and what the gateway
itself spends is held to a bound. How soon somebody is refused is seen by one who asks now and then, from a process of
its own that is always given a core at once, and tells how late it came itself: in the crowd's, one waits for the 499
others' turns as well. That is held to a bound where the machine was ours alone, and so many were refused that it says
something: beside `most` few who come by are, since there is a place whenever the crowd is busy with its answers.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import NamedTuple

import pytest
import uvloop

from tests.end_to_end.process import Served
from tests.security.attack import memory, processor
from tests.soak.figures import tell
from tests.soak.load import Asker, now, percentile, request, sleep
from tests.soak.machine import BUSY, Neighbours, ahead_of_all
from tests.soak.test_slow_crowd import apart, gateway

pytestmark = pytest.mark.soak

CALLERS = 50
ROOM = 60  # a little more: one that closes is gone only a moment later
# Of each turn of one of both, and how many there are.
SECONDS = 6.0
ROUNDS = 3
# One that got in asks so often, and then leaves room for another; one that did not comes back as it was told.
TURNS = 200
RETRY_SECONDS = 1.0  # on average: half to three halves of it, as clients draw them
# The share of its CPU that must still make good answers: on a machine with neighbours 0.72 to 0.97 were seen.
LEAST = 0.6
# Who looks how soon one is refused asks so often.
LOOK_SECONDS = 0.005
GOLDEN = 0.618034  # spreads whatever number of callers evenly
BEHIND = 5  # how much nicer the crowd's process is than the gateway
# Within so many seconds 99 of 100 are told that there is no room, if so many were.
TOLD_SECONDS = 0.02
ENOUGH = 200


class Seen:
    """What a crowd of callers saw, in the second half of its time.

    Attributes:
        all: good answers in the whole of it.
        cost: the gateway's CPU seconds for each of those, whatever it did beside: what others do on the same machine
            changes it little.
    """

    def __init__(self, seconds: float) -> None:
        self.statuses: Counter[int] = Counter()
        self.all = 0
        self.cost = 0.0
        self.answers: list[float] = []
        self.refusals: list[float] = []
        self._from = now() + seconds / 2
        self.until = now() + seconds
        self.seconds = seconds / 2

    def note(self, began: float, status: int) -> None:
        """One answer."""
        self.all += status == 200
        if began < self._from:
            return
        self.statuses[status] += 1
        (self.answers if status == 200 else self.refusals).append(now() - began)

    def add(self, more: Seen) -> None:
        """What was seen at another time, too."""
        self.statuses += more.statuses
        self.all += more.all
        self.cost += more.cost
        self.answers += more.answers
        self.refusals += more.refusals
        self.seconds += more.seconds

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.statuses[200] / self.seconds


def crowd(port: int, callers: int, seconds: float = SECONDS) -> Seen:
    """So many callers, each as fast as it is answered."""

    async def caller(seen: Seen, data: bytes, number: int) -> None:
        pause = RETRY_SECONDS * (0.5 + number * GOLDEN % 1.0)
        while now() < seen.until:
            asker = await Asker.connect(port)
            for _ in range(TURNS):
                began = now()
                status = await asker.ask(data)
                seen.note(began, status)
                if status != 200:
                    await sleep(pause)
                if not asker.open or now() >= seen.until:
                    break
            asker.close()

    async def main() -> Seen:
        seen, data = Seen(seconds), request()
        await asyncio.gather(*(caller(seen, data, number) for number in range(callers)))
        return seen

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


@contextmanager
def alone(folder: Path, server: str = "", more: str = "") -> Iterator[Served]:
    """A gateway with a core for itself, where there are two; everybody else is on the others."""
    with apart() as core, gateway(folder, server, more) as served:
        os.sched_setaffinity(served.process.pid, core)
        yield served


class Look(NamedTuple):
    """Of one who came by: what it was told, 0 where there was no answer, after how many seconds, and how much later
    than it meant to it had begun."""

    status: int
    seconds: float
    late: float


def look(port: int, done: Callable[[], bool]) -> list[Look]:
    """What becomes of somebody's requests, in the second half as with `Seen`: every one on a connection of its own,
    connecting included."""

    async def main() -> list[Look]:
        await sleep(SECONDS / 2)
        seen, data, at = [], request(), now()
        while not done():
            began, status = now(), 0
            try:
                asker = await Asker.connect(port)
                status = await asker.ask(data)
                asker.close()
            except OSError:
                pass
            seen.append(Look(status, now() - began, began - at))
            at = max(at + LOOK_SECONDS, now())
            await sleep(at - now())
        return seen

    with ahead_of_all(), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


class Turns(NamedTuple):
    """What was seen by turns: of the peak, of ten times as many, and by who came by then; and by how many bytes the
    gateway has grown since its first peak."""

    peak: Seen
    beyond: Seen
    looked: list[Look]
    grown: int


def in_turns(served: Served, callers: int) -> Turns:
    """The peak, and ten times as many, in turns."""
    peak, beyond, looked, before = Seen(0), Seen(0), list[Look](), 0
    with ProcessPoolExecutor(1, get_context("spawn"), os.nice, (BEHIND,)) as aside:
        aside.submit(crowd, served.port, callers, 2).result()
        for _ in range(ROUNDS):
            began = processor(served)
            seen = aside.submit(crowd, served.port, callers).result()
            seen.cost = processor(served) - began
            peak.add(seen)
            before, began = before or memory(served, "VmRSS"), processor(served)
            beside: Future[Seen] = aside.submit(crowd, served.port, 10 * callers)
            looked += look(served.port, beside.done)
            seen = beside.result()
            seen.cost = processor(served) - began
            beyond.add(seen)
    for each in (peak, beyond):
        each.cost /= each.all
    return Turns(peak, beyond, looked, memory(served, "VmHWM") - before)


def told(served: Served, name: str, callers: int) -> tuple[Seen, Seen]:
    """The peak, and ten times as many."""
    neighbours = Neighbours()
    peak, beyond, looked, grown = in_turns(served, callers)
    others = neighbours.cores()
    refusals, late = [one.seconds for one in looked if one.status == 503], [one.late for one in looked]
    refused = "none refused"
    if beyond.refusals:
        assert refusals, Counter(one.status for one in looked)
        refused = f"{percentile(refusals, 0.99) * 1e3:.1f} ms (of {len(refusals)} of {len(looked)} who came by, p50"
        refused += f" {median(refusals) * 1e3:.1f}, itself late by {percentile(late, 0.99) * 1e3:.1f}), in the crowd"
        refused += f" {percentile(beyond.refusals, 0.99) * 1e3:.1f} ms"
    tell(
        f"overload, {name}: {callers} callers {peak.rate:,.0f}/s, p99 {percentile(peak.answers, 0.99) * 1e3:.0f} ms;"
        f" {10 * callers} callers {beyond.rate:,.0f}/s ({beyond.rate / peak.rate:.0%}), p50"
        f" {median(beyond.answers) * 1e3:.0f} and p99 {percentile(beyond.answers, 0.99) * 1e3:.0f} ms; refusals p99"
        f" {refused}, {dict(beyond.statuses)}; CPU for a good answer {peak.cost * 1e6:.0f} and"
        f" {beyond.cost * 1e6:.0f} us ({peak.cost / beyond.cost:.0%}); memory +{grown / 2**20:.1f} MiB"
    )
    assert set(peak.statuses) == {200}
    assert grown < 50 * 2**20
    if len(refusals) >= ENOUGH and others < BUSY:
        assert percentile(refusals, 0.99) < TOLD_SECONDS
    return peak, beyond


def test_ten_times_the_room(tmp_path: Path) -> None:
    with alone(tmp_path, f"max_connections: {ROOM}") as served:
        peak, beyond = told(served, f"max_connections {ROOM}", CALLERS)
    assert set(beyond.statuses) <= {200, 503, 0}, "0: beyond those that are told so politely"
    assert beyond.refusals
    assert peak.cost >= LEAST * beyond.cost


def test_ten_times_the_callers_with_room_for_all(tmp_path: Path) -> None:
    with alone(tmp_path, more="admission: off") as served:
        peak, beyond = told(served, "room for all", CALLERS)
    assert set(beyond.statuses) == {200}
    assert peak.cost >= LEAST * beyond.cost


def test_ten_times_what_a_worker_takes_at_a_time(tmp_path: Path) -> None:
    """Those that it has no place for are refused by the layer, on connections that stay."""
    with alone(tmp_path, more=f"admission: {{most: {ROOM}, queue: 0}}") as served:
        peak, beyond = told(served, f"admission most {ROOM}", CALLERS)
    assert set(beyond.statuses) <= {200, 503}
    assert beyond.refusals
    assert peak.cost >= LEAST * beyond.cost
