"""What a call costs, on figures one can check by hand; and whatever a provider counts, never less than nothing."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.providers.rates import UNITS, Rates
from penstock.usage import Usage, usd

SONNET = Rates({"input": 3_000_000, "cache_read": 300_000, "cache_write": 3_750_000, "cache_write_1h": 6_000_000,
                "output": 15_000_000, "web_search": 10_000_000_000})  # fmt: skip
COUNT = st.integers(0, 2**53)


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(), "0.000000000"),
        (Usage(1_000_000, 0), "3.000000000"),
        (Usage(0, 1_000_000), "15.000000000"),
        (Usage(1_000_000, 0, cache_read_tokens=1_000_000), "0.300000000"),
        (Usage(1_000_000, 0, cache_write_tokens=1_000_000), "3.750000000"),
        (Usage(1_000_000, 0, cache_write_tokens=1_000_000, cache_write_1h_tokens=1_000_000), "6.000000000"),
        (Usage(1_000_000, 0, cache_write_tokens=500_000, cache_write_1h_tokens=100_000), "3.600000000"),
        (Usage(1_000_000, 1_000_000, reasoning_tokens=900_000), "18.000000000"),
        (Usage(0, 0, web_searches=3), "0.030000000"),
    ],
)
def test_a_sonnet(usage: Usage, dollars: str) -> None:
    assert usd(SONNET.cost(usage)) == dollars


def test_a_cost_is_rounded_up_once() -> None:
    assert Rates({"input": 1}).cost(Usage(1)) == 1
    assert Rates({"input": 1}).cost(Usage(1000)) == 1
    assert Rates({"input": 1, "output": 1}).cost(Usage(1, 1)) == 1
    assert Rates({"input": 1}).cost(Usage(1001)) == 2


def test_a_step_holds_for_the_whole_of_a_longer_request() -> None:
    rates = Rates({"input": [1000, 200, 2000, 400, 3000], "output": [1000, 400, 5000]})
    assert [rates.cost(Usage(taken, 1)) for taken in (200, 201, 400, 401)] == [201, 403, 801, 1208]


def test_sound_may_be_read_from_the_cache() -> None:
    rates = Rates({"input": 1000, "cache_read": 100, "input_audio": 9000, "cache_read_audio": 300})
    assert rates.cost(Usage(10, cache_read_tokens=4, input_audio_tokens=6)) == -(-(4 * 100 + 6 * 9000) // 1000)
    # More than all of it: the rest of the sound must have been in the cache.
    assert rates.cost(Usage(10, cache_read_tokens=6, input_audio_tokens=6)) == -(
        -(4 * 100 + 2 * 300 + 4 * 9000) // 1000
    )


def test_cached_sound_without_a_price_of_its_own_has_no_discount() -> None:
    rates = Rates({"input": 1000, "cache_read": 100, "input_audio": 9000})
    assert rates.cost(Usage(10, cache_read_tokens=10, input_audio_tokens=10)) == 90


def test_parts_are_no_more_than_the_whole() -> None:
    rates = Rates({"output": 1000, "reasoning": 1000, "output_audio": 0})
    assert rates.cost(Usage(0, 10, output_audio_tokens=20)) == 0
    assert rates.cost(Usage(0, 10, reasoning_tokens=4, output_audio_tokens=20)) == 4


def test_a_cost_fits_the_ledgers_numbers_whatever_a_provider_counts() -> None:
    assert Rates({"input": 10_000_000}).cost(Usage(2**53)) == 2**63 - 1


def test_a_price_for_what_nobody_counts_adds_nothing() -> None:
    assert Rates({"input": 1000, "input_image": 9000, "citation": 5}).cost(Usage(5, 5)) == 5


def test_a_request_may_have_a_price_of_its_own() -> None:
    assert Rates({"request": 5_000_000_000, "input": 1_000_000}).cost(Usage(1_000)) == 6_000_000


def test_an_unknown_unit() -> None:
    with pytest.raises(ValueError, match="no such unit: inputs"):
        Rates({"inputs": 1})


PRICES = st.dictionaries(st.sampled_from(tuple(UNITS)), COUNT)
USAGE = st.builds(Usage, COUNT, COUNT, COUNT, COUNT, COUNT, st.just(False), COUNT, COUNT, COUNT, st.integers(0, 100))


@given(PRICES, USAGE)
def test_nothing_a_provider_counts_costs_less_than_nothing(prices: dict[str, int], usage: Usage) -> None:
    assert 0 <= Rates({**prices}).cost(usage) < 2**63


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0.000000000"),
        (1, "0.000000001"),
        (120_000, "0.000120000"),
        (10**9, "1.000000000"),
        (12_345_678_901, "12.345678901"),
    ],
)
def test_money_is_written_with_all_its_decimals(nanos: int, text: str) -> None:
    assert usd(nanos) == text
