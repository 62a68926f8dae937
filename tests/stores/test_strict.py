"""A strict limit: no window of its length ever has more, wherever it begins; and who waits as told is admitted."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.reservation import Rule
from penstock.stores.strict import Strict

SECOND = 1_000_000_000


def rule(limit: int, seconds: int = 60) -> Rule:
    return Rule("r", "key", "strict", "tokens", limit, seconds=seconds)


def worst(taken: list[tuple[int, int]], span: int) -> int:
    """The most that lies in any half-open window of that length; one that ends with something taken is the worst."""
    return max((sum(n for at, n in taken if end - span < at <= end) for end, _ in taken), default=0)


@given(st.integers(1, 50), st.sampled_from([1, 7, 60, 3600]), st.data())
@settings(max_examples=60)
def test_no_window_has_more_than_the_limit(limit: int, seconds: int, data: st.DataObject) -> None:
    log, now, taken = Strict(rule(limit, seconds), 0), 3, []
    part = seconds * SECOND // 60
    for _ in range(60):
        # As an adversary would: at the edges of buckets, and a moment before and after.
        now += data.draw(st.sampled_from([0, 1, part - 1, part, part + 1, 30 * part, 59 * part, 60 * part]))
        amount = data.draw(st.integers(1, limit))
        if log.left(now) >= amount:
            bucket = log.take(amount, now)
            actual = data.draw(st.integers(0, amount))
            log.give(amount - actual, bucket, now)
            taken.append((now, actual))
    assert worst(taken, seconds * SECOND) <= limit


@pytest.mark.parametrize("seconds", [1, 60, 3600])
def test_who_waits_as_long_as_told_alone_is_admitted(seconds: int) -> None:
    random = Random(seconds)
    told = 0
    while told < 3400:
        limit = random.randint(1, 1000)
        now = random.randint(0, 10**15)
        log = Strict(rule(limit, seconds), now)
        for _ in range(random.randint(1, 6)):
            now += random.randint(0, seconds * SECOND // 4)
            log.take(random.randint(0, max(0, log.left(now))), now)
        amount = random.randint(1, limit)
        wait = log.wait(amount, now)
        assert wait is not None
        assert (wait == 0) == (log.left(now) >= amount)
        if wait:
            told += 1
            assert log.left(now + wait - 1) < amount, "and not a nanosecond longer than it must"
            assert log.left(now + wait) >= amount
            assert wait <= seconds * SECOND * 61 // 60 + 1


def test_a_steady_caller_has_a_sixty_first_less_than_the_limit() -> None:
    log, admitted = Strict(rule(6100), 0), 0
    for second in range(6000):
        left = log.left(second * SECOND)
        n = min(left, 100)
        log.take(n, second * SECOND)
        admitted += n if second >= 600 else 0
    assert admitted == 100 * 5400


def test_what_was_taken_is_counted_until_the_oldest_bucket_is_older_than_a_minute() -> None:
    log = Strict(rule(10), 0)
    log.take(10, SECOND - 1)
    assert log.left(61 * SECOND - 1) == 0, "its bucket is touched by the minute before 60.9 s"
    assert log.left(61 * SECOND) == 10


def test_what_comes_back_comes_back_to_its_own_bucket() -> None:
    log = Strict(rule(10), 0)
    first = log.take(6, 0)
    log.take(4, 30 * SECOND)
    log.give(6, first, 30 * SECOND)
    assert log.left(30 * SECOND) == 6
    assert log.left(61 * SECOND) == 6, "it did not come twice"
    log.give(6, first, 62 * SECOND)
    assert log.left(62 * SECOND) == 6, "nor once it was forgotten"


def test_more_than_there_ever_is_is_never_had() -> None:
    assert Strict(rule(10), 0).wait(11, 0) is None


def test_a_changed_limit_goes_on_with_what_was_taken() -> None:
    log = Strict(rule(10), 0)
    log.take(8, 0)
    log.adopt(rule(5), SECOND)
    assert log.left(SECOND) == -3
    log.adopt(rule(20), SECOND)
    assert log.left(SECOND) == 12
    log.adopt(rule(20, seconds=3600), 2 * SECOND)
    assert log.left(2 * SECOND) == 12
    assert log.left(3600 * SECOND) == 12
    assert log.left(3720 * SECOND) == 20
