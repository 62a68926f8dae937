"""The compiled table beside the library it was compiled from: the same models, and the same cost for every row.

`genai-prices` counts in decimals of dollars; rounded up to whole nano-dollars they must be ours, for every model, at
each time that matters to its price, in each tier, whatever was used.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from typing import NamedTuple

import genai_prices.types as source
import pytest
from genai_prices.data import providers as PROVIDERS  # noqa: N812
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.providers.models import known, models_of, price_of, table_hash, tables
from penstock.providers.prices import Price
from penstock.usage import Usage
from scripts import prices as compiling
from scripts import second_source

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
BY_ID = {provider.id: provider for provider in PROVIDERS}
NANOS = Decimal(10) ** 9
# Below this a figure of the source is noise of its own making, such as 0.18000000000000002 dollars a million.
PICO = Decimal("1e-12")


class Row(NamedTuple):
    """A model of the source that has a price in our table."""

    kind: str
    provider: source.Provider
    model: source.ModelInfo
    price: Price


def rows() -> Iterator[Row]:
    for kind, ids in compiling.KINDS.items():
        compiled = {model.id: model for model in models_of(kind)}
        for provider in (BY_ID[id] for id in ids):
            host = provider.id.partition("huggingface_")[2]
            for model in provider.models:
                if not compiling.unpriced(model):
                    ours = compiled[f"{model.id.lower()}:{host}" if host else model.id.lower()]
                    yield Row(kind, provider, model, Price(ours.price, ours.tiers, source="test"))


ROWS = list(rows())


def moments(model: source.ModelInfo) -> list[datetime]:
    """Now, and about each moment at which one of its prices begins or ends."""
    found = [NOW]
    conditions = [each.constraint for each in model.prices] if isinstance(model.prices, list) else []
    for condition in [*conditions, *(variant.constraint for variant in model.price_variants or ())]:
        if isinstance(condition, source.StartDateConstraint):
            midnight = datetime.combine(condition.start_date, datetime.min.time(), UTC)
            found += [midnight - timedelta(seconds=1), midnight]
        elif isinstance(condition, source.TimeOfDateConstraint):
            for time in (condition.start_time, condition.end_time):
                turn = datetime.combine(NOW.date(), time, UTC)
                found += [turn - timedelta(seconds=1), turn]
    return sorted(set(found))


def contexts(model: source.ModelInfo) -> list[tuple[str, dict[str, str]]]:
    """Each tier, as we and as the source call it."""
    told = [(compiling.tier_of(variant), variant.when) for variant in model.price_variants or ()]
    return [("", {}), *{tier: (tier, when) for tier, when in told if tier}.values()]


def usage_of(chance: random.Random, top: int) -> Usage:
    """A usage that does not contradict itself."""
    taken, given = chance.randrange(top), chance.randrange(top)
    read = chance.choice((0, chance.randrange(taken + 1)))
    written = chance.choice((0, chance.randrange(taken - read + 1)))
    return Usage(
        taken,
        given,
        read,
        written,
        reasoning_tokens=chance.choice((0, chance.randrange(given + 1))),
        cache_write_1h_tokens=chance.choice((0, written, chance.randrange(written + 1))),
        input_audio_tokens=chance.choice((0, chance.randrange(taken - written + 1))),
        web_searches=chance.choice((0, 3)),
    )


def theirs(row: Row, usage: Usage, when: datetime, context: dict[str, str]) -> Decimal:
    overlap = usage.cache_read_tokens + usage.cache_write_tokens + usage.input_audio_tokens - usage.input_tokens
    told = source.Usage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        cache_write_1h_tokens=usage.cache_write_1h_tokens,
        output_reasoning_tokens=usage.reasoning_tokens,
        input_audio_tokens=usage.input_audio_tokens,
        cache_audio_read_tokens=max(0, overlap),
        output_audio_tokens=usage.output_audio_tokens,
        input_image_tokens=0,
        input_video_tokens=0,
        cache_image_read_tokens=0,
        output_image_tokens=0,
        output_video_tokens=0,
        output_citation_tokens=0,
        web_searches=usage.web_searches,
        storage_searches=0,
    )
    priced = row.model.calc_price(told, row.provider, genai_request_timestamp=when, price_context=context)
    return priced.total_price


def begun(model: source.ModelInfo, tier: str, when: datetime) -> bool:
    """Whether a tier has a price at that moment; before that the source takes the standard one, and we know none."""
    variants = [each for each in model.price_variants or () if compiling.tier_of(each) == tier]
    told = [each for each in variants if each.constraint is None or each.constraint.active(when)]
    return any(price is not None for each in told for price in vars(each.prices).values())


def check(row: Row, usage: Usage, when: datetime, tier: str, context: dict[str, str]) -> None:
    tiered = Usage(**{**{f: getattr(usage, f) for f in Usage.__struct_fields__}, "tier": tier})
    ours = row.price.cost(tiered, when.timestamp())
    if tier and not begun(row.model, tier, when):
        assert ours is None
        return
    exact = theirs(row, usage, when, context)
    assert ours is not None
    told = int((exact * NANOS).to_integral_value(ROUND_CEILING))
    if ours != told:
        noise = PICO * (usage.input_tokens + usage.output_tokens)
        assert is_noisy(row.model), (row.kind, row.model.id, usage, when, tier, ours, told)
        assert abs(ours / NANOS - exact) <= noise + 1 / NANOS


def is_noisy(model: source.ModelInfo) -> bool:
    """Whether a figure of the source is no whole number of pico-dollars a token."""
    variants = [variant.prices for variant in model.price_variants or ()]
    for prices in [*(prices for _, prices in compiling.periods(model)), *variants]:
        for price in vars(prices).values():
            if price is not None:
                figures = [price] if isinstance(price, Decimal) else [price.base, *(tier.price for tier in price.tiers)]
                if any(figure % Decimal("0.000001") for figure in figures):
                    return True
    return False


def test_every_row_costs_what_the_source_says() -> None:
    chance = random.Random(20261126)
    for row in ROWS:
        for when in moments(row.model):
            for tier, context in contexts(row.model):
                for top in (2_000, 600_000):
                    check(row, usage_of(chance, top), when, tier, context)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ROWS), st.randoms(use_true_random=False), st.integers(1, 2_000_000), st.data())
def test_any_row_any_usage(row: Row, chance: random.Random, top: int, data: st.DataObject) -> None:
    seconds = data.draw(st.integers(0, 3 * 365 * 86_400))
    when = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    tier, context = data.draw(st.sampled_from(contexts(row.model)))
    check(row, usage_of(chance, top), when, tier, context)


def test_the_edge_of_a_step_is_the_sources() -> None:
    stepped = [row for row in ROWS if any(isinstance(price, source.TieredPrices) for price in figures(row.model))]
    assert len(stepped) > 100
    for row in stepped:
        for start in {tier.start for price in figures(row.model) for tier in getattr(price, "tiers", ())}:
            for taken in (start - 1, start, start + 1):
                check(row, Usage(taken, 10, taken // 2), NOW, "", {})


def figures(model: source.ModelInfo) -> list[object]:
    return [price for _, prices in compiling.periods(model) for price in vars(prices).values()]


def names() -> Iterator[tuple[str, str, str]]:
    """A provider's id, our kind, and names that its models may go by: those of the rules, and some made from them."""
    for kind, ids in compiling.KINDS.items():
        if ids[0].startswith("huggingface_"):
            continue
        heard = {row["model"] for row in second_source.read() if row["kind"] == kind}
        for model in models_of(kind):
            for rule in model.match:
                if isinstance(rule, str) and not rule.startswith("re:"):
                    plain = rule.strip("*")
                    heard |= {plain, f"{plain}-2026-01-31", f"{plain}-20260131", f"x{plain}", plain.upper()}
        yield from ((ids[0], kind, name) for name in sorted(heard))


