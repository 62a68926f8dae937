"""An asyncio loop whose time is a number: it waits for nothing and jumps to the next timer.

It keeps asyncio's promise that `call_soon` callbacks run in the order they were given. What came from outside at
one moment (deliveries, timers due together) has no promised order, so there a seed may choose it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from itertools import count
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack
from weakref import WeakSet

__all__ = ["SimDeadlock", "SimTimeout", "VirtualTimeLoop"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_START = 1000.0
_COMPACT = 256  # cancelled timers that may lie in the heap before it is rebuilt


class SimDeadlock(RuntimeError):
    """The loop has nothing left to do, and what it runs is not done. Names the pending tasks and where they wait."""


class SimTimeout(RuntimeError):
    """More callbacks or more virtual time than the run was given. Names the pending tasks and where they wait."""


class _SimTask(asyncio.Task[T]):
    """A task whose hash is its number, so that sets of tasks (a TaskGroup's, say) have the same order in every run."""

    def __init__(self, coro: Coroutine[Any, Any, T], number: int, **options: Any) -> None:
        self._number = number
        super().__init__(coro, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualTimeLoop(asyncio.BaseEventLoop):
    """Time begins at 1000.0 seconds and stands still while there is anything to run.

    Args:
        random: chooses the order of deliveries and timers of one moment; None keeps the order they came in.
        max_steps: callbacks after which SimTimeout is raised.
        max_seconds: virtual seconds after which SimTimeout is raised.
    """

    _ready: deque[asyncio.Handle]  # BaseEventLoop's own: what call_soon was given

    def __init__(
        self, random: Random | None = None, *, max_steps: int = 5_000_000, max_seconds: float = 86_400.0
    ) -> None:
        super().__init__()
        self._now = _START
        self._random = random
        self._max_steps = max_steps
        self._max_seconds = max_seconds
        self.renew_limits()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._timer_numbers = count()
        self._task_numbers = count(1)
        self._cancelled_timers = 0
        self._tasks: WeakSet[asyncio.Task[Any]] = WeakSet()
        self._arrived: list[asyncio.Handle] = []
        self._settling: list[asyncio.Future[None]] = []

    def renew_limits(self) -> None:
        """Count steps and seconds from here."""
        self._steps_left = self._max_steps
        self._deadline = self._now + self._max_seconds

    def time(self) -> float:
        return self._now

    def create_task(
        self, coro: Any, *, name: object = None, context: Context | None = None, **options: Any
    ) -> asyncio.Task[Any]:
        number = next(self._task_numbers)
        name = f"task-{number}" if name is None else str(name)
        task = _SimTask(coro, number, loop=self, name=name, context=context, **options)
        self._tasks.add(task)
        return task

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if self.is_closed():
            raise RuntimeError("Event loop is closed")
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._timer_numbers), timer))
        return timer

    def call_from_outside(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        """Like `call_soon`, but without its promise of order: for what a real loop would learn from its selector."""
        handle = asyncio.Handle(callback, args, self, context)
        self._arrived.append(handle)
        return handle

    async def settle(self) -> None:
        """Wait until nothing can run any more at this moment; time does not pass."""
        waiter: asyncio.Future[None] = self.create_future()
        self._settling.append(waiter)
        await waiter

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Timers that will run, the next one first."""
        return [timer for _, _, timer in sorted(self._timers) if not timer.cancelled()]

    def pending_tasks(self) -> list[asyncio.Task[Any]]:
        """Tasks that are not done, oldest first, without the one that asks."""
        me = asyncio.current_task() if self.is_running() else None
        return sorted((task for task in self._tasks if not task.done() and task is not me), key=hash)

    def failed_tasks(self) -> list[asyncio.Task[Any]]:
        """Tasks that raised and whose exception nobody has fetched; asyncio would say so once they are collected."""
        return sorted(
            (task for task in self._tasks if task.done() and getattr(task, "_log_traceback", False)), key=hash
        )

    def _run_once(self) -> None:
        """BaseEventLoop's turn, which `run_forever` repeats."""
        if not self._ready and not self._arrived:
            self._wait()
        self._collect()
        ready = self._ready
        turns = len(ready)
        self._steps_left -= turns
        if self._steps_left < 0:
            raise SimTimeout(f"{self._max_steps} callbacks ran without an end: {self._waiting()}")
        for _ in range(turns):
            handle = ready.popleft()
            if not handle.cancelled():
                handle._run()

    def _wait(self) -> None:
        """What a selector would do: sleep until the next timer."""
        if self._settling:
            settling, self._settling = self._settling, []
            for waiter in settling:
                if not waiter.done():
                    waiter.set_result(None)
            return
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise SimDeadlock(f"nothing is scheduled, and these wait: {self._waiting()}")
        self._now = max(self._now, self._timers[0][0])
        if self._now > self._deadline:
            raise SimTimeout(f"{self._max_seconds:g} virtual seconds passed without an end: {self._waiting()}")

    def _collect(self) -> None:
        """Move deliveries and due timers to the ready queue, in an order that chance may choose."""
        batch, timers = self._arrived, self._timers
        if timers and timers[0][0] <= self._now:
            while timers and timers[0][0] <= self._now:
                batch.append(heapq.heappop(timers)[2])
        if batch:
            if self._random is not None and len(batch) > 1:
                self._random.shuffle(batch)
            self._ready.extend(batch)
            self._arrived = []

    def _waiting(self) -> str:
        return "; ".join(describe_task(task) for task in self.pending_tasks()) or "no task"

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """BaseEventLoop's hook. Rebuilds the heap now and then, for idle timeouts are mostly cancelled."""
        self._cancelled_timers += 1
        if self._cancelled_timers > max(_COMPACT, len(self._timers) // 2):
            self._cancelled_timers = 0
            self._timers[:] = [entry for entry in self._timers if not entry[2].cancelled()]
            heapq.heapify(self._timers)

    def _process_events(self, event_list: object) -> None:
        """BaseEventLoop's hook for sockets, of which there are none."""

    def _write_to_self(self) -> None:
        """BaseEventLoop's hook to wake a selector from another thread."""


def describe_task(task: asyncio.Task[Any]) -> str:
    """The task's name and the innermost line at which it waits."""
    inner: Any = task.get_coro()
    while True:
        frame = getattr(inner, "cr_frame", None) or getattr(inner, "ag_frame", None)
        deeper = getattr(inner, "cr_await", None) or getattr(inner, "ag_await", None)
        if not (getattr(deeper, "cr_frame", None) or getattr(deeper, "ag_frame", None)):
            break
        inner = deeper
    if frame is None:
        return task.get_name()
    file = frame.f_code.co_filename.rpartition("/")[2]
    return f"{task.get_name()} at {file}:{frame.f_lineno} in {frame.f_code.co_qualname}"
