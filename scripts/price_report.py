"""Where the two sources of prices disagree: `python -m scripts.price_report` prints every figure, with both.

tests/providers/test_price_disagreements.py holds this against the list of those that are known, each with a reason,
so that a new one is noticed when the table is made anew.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from penstock.providers.models import known, price_of
from penstock.providers.rates import UNITS, Amount, Rates
from scripts import second_source

__all__ = ["WHEN", "Difference", "compared", "differences", "main"]

# The day for which both are asked; the second source knows no periods.
WHEN = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)


class Difference(NamedTuple):
    """One figure: of which model, for which unit (`flex:input`; ` above 200000`), and what both say of it."""

    kind: str
    model: str
    unit: str
    ours: int | None
    theirs: int

    def __str__(self) -> str:
        ours = "-" if self.ours is None else f"{self.ours / 1e6:g}"
        return f"{self.kind:<11} {self.model:<52} {self.unit:<28} {ours:>10} {self.theirs / 1e6:>10g}"


def main() -> None:
    """Print the report."""
    found = list(differences())
    for difference in found:
        print(difference)
    models, figures = compared()
    print(f"{figures} figures of {models} models in both; {len(found)} differ:", dict(Counter(d.kind for d in found)))


def compared() -> tuple[int, int]:
    """How many models both have a price of, and how many figures were held against each other."""
    rows = [(row, theirs) for row, theirs in _rows() if price_of(row["kind"], row["model"]) is not None]
    return len(rows), sum(len(theirs) for _, theirs in rows)


def differences() -> Iterator[Difference]:
    """Every figure that the second source has and that is another in our table, or is missing there."""
    for row, theirs in _rows():
        price = price_of(row["kind"], row["model"])
        if price is None:
            continue
        for name, amount in theirs.items():
            tier, _, unit = name.rpartition(":")
            rates = price.rates(WHEN.timestamp(), tier)
            starts = {0, *_starts(amount), *_starts(rates.prices.get(unit, 0) if rates is not None else 0)}
            for start in sorted(starts):
                ours = _ours(rates, unit, start) if rates is not None else None
                figure = _at(amount, start)
                # 0 says of a part that it has no price of its own, not that it is free.
                if ours != figure and (figure or rates is None or unit in rates.prices):
                    told = f"{name} above {start}" if start else name
                    yield Difference(row["kind"], row["model"], told, ours, figure)


def _rows() -> Iterator[tuple[dict[str, str], dict[str, Amount]]]:
    for row in second_source.read():
        if row["price"] and known(row["kind"], row["model"]) is not None:
            yield row, row["price"]


def _starts(amount: Amount) -> list[int]:
    return amount[1::2] if isinstance(amount, list) else []


def _ours(rates: Rates, unit: str, start: int) -> int:
    """The price of a unit in a request with a token more than `start`; without one of its own, what it is part of."""
    while unit not in rates.prices and UNITS[unit]:
        unit = UNITS[unit][-1]
    return _at(rates.prices.get(unit, 0), start)


def _at(amount: Amount, start: int) -> int:
    if not isinstance(amount, list):
        return amount
    steps = zip(amount[1::2], amount[2::2], strict=True)
    return next((price for begin, price in sorted(steps, reverse=True) if start >= begin), amount[0])


if __name__ == "__main__":
    main()
