"""When what is not young is looked at for garbage."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator

import pytest

from penstock.server.collector import (
    FIRST_SECONDS,
    LEAST_SECONDS,
    MOST_SECONDS,
    MUCH,
    WORTH,
    YOUNG,
    Collector,
    settle_collector,
)
from penstock.testing import FakeClock

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 14), reason="its collector goes in steps of its own")


class Knot:
    """What only a look at its generation finds."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def attended() -> Iterator[None]:
    before = gc.get_threshold()
    settle_collector(attended=True)
    yield
    gc.set_threshold(*before)


def grow(looks: int) -> list[list[int]]:
    """Live on, until the youngest were looked at so often."""
    kept: list[list[int]] = []
    until = gc.get_count()[1] + looks
    while gc.get_count()[1] < until:
        kept.append([])
    return kept


def knots() -> int:
    return sum(type(each) is Knot for each in gc.get_objects())


@pytest.mark.usefixtures("attended")
def test_the_young_are_looked_at_few_at_a_time_and_the_others_never_by_themselves() -> None:
    seen: list[int] = []

    def told(phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            seen.append(info["generation"])

    gc.callbacks.append(told)
    try:
        kept = grow(3 * WORTH)
    finally:
        gc.callbacks.remove(told)
    assert len(kept) <= (3 * WORTH + 1) * (YOUNG + 1)
    assert set(seen) == {0}


@pytest.mark.usefixtures("attended")
def test_the_others_are_looked_at_once_it_is_calm() -> None:
    clock = FakeClock()
    collector = Collector(clock)
    assert not collector.look(calm=True), "there is nothing worth it"
    knot = Knot()
    kept = grow(WORTH)
    del knot
    assert not collector.look(calm=False)
    assert knots() == 1
    assert collector.look(calm=True)
    assert knots() == 0
    assert not collector.look(calm=True), "it has just been"
    assert kept


@pytest.mark.usefixtures("attended")
def test_the_others_are_looked_at_in_the_end_though_it_is_never_calm() -> None:
    clock = FakeClock()
    collector = Collector(clock)
    for pause in (FIRST_SECONDS, 2 * FIRST_SECONDS, 4 * FIRST_SECONDS, MOST_SECONDS, MOST_SECONDS):
        knot = Knot()
        kept = grow(WORTH)
        del knot
        clock.advance(pause - 1)
        assert not collector.look(calm=False)
        clock.advance(1)
        assert collector.look(calm=False), "later and later, as it finds little"
        assert knots() == 0
        assert kept
    many = [Knot() for _ in range(MUCH)]
    kept = grow(WORTH)
    del many
    clock.advance(MOST_SECONDS)
    assert collector.look(calm=False)
    kept += grow(WORTH)
    clock.advance(LEAST_SECONDS)
    assert collector.look(calm=False), "soon again, as it found much"


class SlowClock(FakeClock):
    """One by which every look takes two seconds."""

    def monotonic(self) -> float:
        self.advance(1)
        return super().monotonic()


@pytest.mark.usefixtures("attended")
def test_one_that_takes_long_comes_seldom() -> None:
    clock = SlowClock()
    collector = Collector(clock)
    clock.advance(FIRST_SECONDS)
    many = [Knot() for _ in range(MUCH)]
    kept = grow(WORTH)
    del many
    assert collector.look(calm=False), "it finds much"
    kept += grow(WORTH)
    clock.advance(5 * LEAST_SECONDS)
    assert not collector.look(calm=False), json.dumps(gc.get_count())
    clock.advance(10 * LEAST_SECONDS)
    assert collector.look(calm=False)


def test_where_nobody_looks_after_them_it_goes_as_usual() -> None:
    before = gc.get_threshold()
    try:
        settle_collector(attended=False)
        assert gc.get_threshold()[1:] == (10, 10)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
