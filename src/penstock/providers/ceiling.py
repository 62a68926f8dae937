"""The most that a call can cost: over every tier that may serve it, every step of its price, every kind of token.

Pure, and in whole numbers as rates.py has them. What is reserved by this is never less than what is paid, as long as
the call takes no more tokens than it says.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from penstock.providers.rates import Amount, Rates, amount_at, starts_of

__all__ = ["Ceiling", "Kinds"]

_PICOS = 1000
_UP = _PICOS - 1  # rounds up what it is added to before the division: `-(-x // y)` takes longer
_MOST_NANOS = 2**63 - 1


class Kinds(NamedTuple):
    """What may be in a call besides text: sound in it, sound to come, and what stays in the cache for an hour."""

    heard: bool = False
    spoken: bool = False
    kept: bool = False


# From how many tokens of input on; what a request costs, a token of input and of output at most, and a search.
_Line = tuple[int, int, int, int, int]


class Ceiling:
    """Of one deployment, at one moment.

    Args:
        rates: of every tier that may serve the call.
        kinds: what may be in the call.
    """

    __slots__ = ("_lines", "_only")

    def __init__(self, rates: Iterable[Rates], kinds: Kinds = Kinds()) -> None:  # noqa: B008 -- it is frozen
        lines = {line for each in rates for line in _lines(each, kinds)}
        # One that is dearer in nothing tells nothing.
        self._lines = [one for one in lines if not any(other != one and _covers(other, one) for other in lines)]
        self._only = self._lines[0] if len(self._lines) == 1 else None

    def __repr__(self) -> str:
        return f"<Ceiling {self._lines}>"

    def cost(self, taken: int, given: int, searches: int = 0) -> int:
        """Nano-dollars of so many tokens of input and output, at most."""
        if self._only is not None and not searches:
            _, request, per_input, per_output, _ = self._only
            picos = request + per_input * taken + per_output * given
        else:
            picos = 0
            for start, request, per_input, per_output, search in self._lines:
                if taken > start:
                    most = request + per_input * taken + per_output * given + search * searches
                    if most > picos:
                        picos = most
        nanos = (picos + _UP) // _PICOS
        return nanos if nanos <= _MOST_NANOS else _MOST_NANOS

    def output(self, taken: int, nanos: int, searches: int = 0) -> int | None:
        """How many tokens of output such a call can have for so much money; negative where not even its input is paid
        for, None where output costs nothing."""
        found: int | None = None
        for start, request, per_input, per_output, search in self._lines:
            if taken > start:
                left = nanos * _PICOS - request - per_input * taken - search * searches
                if left < 0:
                    return -1
                if per_output:
                    paid = left // per_output
                    found = paid if found is None or paid < found else found
        return found


def _lines(rates: Rates, kinds: Kinds) -> Iterable[_Line]:
    prices = rates.prices
    # A write to the cache may be the vendor's own idea; to keep it for an hour is the caller's.
    taken = ["input", "cache_read", "cache_write", *(("cache_write_1h",) if kinds.kept else ())]
    if kinds.heard:
        taken += ["input_audio", "cache_read_audio"]
    given = ["output", "reasoning", *(("output_audio",) if kinds.spoken else ())]
    starts = {start for amount in prices.values() for start in starts_of(amount)}
    for start in (-1, *sorted(starts)):
        yield (
            start,
            _dearest(prices, ("request",), start),
            _dearest(prices, taken, start),
            _dearest(prices, given, start),
            _dearest(prices, ("web_search",), start),
        )


def _dearest(prices: dict[str, Amount], units: Iterable[str], start: int) -> int:
    return max((amount_at(prices[unit], start) for unit in units if unit in prices), default=0)


def _covers(one: _Line, other: _Line) -> bool:
    """Whether what it costs is never less, wherever the other counts."""
    return one[0] <= other[0] and all(mine >= its for mine, its in zip(one[1:], other[1:], strict=True))
