"""A rate by GCRA: against its textbook form in fractions, and that whoever waits as long as told is admitted."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from penstock.reservation import Rule
from penstock.stores.gcra import Gcra

SECOND = 1_000_000_000


def rule(limit: int, seconds: int = 60, burst: int = 0) -> Rule:
    return Rule("r", "key", "burst", "tokens", limit, seconds=seconds, burst=burst)


class Textbook:
    """`TAT' = max(now, TAT) + n * T`, admitted iff `TAT' - now <= tau`, in exact fractions."""

    def __init__(self, limit: int, seconds: int, burst: int) -> None:
        self.t = Fraction(seconds * SECOND, limit)
        self.tau = burst * self.t
        self.tat = Fraction(0)

    def admit(self, amount: int, now: int) -> bool:
        tat = max(Fraction(now), self.tat) + amount * self.t
        if tat - now > self.tau:
            return False
        self.tat = tat
        return True

    def give(self, amount: int, now: int) -> None:
        """It takes effect only while TAT > now."""
        if self.tat > now:
            self.tat = max(Fraction(now), self.tat - amount * self.t)


steps = st.lists(
    st.tuples(st.sampled_from(["take", "give"]), st.integers(0, 90), st.integers(0, 90 * SECOND)), max_size=40
)


@given(st.integers(1, 100), st.integers(1, 3600), st.integers(1, 100), steps)
def test_it_is_the_textbooks(limit: int, seconds: int, burst: int, steps: list[tuple[str, int, int]]) -> None:
    now = 5 * SECOND
    ours, book = Gcra(rule(limit, seconds, burst), now), Textbook(limit, seconds, burst)
    for what, amount, pause in steps:
        now += pause
        if what == "take":
            admitted = ours.left(now) >= amount
            assert admitted == (ours.wait(amount, now) == 0)
            assert admitted == book.admit(amount, now)
            if admitted:
                ours.take(amount, now)
        else:
            ours.give(amount, now)
            book.give(amount, now)


def test_who_waits_as_long_as_told_alone_is_admitted() -> None:
    random = Random(7)
    told = 0
    while told < 10_000:
        burst = random.randint(1, 1000)
        now = random.randint(0, 10**15)
        ours = Gcra(rule(random.randint(1, 10**6), random.randint(1, 86_400), burst), now)
        for _ in range(random.randint(1, 5)):
            now += random.randint(0, SECOND)
            ours.take(random.randint(0, burst), now)
        amount = random.randint(1, burst)
        wait = ours.wait(amount, now)
        assert wait is not None
        if wait:
            told += 1
            assert ours.left(now + wait - 1) < amount, "and not a nanosecond longer than it must"
            assert ours.left(now + wait) >= amount
            assert ours.wait(amount, now + wait) == 0


def test_more_than_there_ever_is_is_never_had() -> None:
    ours = Gcra(rule(600, burst=10), 0)
    assert ours.wait(11, 0) is None
    assert ours.wait(10, 0) == 0


def test_in_the_worst_minute_the_burst_and_the_limit() -> None:
    ours, admitted = Gcra(rule(60), 0), 0
    for now in range(0, 60 * SECOND, SECOND // 10):
        if ours.left(now) >= 1:
            ours.take(1, now)
            admitted += 1
    assert admitted == 60 + 59


def test_a_changed_limit_goes_on_with_what_was_taken() -> None:
    ours = Gcra(rule(100), 0)
    ours.take(80, 0)
    ours.adopt(rule(200), 0)
    assert ours.left(0) == 120
    ours.adopt(rule(50), 0)
    assert ours.left(0) == -30
    assert ours.wait(1, 0) == 31 * 60 * SECOND // 50
    ours.adopt(rule(100, seconds=3600), 0)
    assert ours.left(0) == 20


def test_more_than_was_there_is_owed() -> None:
    ours = Gcra(rule(60), 0)
    ours.take(90, 0)
    assert ours.left(0) == -30
    assert ours.wait(1, 0) == 31 * SECOND
    assert ours.resets(0) == 90 * SECOND


def test_a_clock_that_goes_back_gives_nothing() -> None:
    ours = Gcra(rule(60), 10 * SECOND)
    ours.take(60, 10 * SECOND)
    assert ours.left(5 * SECOND) == 0
    assert ours.left(11 * SECOND) == 1


def test_what_comes_evenly_comes_one_by_one() -> None:
    """`leaky` without a burst: each has its turn when time has made up for the last, however much that was."""
    ours = Gcra(Rule("r", "key", "leaky", "tokens", 600, seconds=60), 0)
    ours.take(300, 0)
    assert ours.left(0) == 0
    assert ours.wait(1, 0) == 30 * SECOND
    assert ours.wait(600, 0) == 30 * SECOND
    assert ours.wait(601, 0) is None
    ours.give(100, 0)
    assert ours.wait(1, 0) == 20 * SECOND
    assert (ours.left(20 * SECOND - 1), ours.left(20 * SECOND)) == (0, 600)


@given(st.integers(1, 600), st.lists(st.tuples(st.integers(1, 50), st.integers(0, SECOND)), max_size=40))
def test_what_comes_evenly_is_never_faster_than_its_rate(limit: int, calls: list[tuple[int, int]]) -> None:
    ours, now, free = Gcra(Rule("r", "key", "leaky", "tokens", limit, seconds=1), 0), 0, Fraction(0)
    for amount, pause in calls:
        now += pause
        if amount <= limit and ours.left(now) >= amount:
            assert now >= free
            ours.take(amount, now)
            free = now + Fraction(amount * SECOND, limit)
        elif amount <= limit:
            assert now < free
