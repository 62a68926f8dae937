"""A deployment's price: what holds at a given moment for the tier that served a call, and where it is from.

A vendor's prices are the table's (`providers/models.py`); what stands under `prices:` in a configuration goes before
it. What has no price costs *unknown*, which is None and never 0.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from math import inf

import msgspec

from penstock.providers.ceiling import Ceiling, Kinds
from penstock.providers.rates import Amount, Rates
from penstock.usage import Usage

__all__ = ["Period", "Price", "declared", "match_declared"]

# When it holds, and the prices: "" is always, `2026-08-17` from that day on, `01:00-04:00` each day; all in UTC.
Period = tuple[str, dict[str, Amount]]

_DAY = timedelta(days=1)
PLAIN = Kinds()
# Tiers that a call may ask for and that are never dearer than the standard one; `auto` may be (OpenAI: a project's own
# setting decides, https://platform.openai.com/docs/api-reference/chat/create#chat-create-service_tier).
_ASKED_FOR = "fast"  # https://platform.claude.com/docs/en/build-with-claude/fast-mode
_NO_DEARER = frozenset(("default", "standard", "standard_only", "flex", "on_demand", "batch"))


class Price:
    """What one model of one provider costs.

    Args:
        periods: in order; the last one that holds is taken, and the first where none does.
        tiers: by tier, what differs from that; the first that holds for a unit is taken.
        source: the hash of the table it is from, or `config:` and the hash of what was declared.
        any_tier: a tier that has no price of its own costs the same as the standard one.
    """

    __slots__ = (
        "_any_tier",
        "_ceilings",
        "_from",
        "_standard",
        "_tiered",
        "_until",
        "_usual",
        "periods",
        "source",
        "tiers",
    )

    def __init__(
        self,
        periods: Sequence[Period],
        tiers: Mapping[str, Sequence[Period]] | None = None,
        *,
        source: str,
        any_tier: bool = False,
    ) -> None:
        self.periods = periods
        self.tiers = tiers or {}
        self._any_tier = any_tier
        self.source = source
        # Which rates hold now, and from when until when that is so.
        self._standard = Rates(periods[0][1])
        self._tiered: dict[str, Rates] = {}
        self._ceilings: dict[tuple[str, Kinds], Ceiling] = {}
        # Of text, for whoever asks for no tier: of nearly all.
        self._usual: Ceiling | None = None
        always = not self.tiers and all(when == "" for when, _ in periods)
        self._from, self._until = (-inf, inf) if always else (inf, -inf)

    def __repr__(self) -> str:
        return f"<Price {self._standard.prices} | {', '.join(self.tiers) or 'no tiers'} | {self.source}>"

    def cost(self, usage: Usage, wall: float) -> int | None:
        """Nano-dollars of a call that ended at the Unix time `wall`; None where its tier has no price."""
        if not self._from <= wall < self._until:
            self._settle(wall)
        if usage.tier:
            rates = self._tiered.get(usage.tier)
            if rates is not None:
                return rates.cost(usage)
            if not self._any_tier:
                return None
        return self._standard.cost(usage)

    def rates(self, wall: float, tier: str = "") -> Rates | None:
        """The prices at a Unix time; None for a tier without one."""
        if not self._from <= wall < self._until:
            self._settle(wall)
        return self._tiered.get(tier, self._standard if self._any_tier else None) if tier else self._standard

    def ceiling(self, wall: float, tier: str = "", kinds: Kinds = PLAIN) -> Ceiling:
        """The most that a call made at a Unix time can cost.

        Args:
            tier: the tier that it asks for. One that does not say, or leaves it open, may be served by any.
        """
        if not self._from <= wall < self._until:
            self._settle(wall)
        if not tier and kinds is PLAIN and self._usual is not None:
            return self._usual
        key = ("" if tier not in _NO_DEARER and tier != _ASKED_FOR else tier, kinds)
        found = self._ceilings.get(key)
        if found is None:
            rates = [self._standard]
            if tier not in _NO_DEARER:
                rates += [one for name, one in self._tiered.items() if tier == _ASKED_FOR or _ASKED_FOR not in name]
            found = self._ceilings[key] = Ceiling(rates, kinds)
        if not tier and kinds is PLAIN:
            self._usual = found
        return found

    def _settle(self, wall: float) -> None:
        """Find the rates that hold at `wall`, and for how long they do."""
        prices = self.periods[0][1]
        for when, offered in self.periods:
            if _holds(when, wall):
                prices = offered
        self._standard = Rates(prices)
        told = {name: _differences(periods, wall) for name, periods in self.tiers.items()}
        self._tiered = {name: Rates(prices | differs) for name, differs in told.items() if differs}
        self._ceilings.clear()
        self._usual = None
        conditions = {when for periods in (self.periods, *self.tiers.values()) for when, _ in periods if when}
        turns = sorted(turn for when in conditions for turn in _turns(when, wall))
        self._from = max((turn for turn in turns if turn <= wall), default=-inf)
        self._until = min((turn for turn in turns if turn > wall), default=inf)


def declared(prices: dict[str, Amount]) -> Price:
    """A price from a configuration: for all times and tiers. Raises ValueError for a unit that there is none of."""
    text = msgspec.json.encode(prices, order="deterministic")
    return Price([("", prices)], source=f"config:{hashlib.sha256(text).hexdigest()[:12]}", any_tier=True)


def match_declared(prices: Mapping[str, Price], deployment: str) -> Price | None:
    """What is declared for `provider/model`: by that name, else by the longest pattern that fits (`provider/*`)."""
    found = prices.get(deployment)
    if found is not None:
        return found
    patterns = [name for name in prices if name.endswith("*") and deployment.startswith(name[:-1])]
    return prices[max(patterns, key=len)] if patterns else None


def _differences(periods: Sequence[Period], wall: float) -> dict[str, Amount]:
    found: dict[str, Amount] = {}
    for when, prices in periods:
        if _holds(when, wall):
            found = prices | found
    return found


def _holds(when: str, wall: float) -> bool:
    if not when:
        return True
    now = datetime.fromtimestamp(wall, UTC)
    begin, dash, end = when.partition("-")
    if ":" not in begin or not dash:
        return f"{now:%Y-%m-%d}" >= when
    at = f"{now:%H:%M}"
    return begin <= at < end if begin <= end else at >= begin or at < end


def _turns(when: str, wall: float) -> list[float]:
    """The moments about `wall` at which a condition begins or ends."""
    if ":" not in when:
        return [datetime.fromisoformat(f"{when}T00:00:00+00:00").timestamp()]
    today = datetime.fromtimestamp(wall, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = []
    for day in (today - _DAY, today, today + _DAY):
        for clock in when.split("-"):
            hours, minutes = clock.split(":")
            found.append((day + timedelta(hours=int(hours), minutes=int(minutes))).timestamp())
    return found
