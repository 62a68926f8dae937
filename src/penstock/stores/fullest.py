"""Which accounts of a budget are the fullest in its window, and what was spent by the hour: what is watched."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from penstock.reservation import Rule
from penstock.stores.attribution import Question, usage_of

__all__ = ["ALL", "Filled", "fullest", "hourly", "largest"]

# Of one budget; below so much of the limit nobody has to be told anything.
MOST_FULL = 1_000
LEAST_PART = 50
# How many tenants' spending is watched for what is unusual: those that spent the most.
MOST_TENANTS = 50
# The name of everything together; no tenant's can have a slash.
ALL = "/"

_FULLEST = """
SELECT value, seeded + settled FROM accounts WHERE rule = ? AND "window" = ? AND seeded + settled >= ?
ORDER BY seeded + settled DESC LIMIT ?
"""


class Filled(NamedTuple):
    """What is spent of one account, in the window that began then."""

    rule: Rule
    window: int
    value: str
    spent: int


def fullest(connection: sqlite3.Connection, budgets: Iterable[tuple[Rule, int]]) -> list[Filled]:
    """Of each budget, in the window given with it, the accounts of which a fiftieth or more is spent."""
    found: list[Filled] = []
    for rule, window in budgets:
        asked = (rule.id, window, max(1, rule.limit // LEAST_PART), MOST_FULL)
        found += (Filled(rule, window, value, spent) for value, spent in connection.execute(_FULLEST, asked))
    return found


def hourly(connection: sqlite3.Connection, since: int, until: int) -> dict[str, dict[int, int]]:
    """What was spent in each hour (since the Unix epoch), in all and by tenant; in nano-dollars.

    Args:
        since, until: hours; `until` is not included.
    """
    found: dict[str, dict[int, int]] = {ALL: {}}
    for by in ((), ("tenant",)):
        for tally in usage_of(connection, Question(by, since * 3600.0, until * 3600.0, {}, 3600)):
            name = tally.values[0] if by else ALL
            if name != "-":
                found.setdefault(name, {})[tally.at // 3600] = tally.measures.cost
    return found


def largest(hourly: dict[str, dict[int, int]]) -> dict[str, dict[int, int]]:
    """Everything together, and those tenants that spent the most."""
    tenants = sorted(hourly.keys() - {ALL}, key=lambda name: -sum(hourly[name].values()))
    return {name: hourly[name] for name in (ALL, *tenants[:MOST_TENANTS])}
