"""How `penstock models` shows what it found: a table, one model in full, or JSON."""

from __future__ import annotations

import json
import shutil
import textwrap
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import click

from penstock.config.prices import price_text, show_prices
from penstock.providers.models import CAPABILITIES, Model, table_hash
from penstock.providers.prices import Price
from penstock.providers.rates import Amount, Rates

__all__ = ["Found", "as_json", "by", "card", "listing"]

LETTERS = dict(zip(CAPABILITIES, "TPJVAMDRFC", strict=True))
LEGEND = (
    "T tools  P parallel tools  J JSON schema  V vision  A audio  M video",
    "D documents  R thinking  F prefill  C prompt caching  - no  . unknown",
    "$ per million tokens now  + dearer for long requests  ? unknown",
)
NARROWEST = 24  # of a name that does not fit


class Found(NamedTuple):
    """A model of one provider, with what holds now.

    Attributes:
        can: by capability; of what is not there nobody knows.
        price: None where nobody knows.
        rates: what of it holds now.
    """

    provider: str
    model: Model
    can: dict[str, bool]
    price: Price | None
    rates: Rates | None

    @property
    def name(self) -> str:
        """As one asks for it."""
        return f"{self.provider}/{self.model.id}"

    def costs(self, unit: str) -> int | None:
        """Pico-dollars a token for a request that is not long; None where unknown."""
        amount = self.rates.prices.get(unit, 0) if self.rates is not None else None
        return amount[0] if isinstance(amount, list) else amount

    def costs_at_most(self, unit: str, most: int) -> bool:
        """Whether it is known to."""
        picos = self.costs(unit)
        return picos is not None and picos <= most

    def lives(self, wall: float) -> bool:
        """Whether it is not known to be switched off."""
        day = self.model.deprecated
        return not day or day > f"{datetime.fromtimestamp(wall, UTC):%Y-%m-%d}"


def by(order: str) -> Callable[[Found], Any]:
    """What to sort by: `name`; `price`, of three tokens in and one out; `context`, the longest first."""
    if order == "price":
        return lambda found: (found.rates is None, 3 * (found.costs("input") or 0) + (found.costs("output") or 0))
    if order == "context":
        return lambda found: -(found.model.context or 0)
    return lambda found: found.name


def as_json(found: Sequence[Found]) -> str:
    """An array, one object a line."""
    lines = (json.dumps(_told(each), ensure_ascii=False) for each in found)
    return "[" + ",\n ".join(lines) + "]"


def _told(found: Found) -> dict[str, Any]:
    model, price = found.model, found.price
    return {
        "model": found.name,
        "operation": model.kind,
        "context": model.context,
        "max_output": model.output,
        "can": sorted(name for name, told in found.can.items() if told),
        "cannot": sorted(name for name, told in found.can.items() if not told),
        "deprecated": model.deprecated or None,
        "price": show_prices(found.rates.prices) if found.rates is not None else None,
        "price_table": price.source if price is not None else None,
    }


def listing(found: Sequence[Found], *, terminal: bool, plain: bool) -> str:
    """A table: as wide as a terminal, capabilities as letters; in a pipe names whole and capabilities in words."""
    rows = [(each.name, *_cells(each)) for each in found]
    width = max(len(name) for name, *_ in rows)
    head = ("model", "window", "output", "in $", "out $")
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(1, 5)]
    if terminal:
        width = min(width, max(NARROWEST, shutil.get_terminal_size().columns - sum(widths) - 8 - 2 - len(LETTERS)))
    lines = []
    for row, can in zip((head, *rows), ("can", *(_can(each, words=not terminal) for each in found)), strict=True):
        cells = "  ".join(cell.rjust(widths[at]) for at, cell in enumerate(row[1:]))
        lines.append(f"{_short(row[0], width).ljust(width)}  {cells}  {can}".rstrip())
    if terminal and not plain:
        lines[0] = click.style(lines[0], bold=True)
    return "\n".join([*lines, *(LEGEND if terminal else ())])


def _cells(found: Found) -> tuple[str, str, str, str]:
    model = found.model
    return _size(model.context), _size(model.output), _price(found, "input"), _price(found, "output")


def _price(found: Found, unit: str) -> str:
    picos = found.costs(unit)
    if found.rates is None or picos is None:
        return "?"
    return price_text(unit, picos) + ("+" if isinstance(found.rates.prices.get(unit), list) else "")


def _size(tokens: int | None) -> str:
    if tokens is None:
        return "?"
    if tokens >= 1_000_000:
        return f"{tokens / 1_000_000:.2g}M"
    return f"{tokens / 1000:.0f}k" if tokens >= 1000 else str(tokens)


def _can(found: Found, *, words: bool) -> str:
    if words:
        return ",".join(name for name in CAPABILITIES if found.can.get(name))
    told = {True: "", False: "-", None: "."}
    return "".join(told[found.can.get(name)] or letter for name, letter in LETTERS.items())


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else name[: width - 1] + "…"


def card(found: Found, *, terminal: bool) -> str:
    """One model in full; on a terminal no line is longer than that is wide."""
    room = max(40, shutil.get_terminal_size().columns - 12) if terminal else 10_000
    lines = []
    for name, text in _lines(found):
        for at, piece in enumerate(textwrap.wrap(text, room, break_on_hyphens=False)):
            lines.append(f"{'' if at else name:<12}{piece}")
    return "\n".join(lines)


def _lines(found: Found) -> Iterator[tuple[str, str]]:
    model = found.model
    yield "model", found.name
    names = [rule if isinstance(rule, str) else " and ".join(rule) for rule in model.match]
    if names != [model.id]:
        yield "names", ", ".join(names)
    yield "window", f"{model.context:,} tokens" if model.context else "unknown"
    yield "output", f"at most {model.output:,} tokens" if model.output else "unknown"
    for label, told in (("can", True), ("cannot", False)):
        able = [name.replace("_", " ") for name in CAPABILITIES if found.can.get(name) is told]
        if able:
            yield label, ", ".join(able)
    if model.deprecated:
        yield "ends", model.deprecated
    if found.price is None:
        yield "price", "unknown: declare it under prices: in penstock.yaml"
        return
    for tier, periods in (("price", found.price.periods), *found.price.tiers.items()):
        for when, prices in periods:
            first, *more = _period(when, prices)
            yield tier, first
            yield from (("", line) for line in more)
    yield "from", f"table {found.price.source}" if found.price.source == table_hash() else "the configuration"


def _period(when: str, prices: dict[str, Amount]) -> Iterator[str]:
    shown = show_prices(prices)
    above = shown.pop("above", {})
    since = f" ({f'{when} UTC' if ':' in when else f'from {when}'})" if when else ""
    yield ", ".join(f"{unit} {price}" for unit, price in shown.items()) + since
    for start, more in above.items():
        yield f"above {int(start):,} tokens: " + ", ".join(f"{unit} {price}" for unit, price in more.items())
