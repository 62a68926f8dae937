"""Clocks and chance for tests: FakeClock is turned by hand on any loop, SimClock is a SimLoop's own time.

Both implement `penstock.clock.Clock`. FakeClock is for a layer alone; whole paths run under SimLoop.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from itertools import count
from types import TracebackType

__all__ = ["FakeClock", "SeededRandom", "SimClock"]

_EPOCH = 1_767_225_600.0  # 2026-01-01 00:00 UTC, when every test begins
_START = 1000.0


class SeededRandom(random.Random):
    """The same numbers for the same seed."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)


class SimClock:
    """The time of a loop, as a Clock; its wall time begins on 2026-01-01 where the loop's begins at 1000.0."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.monotonic = loop.time

    def wall(self) -> float:
        return _EPOCH - _START + self._loop.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        return self._loop.call_later(seconds, callback)


class _FakeTimer:
    """A callback at a moment of a FakeClock."""

    __slots__ = ("callback", "cancelled", "when")

    def __init__(self, when: float, callback: Callable[[], object]) -> None:
        self.when = when
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class FakeClock:
    """Time that passes when `advance` or `elapse` says so."""

    def __init__(self) -> None:
        self._now = _START
        self._numbers = count()
        self._timers: list[tuple[float, int, _FakeTimer]] = []

    @property
    def pending(self) -> int:
        """Timers, sleeps and timeouts that have neither run nor been cancelled."""
        return sum(not timer.cancelled for _, _, timer in self._timers)

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return _EPOCH - _START + self._now

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        timer = self.call_later(seconds, partial(_finish, waiter))
        try:
            await waiter
        finally:
            timer.cancel()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return _FakeTimeout(self, seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> _FakeTimer:
        timer = _FakeTimer(self._now + seconds, callback)
        heapq.heappush(self._timers, (timer.when, next(self._numbers), timer))
        return timer

    def advance(self, seconds: float) -> None:
        """Let time pass and run what is due, in order. Tasks that were waiting go on at the loop's next turn."""
        self._advance_to(self._now + seconds)

    async def elapse(self, seconds: float) -> None:
        """Let time pass timer by timer; after each one tasks get 20 turns of the loop, to go on and set new timers."""
        end = self._now + seconds
        await _turns()
        while (when := self._next()) is not None and when <= end:
            self._advance_to(when)
            await _turns()
        self._advance_to(end)
        await _turns()

    def _next(self) -> float | None:
        while self._timers and self._timers[0][2].cancelled:
            heapq.heappop(self._timers)
        return self._timers[0][0] if self._timers else None

    def _advance_to(self, end: float) -> None:
        while (when := self._next()) is not None and when <= end:
            self._now = max(self._now, when)
            timer = heapq.heappop(self._timers)[2]
            timer.callback()
        self._now = max(self._now, end)


def _finish(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class _FakeTimeout:
    """asyncio.timeout on a FakeClock."""

    def __init__(self, clock: FakeClock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._fired = False
        self._timer: _FakeTimer | asyncio.Handle | None = None

    async def __aenter__(self) -> _FakeTimeout:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a timeout needs a task")
        self._task = task
        self._cancelling = task.cancelling()
        if self._seconds is not None and self._seconds <= 0:
            self._timer = asyncio.get_running_loop().call_soon(self._fire)
        elif self._seconds is not None:
            self._timer = self._clock.call_later(self._seconds, self._fire)
        return self

    def _fire(self) -> None:
        self._fired = True
        self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # As asyncio.Timeout does: a cancellation from elsewhere stays one.
        if self._fired and self._task.uncancel() <= self._cancelling and kind is asyncio.CancelledError:
            raise TimeoutError from error
