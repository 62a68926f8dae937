"""When what is not young is looked at for garbage."""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Iterator

import pytest

from penstock.server.collector import LEAST_SECONDS, WORTH, YOUNG, Collector, settle_collector
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
    gc.unfreeze()


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
    for _ in range(3):
        knot = Knot()
        kept = grow(WORTH)
        del knot
        clock.advance(LEAST_SECONDS - 1)
        assert not collector.look(calm=False)
        clock.advance(1)
        assert collector.look(calm=False)
        assert knots() == 0
        assert kept


class SlowClock(FakeClock):
    """One by which every look takes two seconds."""

    def monotonic(self) -> float:
        self.advance(1)
        return super().monotonic()


@pytest.mark.usefixtures("attended")
def test_one_that_takes_long_comes_seldom() -> None:
    clock = SlowClock()
    collector = Collector(clock)
    clock.advance(LEAST_SECONDS)
    kept = grow(WORTH)
    assert collector.look(calm=False)
    kept += grow(WORTH)
    clock.advance(10 * LEAST_SECONDS // 2)
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
