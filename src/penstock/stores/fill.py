"""How full the accounts of limits and budgets are, for whoever looks after them: the fullest of each rule.

What budgets have spent is asked of the books, which also tell it when no gateway runs. Rates and calls at a time are
known to the gateway that runs alone.
"""

from __future__ import annotations

import heapq
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, Protocol

from penstock.clock import Clock
from penstock.reservation import Rule
from penstock.stores.calendar import window_at
from penstock.stores.sqlite import Database
from penstock.stores.treasury import Treasury

__all__ = ["MOST_FILLED", "Fill", "Fills", "Standings"]

# Of one rule.
MOST_FILLED = 100
_SPENT = """
SELECT value, seeded + settled FROM accounts WHERE rule = ? AND "window" = ? AND seeded + settled > 0
ORDER BY seeded + settled DESC, value LIMIT ?
"""


class Fill(NamedTuple):
    """An account.

    Attributes:
        used: of the rule's limit; of a rate, what has not come back yet; of calls at a time, those that run, and those
            that workers have room for.
        whole: how much there is when nothing is used.
        until: when it begins anew, in Unix time; 0 where it does not.
    """

    value: str
    used: int
    whole: int
    until: float = 0.0


class Fills(Protocol):
    """Who knows it."""

    async def fullest(self, rules: Sequence[Rule], most: int) -> list[list[Fill]]:
        """Of each rule the fullest accounts, up to so many; raises StoreFailed."""
        ...


class Standings:
    """The accounts of a store, and of a gateway that runs on it.

    Args:
        database: the books; None: nothing is kept, and budgets stand as the treasury has them.
        treasury: of the gateway; None: none runs.
        running: how many calls at a time its workers have room for, by rule and value.
    """

    def __init__(
        self,
        database: Database | None,
        clock: Clock,
        treasury: Treasury | None = None,
        running: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._database = database
        self._clock = clock
        self._treasury = treasury
        self._running = running

    async def fullest(self, rules: Sequence[Rule], most: int) -> list[list[Fill]]:
        """As `Fills`."""
        now, database = self._clock.wall(), self._database
        booked = [rule for rule in rules if rule.kind == "budget" and database is not None]
        spent: dict[str, list[Fill]] = {}
        if booked and database is not None:
            spent = await database.read(lambda connection: _spent(connection, booked, now, most))
        return [spent[rule.id] if rule.id in spent else self._live(rule, most) for rule in rules]

    def _live(self, rule: Rule, most: int) -> list[Fill]:
        if rule.kind == "concurrency":
            return self._calls(rule, most)
        if self._treasury is None:
            return []
        now = self._clock.wall()
        stands = ((value, stand) for value, stand in self._treasury.stands(rule.id) if stand.left < stand.limit)
        found = (Fill(value, stand.limit - stand.left, stand.limit, now + stand.resets) for value, stand in stands)
        return heapq.nsmallest(most, found, key=_order)

    def _calls(self, rule: Rule, most: int) -> list[Fill]:
        begin = f"calls:{rule.id}|"  # as `Gate.guard` has it
        held = ((name, used) for name, used in self._running().items() if name.startswith(begin) and used)
        found = (Fill(name.removeprefix(begin), used, rule.limit) for name, used in held)
        return heapq.nsmallest(most, found, key=_order)


def _order(fill: Fill) -> tuple[int, str]:
    return -fill.used, fill.value


def _spent(connection: sqlite3.Connection, rules: Sequence[Rule], now: float, most: int) -> dict[str, list[Fill]]:
    found = {}
    for rule in rules:
        window = window_at(rule.period, rule.zone, now)
        rows = connection.execute(_SPENT, (rule.id, window.start, most))
        found[rule.id] = [Fill(value, used, rule.limit, window.end) for value, used in rows]
    return found