def test_every_name_leads_to_the_same_model() -> None:
    asked = list(names())
    assert len(asked) > 10_000
    for id, kind, name in asked:
        found, ours = BY_ID[id].find_model(name, all_providers=PROVIDERS), known(kind, name)
        if found is None:
            assert ours is None or not ours.price, (kind, name)
        elif not is_left_out(found):
            assert ours is not None, (kind, name)
            assert ours.id == found.id.lower(), (kind, name)


def is_left_out(model: source.ModelInfo) -> bool:
    told = [vars(prices).keys() for _, prices in compiling.periods(model)]
    return bool(compiling.unpriced(model)) and all(keys and keys <= compiling.NOT_COUNTED for keys in told)


def test_what_a_router_sends_elsewhere_is_priced_by_its_host() -> None:
    hosts = {model.id.rpartition(":")[2] for model in models_of("huggingface")}
    assert {"together", "novita", "groq", "fireworks-ai"} <= hosts
    assert price_of("huggingface", "meta-llama/Llama-3.3-70B-Instruct:together") is not None
    assert price_of("huggingface", "meta-llama/Llama-3.3-70B-Instruct") is None


def test_a_model_without_a_figure_has_no_price() -> None:
    unpriced = [
        (kind, model.id)
        for kind, ids in compiling.KINDS.items()
        for id in ids
        for model in BY_ID[id].models
        if compiling.unpriced(model) and not is_left_out(model)
    ]
    assert ("cerebras", "qwen-3-coder-480b") in unpriced
    for kind, id in unpriced:
        assert price_of(kind, id) is None, (kind, id)
    free = price_of("openrouter", "deepseek/deepseek-r1:free")
    assert free is not None
    assert free.cost(Usage(1000, 1000), NOW.timestamp()) == 0


MADE = compiling.make()


@pytest.mark.parametrize("name", sorted(MADE))
def test_the_table_is_what_its_sources_give(name: str) -> None:
    assert (compiling.FOLDER / name).read_text("utf-8") == MADE[name], "run `make prices`"


def test_the_hash_is_that_of_the_files() -> None:
    assert compiling.hash_of(compiling.FOLDER) == table_hash(), "run `make prices`"
    assert sorted(f"{kind}.jsonl" for kind in tables()) == sorted([*MADE, compiling.BY_HAND])
