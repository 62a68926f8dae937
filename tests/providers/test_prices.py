"""A price through time and tiers, and which of several declarations holds."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec
import pytest

from penstock.providers.catalogue import load_catalogue
from penstock.providers.models import Model, Table, known, models_of, price_of, table_hash, tables
from penstock.providers.prices import Price, declared, match_declared
from penstock.providers.rates import UNITS
from penstock.usage import Usage

TOKEN = Usage(1000)


def at(text: str) -> float:
    return datetime.fromisoformat(f"{text}+00:00").replace(tzinfo=UTC).timestamp()


def test_the_last_period_that_has_begun_holds() -> None:
    price = Price([("", {"input": 10}), ("2026-08-17", {"input": 20}), ("2026-09-10", {"input": 30})], source="t")
    days = ["2026-01-01T00:00:00", "2026-08-16T23:59:59", "2026-08-17T00:00:00", "2026-09-09T23:59:59"]
    assert [price.cost(TOKEN, at(day)) for day in (*days, "2026-09-10T00:00:00", days[0])] == [10, 10, 20, 20, 30, 10]


def test_hours_of_the_day() -> None:
    price = Price([("", {"input": 10}), ("01:00-04:00", {"input": 20}), ("22:30-00:30", {"input": 30})], source="t")
    clock = ["00:29:59", "00:30:00", "00:59:59", "01:00:00", "03:59:59", "04:00:00", "22:29:59", "22:30:00", "23:59:59"]
    told = [price.cost(TOKEN, at(f"2026-11-26T{time}")) for time in clock]
    assert told == [30, 10, 10, 20, 20, 10, 10, 30, 30]
    # The same in any order: what was worked out for one moment is not taken for another.
    assert [price.cost(TOKEN, at(f"2026-11-26T{time}")) for time in reversed(clock)] == told[::-1]


def test_a_price_worked_out_today_is_not_tomorrows() -> None:
    price = Price([("", {"input": 10}), ("01:00-04:00", {"input": 20})], source="t")
    moments = ["2026-11-26T23:59:00", "2026-11-27T02:00:00", "2026-11-26T00:30:00", "2026-11-25T03:00:00"]
    assert [price.cost(TOKEN, at(moment)) for moment in moments] == [10, 20, 10, 20]


def test_a_tier_changes_only_what_it_names() -> None:
    price = Price([("", {"input": 10, "output": 100})], {"flex": [("2026-10-12", {"input": 5})]}, source="t")
    flex = Usage(1000, 1000, tier="flex")
    assert price.cost(flex, at("2026-11-01T00:00:00")) == 105
    assert price.cost(Usage(1000, 1000), at("2026-11-01T00:00:00")) == 110
    assert price.cost(flex, at("2026-10-01T00:00:00")) is None, "nobody knows what it cost then"
    assert price.cost(Usage(1, tier="priority"), 0.0) is None, "never at the standard price by silence"


def test_a_declared_price_holds_for_every_tier() -> None:
    price = declared({"input": 1000})
    assert price.cost(Usage(5, 5, tier="priority"), 0.0) == 5
    assert price.source.startswith("config:")
    assert price.source == declared({"input": 1000}).source != declared({"input": 1001}).source


def test_the_most_exact_declaration_holds() -> None:
    prices = {name: declared({"input": at}) for at, name in enumerate(("*", "local/*", "local/llama*", "local/llama"))}

    def found(deployment: str) -> object:
        price = match_declared(prices, deployment)
        return price and price.rates(0.0).prices["input"]  # type: ignore[union-attr]

    assert [found(name) for name in ("local/llama", "local/llama3", "local/qwen", "openai/gpt-5")] == [3, 2, 1, 0]
    assert match_declared({}, "local/llama") is None
    assert match_declared({"a/b": declared({"input": 1})}, "a/bc") is None


def test_every_table_is_that_of_a_kind_there_is() -> None:
    assert set(tables()) <= set(load_catalogue())


def test_the_first_model_that_goes_by_a_name_is_found() -> None:
    rules: list[list[str | list[str]]] = [["a*"], ["b", "*x"], ["*b*"], ["re:^c\\d$"], [["d*", "*e"]], ["abc"]]
    table = Table([Model(id=str(at), match=match) for at, match in enumerate(rules)])
    names = ["abc", "b", "bx", "ab", "xb", "C7", "d-e", "d", "q"]
    found = [table.find(name) for name in names]
    assert [model and model.id for model in found] == ["0", "1", "1", "0", "2", "3", "4", None, None]
    assert Table([], [table]).find("b") is table.models[1]


@pytest.mark.parametrize("kind", tables())
def test_every_row_is_whole(kind: str) -> None:
    ids = [model.id for model in models_of(kind)]
    assert len(ids) == len(set(ids))
    for model in models_of(kind):
        assert model.match
        told = [prices for _, prices in (*model.price, *(period for tier in model.tiers.values() for period in tier))]
        assert all(prices and prices.keys() <= UNITS.keys() for prices in told)
        if model.price:
            price = price_of(kind, model.id)
            assert price is not None or known(kind, model.id) is not model  # another row goes by that name too


def test_the_simulated_models_have_a_price() -> None:
    price = price_of("sim", "small:first_token=2s")
    assert price is not None
    assert price.cost(Usage(1_000_000, 1_000_000), 0.0) == 5_000_000_000
    assert price.source == table_hash()


@pytest.mark.parametrize(
    ("kind", "model", "same_as"),
    [
        ("vertex", "gemini-2.5-pro", "gemini"),
        ("azure", "gpt-5-mini", "openai"),
        ("gemini", "claude-sonnet-4-5@20250929", "anthropic"),
    ],
)
def test_who_sells_anothers_models(kind: str, model: str, same_as: str) -> None:
    mine, theirs = price_of(kind, model), price_of(same_as, model)
    assert mine is not None
    assert theirs is not None
    assert mine.cost(Usage(1000, 1000), 0.0) == theirs.cost(Usage(1000, 1000), 0.0)


def test_a_tier_is_not_taken_over_with_anothers_model() -> None:
    azure, openai = price_of("azure", "gpt-5-mini"), price_of("openai", "gpt-5-mini")
    assert azure is not None
    assert openai is not None
    flex = Usage(1000, tier="flex")
    assert (azure.cost(flex, at("2026-11-26T00:00:00")), openai.cost(flex, at("2026-11-26T00:00:00"))) == (
        None,
        125_000,
    )


@pytest.mark.parametrize(
    ("kind", "model", "tier", "tenths"),
    [
        ("anthropic", "claude-opus-5-5", "in_us", 11),
        ("anthropic", "claude-sonnet-4-5", "in_us", 11),
        ("groq", "llama-3.3-70b-versatile", "flex", 10),
    ],
)
@pytest.mark.parametrize("taken", [1_000, 300_000])
def test_tiers_that_vendors_tell_as_a_multiple(kind: str, model: str, tier: str, tenths: int, taken: int) -> None:
    price = price_of(kind, model)
    assert price is not None
    now = at("2026-11-26T12:00:00")
    usage = Usage(taken, 50, taken // 2)
    standard, dearer = price.cost(usage, now), price.cost(msgspec.structs.replace(usage, tier=tier), now)
    assert standard
    assert dearer == standard * tenths // 10
    searching = Usage(taken, 50, taken // 2, web_searches=1, tier=tier)
    if kind == "anthropic":
        assert price.cost(searching, now) == dearer + 10_000_000
    assert price.cost(Usage(1, tier=f"{tier}+fast"), now) is None


def test_what_nobody_knows() -> None:
    assert price_of("vllm", "gpt-5-mini") is None
    assert price_of("openai", "llama-7b-of-mine") is None
    assert known("nobody", "x") is None
    assert models_of("nobody") == ()
