"""Cancellation at every await: the same scenario under SimLoop, again and again, cancelled one suspension later.
And failure at every input or output: again and again, with the network failing one operation later.

Each suspension is cancelled twice: while it waits, and just as it wakes up, when its result is there but not yet
taken. The second is where permits and connections get lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import partial
from typing import Any

from penstock.testing.simloop import SimLoop, run
from penstock.transport.link import Failure, Faults

__all__ = ["Cancel", "Failing", "sweep_cancellations", "sweep_failures", "sweep_scenario"]


Scenario = Callable[[SimLoop, "Cancel"], Coroutine[Any, Any, object]]


class Cancel:
    """Runs a coroutine in a task of its own and cancels it at one suspension.

    Args:
        step: which suspension, counted from 1.
        waking: cancel when what it waits for is ready, instead of at once.

    Attributes:
        steps: suspensions seen.
        hit: whether the cancellation took place.
    """

    def __init__(self, step: int, *, waking: bool) -> None:
        self.step = step
        self.waking = waking
        self.steps = 0
        self.hit = False

    async def __call__(self, coro: Coroutine[Any, Any, object]) -> object:
        """The coroutine's result, or None if it was cancelled. Raises what it raises, and AssertionError if it
        swallowed the cancellation."""
        task = asyncio.get_running_loop().create_task(self._drive(coro))
        await asyncio.wait([task])
        if task.cancelled():
            return None
        result = task.result()
        if self.hit:
            raise AssertionError("the cancellation was swallowed")
        return result

    async def _drive(self, coro: Coroutine[Any, Any, object]) -> object:
        return await _Steps(coro, self)

    def suspend(self, future: Any) -> None:
        """The coroutine is about to wait for `future` (None: for the loop's next turn)."""
        self.steps += 1
        task = asyncio.current_task()
        if self.steps != self.step or task is None:
            return
        if self.waking and future is not None:
            # Called before the task's own callback, which is added once the future has been yielded to it.
            future.add_done_callback(lambda _: self._cancel(task))
        else:
            # From within itself: the task cancels what it waits for as soon as it has it.
            self._cancel(task)

    def _cancel(self, task: asyncio.Task[Any]) -> None:
        self.hit = task.cancel()


class _Steps:
    """Awaits a coroutine and tells `Cancel` of each suspension."""

    def __init__(self, coro: Coroutine[Any, Any, object], cancel: Cancel) -> None:
        self._coro = coro
        self._cancel = cancel

    def __await__(self) -> Generator[Any, Any, object]:
        advance: Callable[[Any], Any] = self._coro.send
        argument: BaseException | None = None
        while True:
            try:
                future = advance(argument)
            except StopIteration as stop:
                return stop.value
            self._cancel.suspend(future)
            try:
                yield future
            except BaseException as error:  # noqa: BLE001 - all of it is the coroutine's
                advance, argument = self._coro.throw, error
            else:
                advance, argument = self._coro.send, None


def _run_scenario(scenario: Scenario, cancel: Cancel, seed: int, faults: Faults | None) -> None:
    run(lambda loop: scenario(loop, cancel), seed, faults=faults, leak_free=True)


def sweep_scenario(
    scenario: Scenario,
    *,
    seed: int = 0,
    faults: Faults | None = None,
    most: int = 2_000,
) -> int:
    """Run `scenario(loop, cancel)` until the coroutine it gives to `await cancel(...)` is no longer cancelled.

    The scenario sets up, runs the code under test as `await cancel(coro)`, takes down, and asserts what it likes.
    After each run nothing may have leaked, and no error may have reached the loop's exception handler.

    Args:
        most: suspensions after which it gives up (AssertionError).

    Returns:
        How many suspensions the code under test has, all of which were cancelled in both ways.

    Raises:
        whatever a run raises, with a note that says where it was cancelled.
    """
    for step in range(1, most + 2):
        for waking in (False, True):
            cancel = Cancel(step, waking=waking)
            try:
                _run_scenario(scenario, cancel, seed, faults)
            except Exception as error:
                error.add_note(f"cancelled at suspension {step}, {'waking up' if waking else 'waiting'}; seed {seed}")
                raise
            if cancel.steps < step:
                return step - 1
    raise AssertionError(f"not done after {most} suspensions")


def sweep_cancellations(
    make: Callable[[], Coroutine[Any, Any, object]],
    *,
    check: Callable[[SimLoop], Awaitable[object]] | None = None,
    seed: int = 0,
    faults: Faults | None = None,
    most: int = 2_000,
) -> int:
    """Cancel `make()` at every suspension, as `sweep_scenario`; `check(loop)` is awaited after each run."""

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        await cancel(make())
        if check is not None:
            await check(loop)

    return sweep_scenario(scenario, seed=seed, faults=faults, most=most)


class Failing:
    """Has one operation of the network fail.

    Args:
        number: which, counted from 1.
        how: `reset`, which is told at once, or `vanish`, after which nothing comes.

    Attributes:
        seen: how many there were of each kind: "resolve", "connect", "send", "receive".
        hit: the kind of the one that failed; "" while none has.
    """

    def __init__(self, number: int, how: Failure) -> None:
        self.number = number
        self.how = how
        self.seen: Counter[str] = Counter()
        self.hit = ""

    def __call__(self, operation: str) -> Failure | None:
        """Count this operation; whether it is the one."""
        self.seen[operation] += 1
        if self.seen.total() != self.number:
            return None
        self.hit = operation
        return self.how


def sweep_failures(
    scenario: Callable[[SimLoop], Coroutine[Any, Any, object]], *, seed: int = 0, most: int = 5_000
) -> Counter[str]:
    """Run `scenario(loop)` until the network has had each of its operations fail once, in both ways.

    The scenario asserts what must hold whatever fails. After each run nothing may have leaked, and no error may have
    reached the loop's exception handler.

    Args:
        most: operations after which it gives up (AssertionError).

    Returns:
        How many failed of each kind.

    Raises:
        whatever a run raises, with a note that says what failed.
    """
    failed: Counter[str] = Counter()
    for how in ("reset", "vanish"):
        for number in range(1, most + 1):
            failing = Failing(number, how)
            try:
                run(partial(_play, scenario, failing), seed, leak_free=True)
            except Exception as error:
                error.add_note(f"operation {number}, a {failing.hit or 'missing one'}, failed by {how}; seed {seed}")
                raise
            if not failing.hit:
                break
            failed[failing.hit] += 1
        else:
            raise AssertionError(f"not done after {most} operations")
    return failed


async def _play(scenario: Callable[[SimLoop], Coroutine[Any, Any, object]], failing: Failing, loop: SimLoop) -> None:
    loop.network.fail_by(failing)
    await scenario(loop)
