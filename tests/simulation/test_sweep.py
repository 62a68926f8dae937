"""The cancel sweep finds planted leaks, and passes code that has none."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from penstock.testing import (
    Cancel,
    Faults,
    Link,
    SimClock,
    SimLoop,
    run,
    sweep_cancellations,
    sweep_failures,
    sweep_scenario,
)


async def nap(seconds: float) -> None:
    await SimClock(asyncio.get_running_loop()).sleep(seconds)


async def careful(loop: SimLoop) -> None:
    _, writer = await asyncio.open_connection("server", 80)
    try:
        writer.write(b"x")
        await asyncio.sleep(0)
        await loop.clock.sleep(0.1)
    finally:
        writer.close()


async def careless(loop: SimLoop) -> None:
    _, writer = await asyncio.open_connection("server", 80)
    writer.write(b"x")
    await loop.clock.sleep(0.1)
    writer.close()


def with_server(work: Any) -> Any:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        server = await loop.create_server(asyncio.Protocol, "server", 80)
        await cancel(work(loop))
        server.close()

    return scenario


def test_every_await_is_covered() -> None:
    assert sweep_scenario(with_server(careful)) == 3
    slow = Faults(up=Link(latency=0.1), down=Link(latency=0.1))
    assert sweep_scenario(with_server(careful), faults=slow) == 3


def test_a_planted_leak_is_found_and_named() -> None:
    with pytest.raises(AssertionError, match="leaked: <MemoryTransport") as caught:
        sweep_scenario(with_server(careless), seed=5)
    assert caught.value.__notes__ == ["cancelled at suspension 2, waiting; seed 5"]


def test_a_permit_lost_while_waking_up_is_found() -> None:
    """The lost-result race: the permit is granted, then the waiter is cancelled before it has it."""

    class Gate:
        def __init__(self, loop: SimLoop) -> None:
            self.out = 0
            self.loop = loop

        async def acquire(self) -> None:
            granted = self.loop.create_future()
            self.loop.call_later(1, self.grant, granted)
            await granted  # cancelled here after grant(): nobody gives the permit back

        def grant(self, granted: asyncio.Future[None]) -> None:
            if not granted.done():
                self.out += 1
                granted.set_result(None)

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        gate = Gate(loop)

        async def work() -> None:
            await gate.acquire()
            gate.out -= 1

        await cancel(work())
        await loop.clock.sleep(2)
        assert gate.out == 0, "a permit was lost"

    with pytest.raises(AssertionError, match="a permit was lost") as caught:
        sweep_scenario(scenario)
    assert caught.value.__notes__ == ["cancelled at suspension 1, waking up; seed 0"]


def test_a_semaphore_loses_nothing() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        gate = asyncio.Semaphore(1)

        async def work() -> None:
            async with asyncio.timeout(60), gate:
                await loop.clock.sleep(1)

        async def rival() -> None:
            async with gate:
                await loop.clock.sleep(1)

        other = loop.create_task(rival())
        await asyncio.sleep(0)
        await cancel(work())
        await other
        assert not gate.locked()

    assert sweep_scenario(scenario) == 2


def test_a_swallowed_cancellation_is_a_fault() -> None:
    async def stubborn() -> None:
        with suppress(asyncio.CancelledError):
            await nap(1)

    with pytest.raises(AssertionError, match="swallowed"):
        sweep_cancellations(stubborn)


def test_errors_and_results_pass_through() -> None:
    async def failing() -> None:
        await nap(1)
        raise ValueError("mine")

    async def fine() -> int:
        try:
            await asyncio.wait_for(asyncio.Event().wait(), 1)
        except TimeoutError:
            return 7
        return 0

    async def main(loop: SimLoop) -> object:
        return await Cancel(9, waking=True)(fine())

    assert run(main) == 7
    with pytest.raises(ValueError, match="mine"):
        sweep_cancellations(failing)


def test_check_runs_after_each_run() -> None:
    checked = []

    async def three() -> None:
        for _ in range(3):
            await nap(1)

    async def check(loop: SimLoop) -> None:
        checked.append(loop.time())

    assert sweep_cancellations(three, check=check) == 3
    # Waiting and waking at the first, second and third, then once to the end.
    assert checked == [1000.0, 1001.0, 1001.0, 1002.0, 1002.0, 1003.0, 1003.0]


def test_a_coroutine_without_an_end_is_given_up() -> None:
    async def endless() -> None:
        for _ in itertools.count():
            await nap(1)

    def make() -> Coroutine[Any, Any, None]:
        return endless()

    with pytest.raises(AssertionError, match="not done after 5"):
        sweep_cancellations(make, most=5)


class End(asyncio.Protocol):
    """One end of a connection; `news` is done once anything has come, the end too."""

    def __init__(self, ends: list[End], *, echo: bool) -> None:
        self.news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._echo = echo
        ends.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        if self._echo:
            self.transport.write(data)
        else:
            self.news.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.news.done():
            self.news.set_result(None)


async def exchange(loop: SimLoop, *, clean: bool) -> None:
    """A name, a connect, a byte each way."""
    ends: list[End] = []
    server = await loop.create_server(lambda: End(ends, echo=True), "server", 80)
    try:
        await loop.getaddrinfo("server", 80)
        async with asyncio.timeout(5):
            transport, end = await loop.create_connection(lambda: End(ends, echo=False), "server", 80)
            transport.write(b"x")
            await end.news  # type: ignore[attr-defined]
    except (OSError, TimeoutError):
        if not clean:
            raise
    finally:
        server.close()
        for one in ends if clean else ():
            one.transport.abort()


def test_every_operation_fails_in_both_ways() -> None:
    failed = sweep_failures(lambda loop: exchange(loop, clean=True))
    assert failed == {"resolve": 2, "connect": 2, "send": 4, "receive": 4}


def test_what_a_failure_leaves_behind_is_found_and_named() -> None:
    with pytest.raises(OSError, match="name resolution") as caught:
        sweep_failures(lambda loop: exchange(loop, clean=False), seed=3)
    assert caught.value.__notes__ == ["operation 1, a resolve, failed by reset; seed 3"]

    async def careless(loop: SimLoop) -> None:
        with suppress(OSError):
            await exchange(loop, clean=False)

    with pytest.raises(AssertionError, match="leaked: <MemoryTransport") as caught_too:
        sweep_failures(careless)
    assert "failed by" in caught_too.value.__notes__[0]


def test_operations_without_an_end_are_given_up() -> None:
    async def endless(loop: SimLoop) -> None:
        for number in range(50):
            with suppress(OSError):
                await loop.getaddrinfo(f"server{number}", 80)

    with pytest.raises(AssertionError, match="not done after 9"):
        sweep_failures(endless, most=9)
