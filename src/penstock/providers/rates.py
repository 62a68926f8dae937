"""What a call costs, in whole numbers: prices are pico-dollars a unit, costs nano-dollars, rounded up once a call.

Pure. A price is for a unit and what it includes: the input includes what was read from the cache and what was sound,
each of which may have a price of its own. So each price becomes what its unit costs *more* than the units it is part
of, and a cost is a plain sum of products over the counts as they are told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from penstock.usage import Usage

__all__ = ["COUNTED", "UNITS", "Amount", "Rates", "amount_at", "starts_of"]

# A price for all amounts, or in steps: [price, start, price, start, price]. A step holds for the whole of a request
# whose input has *more* tokens than its start.
Amount = int | list[int]

# Every unit that a price can be for, those that include it before it; and which units include it.
UNITS: dict[str, tuple[str, ...]] = {
    "input": (),
    "cache_read": ("input",),
    "cache_write": ("input",),
    "cache_write_1h": ("input", "cache_write"),
    "input_audio": ("input",),
    "cache_read_audio": ("input", "cache_read", "input_audio"),
    "input_image": ("input",),
    "cache_read_image": ("input", "cache_read", "input_image"),
    "input_video": ("input",),
    "output": (),
    "reasoning": ("output",),
    "output_audio": ("output",),
    "output_image": ("output",),
    "output_video": ("output",),
    "citation": ("output",),
    "web_search": (),
    "file_search": (),
    "request": (),
}

_BOTH = ("cache_read_audio", "cache_read_image")

# Those of which `Usage` has a count. The others stand in the table to be shown; what they would add is not known.
COUNTED = (
    *("request", "input", "output", "cache_read", "cache_write"),
    *("cache_write_1h", "reasoning", "input_audio", "output_audio", "cache_read_audio", "web_search"),
)
# From how many tokens of input on, and what each unit in `COUNTED` adds; the rare ones as a tuple, None if all are 0.
_Step = tuple[int, int, int, int, int, int, tuple[int, ...] | None]

# The ledger's numbers have 64 bits. Providers' counts are not trusted: 2**53 tokens would cost more than that holds.
_MOST = 2**63 - 1
_PICOS = 1000
_UP = _PICOS - 1  # rounds up what it is added to before the division: `-(-x // y)` takes longer


class Rates:
    """Prices as they stand at one moment, for one tier.

    Args:
        prices: what each unit costs. Raises ValueError for one that no unit has.
    """

    __slots__ = ("_only", "_steps", "prices")

    def __init__(self, prices: Mapping[str, Amount]) -> None:
        unknown = prices.keys() - UNITS.keys()
        if unknown:
            raise ValueError(f"no such unit: {', '.join(sorted(unknown))}")
        self.prices = dict(prices)
        starts = sorted({start for amount in prices.values() for start in starts_of(amount)}, reverse=True)
        self._steps = [_step(prices, start) for start in (*starts, -1)]
        self._only = self._steps[0] if not starts else None

    def __repr__(self) -> str:
        return f"<Rates {self.prices}>"

    def cost(self, usage: Usage) -> int:
        """Nano-dollars, rounded up. Parts that are more than the whole have no price of their own: the dearer it is."""
        taken, given = usage.input_tokens, usage.output_tokens
        read, written = usage.cache_read_tokens, usage.cache_write_tokens
        _, request, per_input, per_output, per_read, per_write, rare = self._only or self._step_of(taken)
        picos = request + per_input * taken + per_output * given
        if read or written:
            if read + written > taken:
                read = written = 0
            picos += per_read * read + per_write * written
        if rare is not None and (
            usage.reasoning_tokens
            or usage.cache_write_1h_tokens
            or usage.web_searches
            or usage.input_audio_tokens
            or usage.output_audio_tokens
        ):
            picos += _rare(rare, usage, read, written)
        nanos = (picos + _UP) // _PICOS
        return nanos if nanos <= _MOST else _MOST

    def _step_of(self, taken: int) -> _Step:
        """The one that holds for so much input."""
        for step in self._steps:
            if taken > step[0]:
                break
        return step


def _rare(factors: tuple[int, ...], usage: Usage, read: int, written: int) -> int:
    taken, given = usage.input_tokens, usage.output_tokens
    heard = min(usage.input_audio_tokens, taken - written)
    reasoned = min(usage.reasoning_tokens, given)
    counts = (
        min(usage.cache_write_1h_tokens, written),
        reasoned,
        heard,
        min(usage.output_audio_tokens, given - reasoned),
        # Nobody tells how much of what was read from the cache was sound: no more than must have been.
        max(0, read + written + heard - taken),
        usage.web_searches,
    )
    return sum([factor * count for factor, count in zip(factors, counts, strict=True)])


def starts_of(amount: Amount) -> Iterable[int]:
    """From how many tokens of input on its steps hold."""
    return amount[1::2] if isinstance(amount, list) else ()


def amount_at(amount: Amount, start: int) -> int:
    """The price for a request of the step that begins at `start`."""
    if isinstance(amount, int):
        return amount
    price = amount[0]
    for at in range(1, len(amount), 2):
        if start >= amount[at]:
            price = amount[at + 1]
    return price


def _step(prices: Mapping[str, Amount], start: int) -> _Step:
    # What each unit costs more than those that include it.
    more: dict[str, int] = {}
    for unit, around in UNITS.items():
        price = prices.get(unit)
        if price is None and unit in _BOTH and all(outer in prices for outer in around):
            price = prices[around[-1]]  # what is two things at once, and has no price as such, has no discount
        if price is not None:
            more[unit] = amount_at(price, start) - sum(more.get(outer, 0) for outer in around)
    request, taken, given, read, written, *rare = (more.get(unit, 0) for unit in COUNTED)
    return start, request, taken, given, read, written, tuple(rare) if any(rare) else None
