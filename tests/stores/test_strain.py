"""When a process has more to do than it can, and who is refused then."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from penstock.stores.strain import TICK_SECONDS, Strain
from penstock.testing import SimLoop, run


class Hurried:
    """A clock whose timers come late by so much."""

    def __init__(self, loop: SimLoop) -> None:
        self._clock = loop.clock
        self.late = 0.0

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Any:
        return self._clock.call_later(seconds + self.late, callback)


class Scene:
    """A process that has a request every 50 ms."""

    def __init__(self, loop: SimLoop, lag: float | None = 0.1, memory: float = 0.0) -> None:
        self.loop = loop
        self.clock = Hurried(loop)
        self.memory = memory
        self.strain = Strain(self.clock, lag, lambda: self.memory)  # type: ignore[arg-type]

    async def go_on(self, seconds: float, late: float | None = None) -> float:
        if late is not None:
            self.clock.late = late
        until = self.loop.time() + seconds
        while self.loop.time() < until:
            self.strain.watch()
            await self.loop.clock.sleep(0.05)
        return self.strain.level

    async def end(self) -> None:
        """Nobody comes any more, and nothing is late."""
        self.clock.late = 0.0
        self.memory = 0.0
        await self.loop.clock.sleep(10)
        assert self.strain.level == 0.0

    def refused(self, rank: int, of: int = 1000) -> int:
        return sum(self.strain.sheds(rank) for _ in range(of))


def test_a_calm_process_refuses_nobody() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        assert await scene.go_on(60, late=0.09) == 0.0
        assert [scene.refused(rank) for rank in range(5)] == [0] * 5
        assert not any(scene.strain.shuts_out(rank) for rank in range(5))

    run(main, leak_free=True)


def test_what_is_late_once_has_had_one_large_thing_to_do() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        for _ in range(20):
            assert await scene.go_on(0.6, late=5.0) == 0.0
            assert await scene.go_on(6.0, late=0.0) == 0.0

    run(main, leak_free=True)


def test_a_loop_whose_turns_are_long_is_late_though_some_looks_are_lucky() -> None:
    """A timer's moment falls anywhere in a turn of the loop: of turns of 300 ms it is found late by 0 to 300 ms."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        for number in range(60):
            await scene.go_on(0.3, late=(number * 0.618) % 1 * 0.3)
        assert scene.strain.level > 1.0
        await scene.end()
        for number in range(60):
            await scene.go_on(0.1, late=(number * 0.618) % 1 * 0.1)
        assert scene.strain.level == 0.0
        await scene.end()

    run(main, leak_free=True)


def test_what_lasts_refuses_the_least_urgent_first_and_the_most_urgent_never() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        level = await scene.go_on(1.6, late=0.2)
        assert 0.0 < level < 1.5
        await scene.go_on(60)
        assert scene.strain.level == 4.0
        assert [scene.refused(rank) for rank in range(5)] == [0, 1000, 1000, 1000, 1000]
        assert [scene.strain.shuts_out(rank) for rank in range(5)] == [False, True, True, True, True]
        await scene.end()

    run(main, leak_free=True)


@pytest.mark.parametrize(("level", "refused"), [(0.3, [0, 0, 0, 0, 300]), (2.25, [0, 0, 250, 1000, 1000])])
def test_of_the_next_rank_that_part_is_refused_spread_evenly(level: float, refused: list[int]) -> None:
    async def main(loop: SimLoop) -> None:
        strain = Scene(loop).strain
        strain.level = level
        told = [sum(strain.sheds(rank) for _ in range(1000)) for rank in range(5)]
        assert told == pytest.approx(refused, abs=1)
        row = [strain.sheds(2) for _ in range(8)]
        assert row.count(True) == (2 if level > 2 else 0)

    run(main)


def test_it_lets_all_in_again_soon_after() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        await scene.go_on(30, late=0.3)
        assert await scene.go_on(3.5, late=0.0) == 0.0

    run(main, leak_free=True)


def test_a_process_without_requests_measures_nothing() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        await scene.go_on(30, late=0.3)
        await scene.end()
        assert scene.strain._timer is None

    run(main, leak_free=True)


def test_rest_ends_it_at_once() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop)
        await scene.go_on(30, late=0.3)
        scene.strain.rest()
        assert (scene.strain.level, scene.strain._timer) == (0.0, None)

    run(main, leak_free=True)


@pytest.mark.parametrize(("memory", "level"), [(0.5, 0.0), (0.9, 0.0), (0.935, 2.0), (0.97, 4.0), (1.2, 4.0)])
def test_as_memory_runs_out_the_least_urgent_are_refused(memory: float, level: float) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, lag=None, memory=memory)
        assert await scene.go_on(3) == pytest.approx(level)
        scene.memory = 0.2
        await scene.go_on(1 + 2 * TICK_SECONDS)
        assert scene.strain.level == 0.0

    run(main, leak_free=True)


def test_where_the_loops_delay_is_not_looked_at_it_does_not_count() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, lag=None)
        assert await scene.go_on(30, late=1.0) == 0.0
        await scene.end()

    run(main, leak_free=True)


def test_those_refused_do_not_all_come_again_together() -> None:
    async def main(loop: SimLoop) -> None:
        strain = Scene(loop).strain
        assert sorted(strain.wait() for _ in range(6)) == [1.0, 1.0, 2.0, 2.0, 3.0, 3.0]
        assert repr(strain) == "<Strain 0.00, 0 ms late, 0% of memory>"

    run(main)
