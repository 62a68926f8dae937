"""The clocks of the test kit keep the promises of penstock.clock."""

from __future__ import annotations

import asyncio

import pytest

from penstock.clock import Clock, Random, uuid7
from penstock.testing import FakeClock, SeededRandom, SimClock, SimLoop, run


def test_a_sim_clock_is_the_loops_time() -> None:
    async def main(loop: SimLoop) -> None:
        clock: Clock = SimClock(loop)
        begun, day = clock.monotonic(), clock.wall()
        assert day == 1_767_225_600.0
        await clock.sleep(5)
        assert (clock.monotonic() - begun, clock.wall() - day) == (5, 5)
        with pytest.raises(TimeoutError):
            async with clock.timeout(3):
                await clock.sleep(4)
        rang = []
        clock.call_later(1, lambda: rang.append(clock.monotonic() - begun))
        clock.call_later(1, lambda: rang.append(0)).cancel()
        await clock.sleep(2)
        assert rang == [9]

    run(main, leak_free=True)


def test_advance_runs_what_is_due_in_order() -> None:
    clock = FakeClock()
    rang: list[tuple[str, float]] = []
    clock.call_later(2, lambda: rang.append(("b", clock.monotonic())))
    clock.call_later(1, lambda: rang.append(("a", clock.monotonic())))
    clock.call_later(2, lambda: rang.append(("c", clock.monotonic())))
    clock.call_later(1.5, lambda: rang.append(("never", 0))).cancel()
    assert clock.pending == 3
    clock.advance(1.9)
    assert rang == [("a", 1001)]
    clock.advance(0.2)
    assert rang == [("a", 1001), ("b", 1002), ("c", 1002)]
    assert clock.monotonic() == pytest.approx(1002.1)
    assert clock.wall() == pytest.approx(1_767_225_602.1)
    assert clock.pending == 0


def test_a_fake_sleep_waits_for_advance() -> None:
    async def main() -> None:
        clock: FakeClock = FakeClock()
        task = asyncio.create_task(clock.sleep(10))
        await asyncio.sleep(0)
        clock.advance(9.9)
        await asyncio.sleep(0)
        assert not task.done()
        clock.advance(0.1)
        await task
        await clock.sleep(0)
        cancelled = asyncio.create_task(clock.sleep(10))
        await asyncio.sleep(0)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert clock.pending == 0

    asyncio.run(main())


def test_elapse_lets_tasks_set_new_timers() -> None:
    async def main() -> None:
        clock = FakeClock()
        moments = []

        async def thrice() -> None:
            for _ in range(3):
                await clock.sleep(1)
                moments.append(clock.monotonic())

        task = asyncio.create_task(thrice())
        await clock.elapse(3)
        assert moments == [1001, 1002, 1003]
        assert task.done()
        await clock.elapse(0.5)
        assert clock.monotonic() == 1003.5

    asyncio.run(main())


def test_a_fake_timeout() -> None:
    async def main() -> None:
        clock = FakeClock()

        async def patient(seconds: float | None) -> str:
            try:
                async with clock.timeout(seconds):
                    await asyncio.Event().wait()
            except TimeoutError:
                task = asyncio.current_task()
                assert task is not None
                assert task.cancelling() == 0
                return "timed out"
            return "never"

        for seconds in (5.0, 0.0, -1.0):
            task = asyncio.create_task(patient(seconds))
            await clock.elapse(max(0.0, seconds))
            assert await task == "timed out"
        for unfired in (5.0, None):
            task = asyncio.create_task(patient(unfired))
            await clock.elapse(4)
            assert not task.done()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        async with clock.timeout(5):
            assert clock.pending == 1
        assert clock.pending == 0

    asyncio.run(main())


def test_a_cancellation_from_elsewhere_wins_over_a_fake_timeout() -> None:
    async def main() -> None:
        clock = FakeClock()

        async def waits() -> None:
            async with clock.timeout(5):
                await asyncio.Event().wait()

        task = asyncio.create_task(waits())
        await asyncio.sleep(0)
        task.cancel()
        clock.advance(5)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_seeded_chance_and_time_give_the_same_ids() -> None:
    first: Random = SeededRandom(1)
    ids = [uuid7(FakeClock(), first), uuid7(FakeClock(), SeededRandom(1)), uuid7(FakeClock(), SeededRandom(2))]
    assert ids[0] == ids[1] != ids[2]
