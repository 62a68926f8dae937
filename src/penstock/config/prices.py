"""Reads `prices:`, and holds `unknown_price: refuse` against what is known. Money never passes through a float."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from penstock.config import values
from penstock.config.limits import DEAREST
from penstock.config.pricing import Pricing
from penstock.config.reader import Reader
from penstock.config.schema import Config, Prices, Provider
from penstock.config.tree import Node
from penstock.providers.catalogue import load_catalogue
from penstock.providers.rates import UNITS, Amount
from penstock.routing.nearest import did_you_mean, quoted

__all__ = ["check_known", "per_million", "price_text", "read_prices", "show_prices"]

# Not by the million: dollars each.
EACH = frozenset(("web_search", "file_search", "request"))
_FORM = "write {input: 0.25, output: 2}, in dollars per million tokens"
_PICOS_OF_A_TOKEN = 1_000_000  # to a dollar per million
_PICOS = 1_000_000_000_000


def read_prices(reader: Reader, node: Node | None, providers: Mapping[str, Provider], routes: Node | None) -> Prices:
    """`prices:`, in pico-dollars a unit, by `provider/model` or pattern."""
    found: Prices = {}
    if node is None:
        return found
    names = routes.value if routes is not None and isinstance(routes.value, dict) else {}
    for name, entry in reader.entries(node).items():
        problem = _problem(name, providers, names)
        if problem:
            reader.problems.add(entry.key, problem)
        prices = _one(reader, entry)
        if prices and not problem:
            found[name] = prices
    return found


def _problem(name: str, providers: Mapping[str, Provider], routes: Mapping[str, object]) -> str:
    provider, slash, model = name.partition("/")
    if name == "*":
        return ""
    if "*" in name[:-1]:
        return f"{quoted(name)}: a pattern has its * at its end"
    if name in routes:
        return f"{quoted(name)} is a name under models: a price is for what it leads to, provider/model"
    if not slash or not model:
        return f"{quoted(name)} is not provider/model"
    if provider not in providers:
        return f"no provider is named {quoted(provider)}{did_you_mean(provider, providers)}"
    return ""


def _one(reader: Reader, entry: Node) -> dict[str, Amount]:
    if not isinstance(entry.value, dict):
        reader.problems.add(entry.place, _FORM)
        return {}
    fields = reader.fields(entry, "price")
    given = [unit for unit in UNITS if unit in fields]
    found: dict[str, Amount] = {unit: reader.value(fields[unit], _parser(unit), 0) for unit in given}
    for unit in ("input", "output"):
        if unit not in fields:
            reader.problems.add(entry.place, f"{unit} is missing; write {unit}: 0 for what costs nothing")
    for start, more in _steps(reader, fields.get("above")):
        for unit, price in more.items():
            before = found.get(unit)
            if before is None:
                reader.problems.add(entry.place, f"{unit} has a price above {start} tokens and none below")
            else:
                found[unit] = [*(before if isinstance(before, list) else [before]), start, price]
    return found


def _parser(unit: str) -> Callable[[object], int]:
    return _each if unit in EACH else per_million


def _steps(reader: Reader, node: Node | None) -> list[tuple[int, dict[str, int]]]:
    """What holds for the whole of a request with more input than so many tokens, the smallest number first."""
    found: list[tuple[int, dict[str, int]]] = []
    for size, entry in reader.entries(node).items() if node is not None else ():
        start = reader.value(Node(size, entry.key, entry.key), values.count, 0)
        fields = reader.fields(entry, "price_step")
        found.append((start, {unit: reader.value(price, per_million, 0) for unit, price in fields.items()}))
    return sorted(found, key=lambda step: step[0])


def per_million(value: object) -> int:
    """Dollars per million tokens in pico-dollars a token. Raises ValueError."""
    return _money(value, _PICOS_OF_A_TOKEN, 6)


def _each(value: object) -> int:
    return _money(value, _PICOS, 12)


def _money(value: object, picos: int, decimals: int) -> int:
    """Dollars, as a number or as text, in whole pico-dollars."""
    # The shortest text that stands for a float is what was written, as long as it has at most 15 digits.
    text = repr(value) if isinstance(value, float) else str(value)
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal("nan")
    if isinstance(value, bool) or not isinstance(value, int | float | str) or not amount.is_finite():
        raise ValueError(f"{quoted(text)} is not a price: write a number of dollars, such as 0.25")
    if not 0 <= amount <= DEAREST:
        raise ValueError(f"{quoted(text)} is not a price: it lies between 0 and {DEAREST:,} dollars")
    found = amount * picos
    if found % 1:
        raise ValueError(f"{quoted(text)} is too fine: at most {decimals} decimals")
    return int(found)


def price_text(unit: str, picos: int) -> str:
    """As one would write it: dollars per million tokens, or each."""
    amount = Decimal(picos) / (_PICOS if unit in EACH else _PICOS_OF_A_TOKEN)
    return f"{amount.normalize():f}"


def show_prices(units: Mapping[str, Amount]) -> dict[str, Any]:
    """As they are written under `prices:`, in text."""
    shown: dict[str, Any] = {}
    above: dict[str, dict[str, str]] = {}
    for unit, amount in units.items():
        first, *steps = amount if isinstance(amount, list) else [amount]
        shown[unit] = price_text(unit, first)
        for start, price in zip(steps[::2], steps[1::2], strict=True):
            above.setdefault(str(start), {})[unit] = price_text(unit, price)
    return shown | ({"above": above} if above else {})


def check_known(reader: Reader, config: Config, routes: Node | None) -> None:
    """Whether every target of a model that says `unknown_price: refuse` has a price."""
    entries = routes.value if routes is not None and isinstance(routes.value, dict) else {}
    refusing = [route for route in config.models.values() if route.unknown_price == "refuse"]
    if not refusing:
        return
    pricing = Pricing(config, load_catalogue())
    for route in refusing:
        for target in route.targets:
            if target.provider in config.providers and pricing.of(target.provider, target.model) is None:
                reader.problems.add(
                    entries[route.name].key,
                    f"nobody knows what {quoted(str(target))} costs, and unknown_price is refuse:"
                    f" declare it under prices: {{{target}: {{input: ..., output: ...}}}}",
                )
