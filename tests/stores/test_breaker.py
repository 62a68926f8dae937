"""The breaker as a pure machine: every number of semantics.md by name, and what no order of events may break."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.stores.breaker import Breaker, BreakerRules, Position


class Bench:
    """A breaker, its moves, and chance as set."""

    def __init__(self, rules: BreakerRules | None = None, chance: float = 0.5) -> None:
        self.moves: list[Position] = []
        self.chance = chance
        self.breaker = Breaker(lambda: self.chance, self.moves.append)
        if rules is not None:
            self.breaker.rules = rules

    def fail(self, now: float, times: int = 1) -> None:
        for _ in range(times):
            self.breaker.failed(now, "unavailable (503)")

    def opened(self, now: float = 0.0) -> Bench:
        self.fail(now, 5)
        assert self.breaker.position(now) == "open"
        return self


def test_five_failures_in_a_row_open_it_and_four_do_not() -> None:
    bench = Bench()
    bench.fail(0.0, 4)
    assert bench.breaker.position(0.0) == "closed"
    bench.fail(0.0)
    assert bench.breaker.position(0.0) == "open"
    assert bench.moves == ["open"]
    assert bench.breaker.why == "5 failures in a row, the last one: unavailable (503)"


def test_a_success_in_between_begins_the_row_anew() -> None:
    bench = Bench()
    bench.fail(0.0, 4)
    bench.breaker.passed(0.0, 1)
    bench.fail(0.0, 4)
    assert bench.breaker.position(0.0) == "closed"


def test_half_of_twenty_calls_open_it_and_half_of_nineteen_do_not() -> None:
    bench = Bench()
    for at in range(9):
        bench.breaker.passed(at, 1)
        bench.fail(at)
    bench.breaker.passed(9.0, 1)
    assert bench.breaker.position(9.0) == "closed"
    bench.fail(9.0)
    assert bench.breaker.position(9.0) == "open"
    assert bench.breaker.why.startswith("10 of 20 calls failed in 30 s")


def test_less_than_half_does_not_open_it() -> None:
    bench = Bench()
    for at in range(200):
        bench.breaker.passed(at * 0.1, 2)
        bench.fail(at * 0.1)
    assert bench.breaker.position(20.0) == "closed"


def test_what_lies_thirty_seconds_back_counts_no_more() -> None:
    bench = Bench()
    for _ in range(10):
        bench.breaker.passed(0.5, 1)
        bench.fail(0.5) if _ < 9 else None
    bench.breaker.passed(30.6, 1)
    bench.fail(30.6)
    assert bench.breaker.position(30.6) == "closed"


def test_it_is_open_for_five_seconds_then_half_open() -> None:
    bench = Bench().opened()
    assert bench.breaker.position(4.999) == "open"
    assert bench.breaker.position(5.0) == "half_open"


@pytest.mark.parametrize(("chance", "seconds"), [(0.0, 4.5), (0.5, 5.0), (0.999999999, 5.5)])
def test_by_ten_percent_of_chance_more_or_less(chance: float, seconds: float) -> None:
    assert Bench(chance=chance).opened().breaker.until == pytest.approx(seconds)


def test_it_doubles_to_twenty_seconds() -> None:
    bench = Bench().opened()
    times = [bench.breaker.until]
    for _ in range(4):
        now = bench.breaker.until
        bench.breaker.tried(now, "timeout")
        times.append(bench.breaker.until - now)
    assert times == [5.0, 10.0, 20.0, 20.0, 20.0]


def test_three_successes_in_half_open_close_it() -> None:
    bench = Bench().opened()
    for _ in range(2):
        bench.breaker.halve(5.0)
        bench.breaker.tried(5.0)
        assert bench.breaker.position(5.0) == "half_open"
    bench.breaker.tried(5.0)
    assert bench.breaker.position(5.0) == "closed"
    assert bench.moves == ["open", "half_open", "closed"]


def test_one_failure_in_half_open_opens_it_again_and_the_successes_are_forgotten() -> None:
    bench = Bench().opened()
    bench.breaker.tried(5.0)
    bench.breaker.tried(5.0)
    bench.breaker.tried(5.0, "timeout")
    assert bench.breaker.position(14.9) == "open"
    bench.breaker.tried(15.0)
    bench.breaker.tried(15.0)
    assert bench.breaker.position(15.0) == "half_open"


def closed_at(bench: Bench, now: float) -> None:
    for _ in range(3):
        bench.breaker.tried(now)
    assert bench.breaker.position(now) == "closed"


@pytest.mark.parametrize(("calm", "seconds"), [(299.0, 10.0), (300.0, 5.0)])
def test_it_begins_with_five_seconds_again_after_five_minutes_closed(calm: float, seconds: float) -> None:
    bench = Bench().opened()
    closed_at(bench, 5.0)
    bench.fail(5.0 + calm, 5)
    assert bench.breaker.until - (5.0 + calm) == seconds


def test_closing_forgets_the_failures_of_before() -> None:
    bench = Bench().opened()
    closed_at(bench, 5.0)
    bench.fail(5.0, 4)
    assert bench.breaker.position(5.0) == "closed"


def test_closing_forgets_the_part_that_failed() -> None:
    bench = Bench().opened()
    bench.breaker.rules = BreakerRules(minimum=6)
    closed_at(bench, 5.0)
    bench.fail(5.0)
    bench.breaker.passed(5.0, 2)
    bench.fail(5.0)
    bench.breaker.passed(5.0, 1)
    assert bench.breaker.position(5.0) == "closed"


def test_calls_that_were_sent_before_it_opened_move_it_no_more() -> None:
    bench = Bench().opened()
    bench.breaker.passed(1.0, 100)
    assert bench.breaker.position(1.0) == "open"
    bench.fail(1.0, 100)
    assert bench.breaker.until == 5.0


def test_before_its_time_one_call_may_pass_once() -> None:
    bench = Bench()
    assert not bench.breaker.try_early(0.0)
    bench.opened()
    assert bench.breaker.try_early(1.0)
    assert not bench.breaker.try_early(1.0)


def test_an_early_success_makes_it_half_open_at_once() -> None:
    bench = Bench().opened()
    bench.breaker.try_early(1.0)
    bench.breaker.tried(2.0)
    assert bench.breaker.position(2.0) == "half_open"
    bench.breaker.tried(2.0)
    bench.breaker.tried(2.0)
    assert bench.breaker.position(2.0) == "closed"


def test_an_early_failure_changes_nothing_so_that_there_is_one_in_each_open_period() -> None:
    bench = Bench().opened()
    bench.breaker.try_early(1.0)
    bench.breaker.tried(2.0, "timeout")
    assert bench.breaker.until == 5.0
    assert not bench.breaker.try_early(2.0)
    bench.breaker.tried(5.0, "timeout")
    assert bench.breaker.try_early(6.0)


def test_other_rules_neither_close_it_nor_forget() -> None:
    bench = Bench()
    bench.fail(0.0, 4)
    bench.breaker.rules = BreakerRules(failures=6)
    bench.fail(0.0)
    assert bench.breaker.position(0.0) == "closed"
    bench.fail(0.0)
    assert bench.breaker.position(0.0) == "open"
    bench.breaker.rules = BreakerRules(failures=100, open=1.0)
    assert bench.breaker.position(4.9) == "open"


def test_switched_off_it_lets_all_pass() -> None:
    bench = Bench().opened()
    bench.breaker.rules = None
    assert bench.breaker.position(1.0) == "closed"
    bench.fail(1.0, 100)
    bench.breaker.rules = BreakerRules()
    assert bench.breaker.position(1.0) == "open"


EVENTS = st.lists(
    st.tuples(st.sampled_from(["pass", "fail", "good", "bad", "early"]), st.floats(0.0, 8.0)), max_size=120
)


@given(EVENTS, st.floats(0.0, 0.999))
def test_whatever_comes_its_moves_and_times_are_those_that_it_may_have(
    events: list[tuple[str, float]], chance: float
) -> None:
    bench = Bench(chance=chance)
    breaker, now = bench.breaker, 0.0
    row = 0
    for event, pause in events:
        now += pause
        before, until = breaker.position(now), breaker.until
        if event == "pass":
            breaker.passed(now, 1)
            row = 0
        elif event == "fail":
            breaker.failed(now, "x")
            row = row + 1 if before == "closed" else 0
        elif event == "early":
            assert breaker.try_early(now) <= (before == "open")
        elif before != "closed":
            breaker.tried(now, "" if event == "good" else "x")
        after = breaker.position(now)
        if before == "closed" and row >= 5:
            assert after == "open"
        if before == "open" and after == "closed":
            pytest.fail("closed without being half open")
        if before != "open" and after == "open":
            assert 4.4999 <= breaker.until - now <= 22.0001
        if before == "open" and event in ("pass", "fail", "bad"):
            assert (after, breaker.until) == ("open", until)
        if after == "closed":
            row = 0 if before != "closed" else row
    steps = {
        ("open", "half_open"),
        ("half_open", "closed"),
        ("half_open", "open"),
        ("closed", "open"),
        ("open", "open"),
    }
    assert set(zip(bench.moves, bench.moves[1:], strict=False)) <= steps
    assert not bench.moves or bench.moves[0] == "open"
