"""What an attempt can use and cost at most: never less than what is paid, and not much more."""

from __future__ import annotations

import msgspec
from hypothesis import given
from hypothesis import strategies as some

from penstock.providers.bounds import bound_of
from penstock.providers.ceiling import Ceiling, Kinds
from penstock.providers.models import models_of, tables
from penstock.providers.prices import Period, Price, declared
from penstock.providers.rates import COUNTED, Amount, Rates
from penstock.usage import Usage
from penstock.wire.dialect import ModelFacts
from penstock.wire.extent import Extent

PLAIN: dict[str, Amount] = {"input": 3_000_000, "output": 15_000_000}  # 3 and 15 dollars a million
FACTS = ModelFacts(context_window=200_000, max_output_tokens=64_000)
amounts = some.integers(0, 50_000_000) | some.tuples(
    some.integers(0, 50_000_000), some.integers(1, 300_000), some.integers(0, 50_000_000)
).map(list)


@given(
    some.dictionaries(some.sampled_from(COUNTED), amounts),
    some.integers(0, 400_000),
    some.integers(0, 100_000),
    some.data(),
)
def test_no_usage_within_it_costs_more(prices: dict[str, Amount], taken: int, told: int, data: some.DataObject) -> None:
    rates = Rates(prices)
    ceiling = Ceiling([rates], Kinds(heard=True, spoken=True, kept=True))

    def upto(most: int) -> int:
        return data.draw(some.integers(0, most))

    used = upto(taken)
    written = upto(used)
    usage = Usage(
        used, upto(told), upto(used - written), written, upto(told),
        cache_write_1h_tokens=upto(written), input_audio_tokens=upto(used), output_audio_tokens=upto(told),
        web_searches=upto(3),
    )  # fmt: skip
    assert rates.cost(usage) <= ceiling.cost(taken, told, 3)


@given(some.dictionaries(some.sampled_from(COUNTED), amounts), some.integers(0, 400_000), some.integers(0, 10**10))
def test_the_output_that_is_paid_for_is_the_most_there_is(prices: dict[str, Amount], taken: int, nanos: int) -> None:
    ceiling = Ceiling([Rates(prices)])
    paid = ceiling.output(taken, nanos)
    if paid is None:
        assert ceiling.cost(taken, 10**9) <= nanos
    elif paid < 0:
        assert ceiling.cost(taken, 0) > nanos
    else:
        assert ceiling.cost(taken, paid) <= nanos < ceiling.cost(taken, paid + 1)


def test_a_plain_call_is_bounded_by_its_bytes_and_its_own_limit() -> None:
    bound = bound_of(Extent(1_000, output=500), FACTS, declared(PLAIN), 0.0)
    assert (bound.taken, bound.given, bound.own, bound.least) == (1_000, 500, True, 16)
    assert bound.cost(500) == (1_000 * 3_000_000 + 500 * 15_000_000) // 1000  # 10.5 thousandths of a dollar
    assert bound.tokens(500) == 1_500
    assert bound.paid(10_500_000) == 500
    assert bound.paid(10_499_999) == 499
    assert bound.counted(1_400) == 400


def test_the_window_bounds_the_input() -> None:
    assert bound_of(Extent(300_000), FACTS, None, 0.0).taken == 200_000
    assert bound_of(Extent(100, stored=True), FACTS, None, 0.0).taken == 200_000
    assert bound_of(Extent(100, stored=True, uses=2), FACTS, None, 0.0).taken == 600_000
    assert not bound_of(Extent(100, stored=True), ModelFacts(), None, 0.0).bounded
    assert not bound_of(Extent(100, uses=None), FACTS, None, 0.0).bounded
    assert bound_of(Extent(300_000), ModelFacts(), None, 0.0).bounded


def test_without_a_limit_of_its_own_it_gets_the_default() -> None:
    assert bound_of(Extent(100), ModelFacts(), None, 0.0).given == 8_192
    assert bound_of(Extent(100), ModelFacts(max_output_tokens=4_096), None, 0.0).given == 4_096
    assert bound_of(Extent(100), ModelFacts(max_output_tokens=64_000), None, 0.0).given == 8_192
    assert bound_of(Extent(100), ModelFacts(default_output_tokens=300), None, 0.0).given == 300
    assert not bound_of(Extent(100), ModelFacts(), None, 0.0).own


def test_the_least_is_16_tokens_or_what_is_thought_and_1024() -> None:
    assert bound_of(Extent(100, output=9_000), FACTS, None, 0.0).least == 16
    assert bound_of(Extent(100, output=9_000, thinking=2_000), FACTS, None, 0.0).least == 3_024
    assert bound_of(Extent(100, output=9), FACTS, None, 0.0).least == 9


def test_several_answers_share_what_is_paid_for() -> None:
    bound = bound_of(Extent(0, output=500, answers=4), FACTS, declared(PLAIN), 0.0)
    assert bound.cost(500) == 4 * 500 * 15_000
    assert bound.paid(4 * 500 * 15_000 - 1) == 499


def test_any_tier_may_serve_a_call_that_does_not_say() -> None:
    tiers: dict[str, list[Period]] = {"priority": [("", {"output": 30_000_000})], "flex": [("", {"output": 1_000_000})]}
    price = Price([("", PLAIN)], tiers, source="t")
    told = [price.ceiling(0.0, tier).cost(0, 1_000_000) for tier in ("", "auto", "default", "flex", "priority")]
    assert told == [30 * 10**9, 30 * 10**9, 15 * 10**9, 15 * 10**9, 30 * 10**9]
    price = Price([("", PLAIN)], {"fast": [("", {"output": 90_000_000})]}, source="t")
    assert [price.ceiling(0.0, tier).cost(0, 1_000_000) // 10**9 for tier in ("", "fast")] == [15, 90]


def test_a_price_that_changes_has_another_ceiling() -> None:
    price = Price([("", {"input": 10}), ("01:00-04:00", {"input": 20})], source="t")
    assert [price.ceiling(wall).cost(1000, 0) for wall in (0.0, 2 * 3600.0, 0.0)] == [10, 20, 10]


def test_steps_count_from_where_they_begin() -> None:
    stepped = declared({"input": [3_000_000, 200_000, 6_000_000], "output": 15_000_000})
    assert stepped.ceiling(0.0).cost(200_000, 0) == 600_000_000
    assert stepped.ceiling(0.0).cost(200_001, 0) == 1_200_006_000


def test_every_price_of_the_table_has_a_ceiling_above_it() -> None:
    usage = Usage(250_000, 5_000, 1_000, 500, 4_000)
    count = 0
    for model in (model for kind in tables() for model in models_of(kind) if model.price):
        price = Price(model.price, model.tiers, source="t")
        for tier in ("", *model.tiers):
            cost = price.cost(msgspec.structs.replace(usage, tier=tier), 1.8e9)
            if cost is not None:
                count += 1
                assert cost <= price.ceiling(1.8e9, tier).cost(usage.input_tokens, usage.output_tokens), model.id
    assert count > 500
