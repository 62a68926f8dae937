"""The retry quota: the bucket, the part of all requests, and what an outage makes of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.quota import Quota

TRANSIENT = 14
THROTTLED = 5


def busy(now: float = 0.0, requests: int = 10_000) -> Quota:
    """One whose part of requests is far from being reached."""
    quota = Quota()
    quota.sent(now, requests)
    return quota


@pytest.mark.parametrize(("cost", "retries"), [(TRANSIENT, 35), (THROTTLED, 100)])
def test_the_bucket_of_500_pays_so_many_retries_and_time_does_not_fill_it(cost: int, retries: int) -> None:
    quota = busy()
    assert [quota.try_take(0.0, cost) for _ in range(retries)] == [True] * retries
    assert not quota.try_take(0.0, cost)
    quota.sent(600.0, 10_000)
    assert not quota.try_take(600.0, cost)


def test_a_success_after_a_retry_returns_what_it_cost_and_one_without_a_retry_1() -> None:
    quota = busy()
    while quota.try_take(0.0, TRANSIENT):
        pass
    assert quota.tokens == 500 - 35 * 14
    quota.refund(TRANSIENT)
    assert quota.try_take(0.0, TRANSIENT)
    for _ in range(3):
        assert not quota.try_take(0.0, TRANSIENT)
        quota.refund(1)
    quota.refund(1)
    assert quota.try_take(0.0, TRANSIENT)


def test_it_holds_no_more_than_500() -> None:
    quota = busy()
    quota.try_take(0.0, TRANSIENT)
    quota.refund(10_000)
    assert quota.tokens == 500


def test_at_most_a_tenth_of_the_requests_and_ten_saved_up() -> None:
    quota = Quota()
    quota.sent(0.0, 200)
    taken = sum(quota.try_take(0.0, 1) for _ in range(100))
    assert taken == 20 + 10


def test_one_more_each_second() -> None:
    quota = Quota()
    assert sum(quota.try_take(0.0, 1) for _ in range(50)) == 10
    assert [quota.try_take(at, 1) for at in (0.5, 1.0, 1.5, 2.0)] == [False, True, False, True]


def test_requests_of_more_than_a_minute_ago_carry_no_retry() -> None:
    quota = Quota()
    quota.sent(0.9, 300)
    assert quota.left(59.9) == 30 + 10
    assert quota.left(60.1) == 10


def test_what_is_left_is_what_can_be_taken() -> None:
    quota = Quota()
    quota.sent(0.0, 120)
    left = quota.left(0.0)
    assert sum(quota.try_take(0.0, 1) for _ in range(100)) == left


@given(st.lists(st.tuples(st.floats(0.0, 3.0), st.integers(0, 40), st.integers(0, 12)), max_size=150))
def test_in_every_minute_at_most_a_tenth_and_one_a_second(steps: list[tuple[float, int, int]]) -> None:
    quota, now = Quota(), 0.0
    sent: list[tuple[float, int, int]] = []
    for pause, requests, wanted in steps:
        now += pause
        quota.sent(now, requests)
        sent.append((now, requests, sum(quota.try_take(now, THROTTLED) for _ in range(wanted))))
        quota.refund(THROTTLED * wanted)
        minute = [each for each in sent if each[0] > now - 59]
        carried = sum(each[1] for each in sent if each[0] > now - 61)
        assert sum(each[2] for each in minute) <= carried / 10 + 60 + 1


@given(st.lists(st.tuples(st.floats(0.01, 5.0), st.integers(1, 30)), min_size=1, max_size=200))
def test_an_outage_is_sent_at_most_1_1_times_the_requests_and_one_a_second(steps: list[tuple[float, int]]) -> None:
    """All fail and all want to be retried twice; nothing was sent before."""
    quota, now = Quota(), 0.0
    requests = retries = 0
    for pause, count in steps:
        now += pause
        quota.sent(now, count)
        requests += count
        retries += sum(quota.try_take(now, TRANSIENT) for _ in range(2 * count))
        assert requests + retries <= 1.1 * requests + now + 10
        assert retries <= 35
