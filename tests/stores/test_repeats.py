"""Who asks the same again and again, and calls that a budget's pressure slows down."""

from __future__ import annotations

import pytest

from penstock.stores.pacer import LONGEST_SECONDS, MOST, Pacer
from penstock.stores.repeats import MOST as MOST_PROMPTS
from penstock.stores.repeats import Repeats


def test_the_same_so_often_at_once_and_then_slowly() -> None:
    repeats = Repeats(20, 60.0)
    waits = [repeats.asked(("key", b"prompt"), 1000.0 + number / 10) for number in range(40)]
    assert waits[:20] == [0.0] * 20
    assert waits[20] == pytest.approx(1.0)
    assert all(wait > 0 for wait in waits[20:30])
    # A loop goes on at one every three seconds.
    later = [repeats.asked(("key", b"prompt"), 1100.0 + number / 10) == 0.0 for number in range(3000)]
    assert sum(later[600:]) == pytest.approx(80, abs=1)


def test_who_waits_as_long_as_it_is_told_may_ask() -> None:
    repeats = Repeats(3, 10.0)
    now = 5.0
    for _ in range(100):
        wait = repeats.asked("p", now)
        if wait:
            now += wait
            assert repeats.asked("p", now) == 0.0
        now += 0.5


def test_other_callers_and_other_prompts_are_others() -> None:
    repeats = Repeats(2, 60.0)
    for what in (("a", b"x"), ("a", b"y"), ("b", b"x"), ("a", b"x", b"")):
        assert [repeats.asked(what, 1.0) > 0 for _ in range(3)] == [False, False, True]


def test_it_is_told_once_in_the_time() -> None:
    repeats = Repeats(1, 60.0)
    repeats.asked("p", 1.0)
    told = []
    for second in range(150):
        if repeats.asked("p", 2.0 + second):
            told.append(repeats.news("p", 2.0 + second))
    assert told.count(True) == 3


def test_what_is_remembered_is_bounded_and_the_oldest_go_first() -> None:
    repeats = Repeats(1, 60.0)
    for number in range(MOST_PROMPTS + 5):
        repeats.asked(number, 1.0)
    assert repr(repeats) == f"<Repeats {MOST_PROMPTS} prompts>"
    assert repeats.asked(MOST_PROMPTS, 1.0) > 0
    assert repeats.asked(0, 1.0) == 0.0


# --- the pacer


def test_calls_come_as_they_would_where_nothing_is_short() -> None:
    pacer = Pacer()
    assert all(pacer.came("a", 0.0, 1.0 + number / 100) == 0.0 for number in range(1000))


def test_a_part_of_the_usual_rate_whatever_else_comes() -> None:
    """Those that are refused come again, ten times as many: no more are let through for that."""
    pacer, now = Pacer(), 0.0
    while now < 200:
        pacer.came("a", 0.0, now)
        now += 0.5
    went, began = 0, now
    while now < began + 600:
        went += pacer.came("a", 0.75, now) <= LONGEST_SECONDS
        now += 0.05
    assert went / 600 == pytest.approx(2 * 0.25, rel=0.1)


def test_where_fewer_come_it_follows_slowly() -> None:
    pacer, now = Pacer(), 0.0
    while now < 200:
        pacer.came("a", 0.0, now)
        now += 0.1
    while now < 2000:
        pacer.came("a", 0.5, now)
        now += 1.0
    flow = pacer._flows["a"]
    assert flow.usual == pytest.approx(1.0, rel=0.2)


def test_accounts_are_bounded() -> None:
    pacer = Pacer()
    for number in range(MOST + 10):
        pacer.came(str(number), 0.0, 1.0)
    assert repr(pacer) == f"<Pacer of {MOST} accounts>"
