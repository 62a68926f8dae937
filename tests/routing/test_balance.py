"""Who is asked first, and who follows: each strategy's part of the requests, by seeds and a chi-square bound."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.routing.balance import EXPLORED, order_candidates
from penstock.routing.plan import Candidate, Plan, Strategy
from penstock.stores.pace import Pace

DRAWS = 20_000
# Chi-square's 99.9 % quantiles by degrees of freedom; the seeds are fixed, so what passes once always does.
BOUND = {1: 10.83, 2: 13.82, 3: 16.27, 5: 20.52}


def candidate(id: str, target: int = 0, *, mean: float | None = None, busy: int = 0, **more: Any) -> Candidate:
    pace = Pace(id)
    pace.in_flight = busy
    if mean is not None:
        pace.first_output(mean, 0, 1000.0, stream=True)
    return Candidate(id, id.partition("#")[0], target, None, None, pace, **more)


def plan(*candidates: Candidate, strategy: Strategy = "ordered") -> Plan:
    return Plan("smart", candidates, tuple(one.id for one in candidates), settled=False, strategy=strategy)


def ids(made: Plan, chance: Random) -> list[str]:
    return [one.id for one in order_candidates(made, 1000.0, chance.random)]


def firsts(made: Plan, seed: int = 1, draws: int = DRAWS) -> Counter[str]:
    chance = Random(seed)
    return Counter(ids(made, chance)[0] for _ in range(draws))


def assert_parts(drawn: Counter[str], parts: Mapping[str, float]) -> None:
    """As many of each as its part says."""
    total, whole = sum(drawn.values()), sum(parts.values())
    assert set(drawn) <= {id for id, part in parts.items() if part}
    chi = sum((drawn[id] - total * part / whole) ** 2 / (total * part / whole) for id, part in parts.items() if part)
    assert chi < BOUND[len([part for part in parts.values() if part]) - 1], (chi, drawn)


# --- ordered, weighted, cost: the first is chosen, the rest stays as listed


def test_ordered_is_as_listed() -> None:
    made = plan(candidate("a", 0), candidate("b", 1), candidate("c", 2))
    assert firsts(made, draws=100) == {"a": 100}
    assert ids(made, Random(1)) == ["a", "b", "c"]


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (90, 9, 1), (1, 2, 3, 4)])
def test_weighted_gives_each_its_part(weights: tuple[int, ...]) -> None:
    made = [candidate(str(number), number, weight=weight) for number, weight in enumerate(weights)]
    drawn = firsts(plan(*made, strategy="weighted"))
    assert_parts(drawn, {one.id: one.weight for one in made})


def test_a_weight_of_nothing_is_never_first_and_still_a_fallback() -> None:
    made = plan(candidate("a", 0, weight=0), candidate("b", 1), candidate("c", 2, weight=0), strategy="weighted")
    assert firsts(made) == {"b": DRAWS}
    assert ids(made, Random(1)) == ["b", "a", "c"]


def test_weighted_leaves_the_rest_as_listed() -> None:
    made, chance = plan(*(candidate(id, n) for n, id in enumerate("abcd")), strategy="weighted"), Random(3)
    assert {"".join(ids(made, chance)) for _ in range(500)} == {"abcd", "bacd", "cabd", "dabc"}


def test_cost_takes_the_cheapest_and_leaves_the_rest_as_listed() -> None:
    made = plan(
        candidate("a", 0, price=900), candidate("b", 1), candidate("c", 2, price=30), candidate("d", 3, price=30),
        strategy="cost",
    )  # fmt: skip
    assert ids(made, Random(1)) == ["c", "a", "b", "d"]


def test_what_nobody_knows_the_price_of_is_behind_the_dearest() -> None:
    made = plan(candidate("a", 0), candidate("b", 1, price=10**15), strategy="cost")
    assert ids(made, Random(1)) == ["b", "a"]
    assert ids(plan(candidate("a", 0), candidate("b", 1), strategy="cost"), Random(1)) == ["a", "b"]
    assert ids(plan(candidate("a", 0, price=1), candidate("b", 1, price=0), strategy="cost"), Random(1))[0] == "b"


# --- latency


def test_latency_takes_the_fastest_and_explores_one_in_twenty() -> None:
    made = plan(
        candidate("a", 0, mean=0.5), candidate("b", 1, mean=0.2), candidate("c", 2, mean=0.9), strategy="latency"
    )
    part = EXPLORED / 3
    assert_parts(firsts(made), {"a": part, "b": 1 - 2 * part, "c": part})


def test_one_without_a_mean_is_asked_by_one_request_at_a_time() -> None:
    fast, new = candidate("a", 0, mean=0.2), candidate("b", 1)
    made = plan(fast, new, strategy="latency")
    drawn = firsts(made)
    assert drawn["b"] > 0.96 * DRAWS
    new.pace.in_flight += 1
    assert_parts(firsts(made), {"a": 1 - EXPLORED / 2, "b": EXPLORED / 2})
    # And so is one that has answered at once, which no clock can tell from nothing.
    assert firsts(plan(fast, candidate("b", 1, mean=0.0), strategy="latency"))["b"] > 0.96 * DRAWS


def test_where_none_has_a_mean_the_requests_are_spread() -> None:
    made, chance = plan(*(candidate(id, n) for n, id in enumerate("abc")), strategy="latency"), Random(2)
    for _ in range(300):
        order_candidates(made, 1000.0, chance.random)[0].pace.in_flight += 1
    # But for the twentieth that goes anywhere.
    assert all(90 <= one.pace.in_flight <= 110 for one in made.candidates)


# --- least busy


def test_least_busy_takes_the_better_of_two() -> None:
    a, b, c = candidate("a", 0, mean=1, busy=1), candidate("b", 1, mean=1, busy=5), candidate("c", 2, mean=1, busy=9)
    # Of the three pairs two hold `a`, one holds `b` without it, none is won by `c`.
    assert_parts(firsts(plan(a, b, c, strategy="least_busy")), {"a": 2, "b": 1, "c": 0})


def test_it_weighs_how_busy_one_is_by_how_slow() -> None:
    slow, fast = candidate("a", 0, mean=1.0, busy=2), candidate("b", 1, mean=0.1, busy=20)
    assert firsts(plan(slow, fast, strategy="least_busy"), draws=200) == {"b": 200}
    fast.pace.in_flight = 30
    assert firsts(plan(slow, fast, strategy="least_busy"), draws=200) == {"a": 200}


def test_where_all_are_idle_the_faster_of_two_is_taken() -> None:
    made = plan(candidate("a", 0, mean=0.9), candidate("b", 1, mean=0.3), strategy="least_busy")
    assert firsts(made, draws=200) == {"b": 200}


def test_one_without_a_mean_is_taken_for_as_fast_as_the_other() -> None:
    known, new = candidate("a", 0, mean=0.2, busy=3), candidate("b", 1, busy=2)
    assert firsts(plan(known, new, strategy="least_busy"), draws=200) == {"b": 200}
    new.pace.in_flight = 4
    assert firsts(plan(known, new, strategy="least_busy"), draws=200) == {"a": 200}


@pytest.mark.parametrize("count", [2, 3, 4, 6])
def test_where_all_are_alike_each_gets_as_much(count: int) -> None:
    made = plan(*(candidate(str(n), n, mean=1.0) for n in range(count)), strategy="least_busy")
    assert_parts(firsts(made, seed=5), {str(n): 1 for n in range(count)})


def test_two_choices_keep_the_busiest_near_the_mean() -> None:
    """Mitzenmacher: with two choices the fullest of n holds log log n more than the mean; with one it is far more."""
    made, chance = plan(*(candidate(str(n), n, mean=1.0) for n in range(50)), strategy="least_busy"), Random(4)
    for _ in range(5000):
        order_candidates(made, 1000.0, chance.random)[0].pace.in_flight += 1
    assert max(one.pace.in_flight for one in made.candidates) <= 104


# --- credentials


def test_a_pools_credentials_are_drawn_by_share() -> None:
    made = plan(candidate("a#x", 0, share=6), candidate("a#y", 0, share=3), candidate("a#z", 0, share=1))
    assert_parts(firsts(made), {"a#x": 6, "a#y": 3, "a#z": 1})
    chance = Random(8)
    seconds = Counter(order[1] for _ in range(DRAWS) if (order := ids(made, chance))[0] == "a#x")
    assert_parts(seconds, {"a#y": 3, "a#z": 1})


def test_a_target_stands_together_with_all_its_credentials() -> None:
    made = plan(
        candidate("a#x", 0, price=5), candidate("a#y", 0, price=5), candidate("b", 1, price=1), candidate("c", 2),
        strategy="cost",
    )  # fmt: skip
    chance = Random(1)
    assert {tuple(ids(made, chance)) for _ in range(200)} == {("b", "a#x", "a#y", "c"), ("b", "a#y", "a#x", "c")}


def test_a_target_is_weighed_once_however_many_credentials_it_has() -> None:
    made = plan(*(candidate(f"a#{n}", 0, weight=1) for n in range(5)), candidate("b", 1), strategy="weighted")
    drawn = Counter(first.partition("#")[0] for first in firsts(made).elements())
    assert_parts(drawn, {"a": 1, "b": 1})


# --- whatever the plan


@pytest.mark.parametrize("strategy", ["ordered", "weighted", "latency", "cost", "least_busy"])
def test_foreign_ones_are_last_as_listed(strategy: Strategy) -> None:
    made = plan(
        candidate("a", 0, price=9, mean=9), candidate("b", 1, price=8, mean=8),
        candidate("x", 2, price=1, mean=0.1, weight=1000, foreign=True), candidate("w", 3, price=0, foreign=True),
        strategy=strategy,
    )  # fmt: skip
    chance = Random(1)
    assert all(ids(made, chance)[2:] == ["x", "w"] for _ in range(200))


@given(
    st.lists(
        st.tuples(
            st.integers(1, 3), st.integers(0, 5), st.none() | st.integers(0, 9), st.none() | st.floats(0, 9),
            st.integers(0, 4),
        ),
        min_size=1, max_size=5,
    ),
    st.integers(0, 2), st.sampled_from(["ordered", "weighted", "latency", "cost", "least_busy"]), st.integers(),
)  # fmt: skip
def test_every_candidate_is_there_once(
    targets: list[tuple[int, int, int | None, float | None, int]], foreign: int, strategy: Strategy, seed: int
) -> None:
    made = [
        candidate(
            f"{number}#{key}", number, mean=mean, busy=busy, weight=weight, price=price,
            foreign=number >= len(targets) - foreign > 0,
        )
        for number, (keys, weight, price, mean, busy) in enumerate(targets)
        for key in range(keys)
    ]  # fmt: skip
    one = plan(*made, strategy=strategy)
    order = order_candidates(one, 1000.0, Random(seed).random)
    assert sorted(each.id for each in order) == sorted(one.ids)
    assert order == order_candidates(one, 1000.0, Random(seed).random)
    places = [each.target for each in order]
    assert all(places[n] == places[n - 1] or places[n] not in places[:n] for n in range(1, len(places)))
    assert [each.foreign for each in order] == sorted(each.foreign for each in order)
    rest = list(dict.fromkeys(places))[1:]
    assert rest == sorted(rest)
