"""What was spent of a budget's account since its window began, as the ledger has it.

An account's own sum is what attempts that held something of it settled. A rule that is new in the middle of its
window begins with what was spent in it before, from the sums over attempts; so does one that was away for a while.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from penstock.reservation import Rule, Unit
from penstock.stores.attribution import Question, Tally, usage_of
from penstock.stores.bookings import Measures

__all__ = ["Holds", "Since", "adopt_rules", "spent_of"]

_NANOSECONDS = 10**9

_SPENT = 'SELECT seeded + settled FROM accounts WHERE rule = ? AND value = ? AND "window" = ?'
_SEED = """
INSERT INTO accounts (rule, value, "window", unit, seeded, settled) VALUES (:rule, :value, :window, :unit, :spent, 0)
ON CONFLICT (rule, value, "window") DO UPDATE SET seeded = max(seeded, excluded.seeded - settled)
"""


# Whether a rule is for a value of its scope.
Holds = Callable[[Rule, str], bool]


class Since(NamedTuple):
    """A budget and when its window that runs now began, in Unix seconds."""

    rule: Rule
    window: int


def spent_of(connection: sqlite3.Connection, rule: Rule, value: str, window: int) -> int:
    """What was spent of a rule's value in the window that began then, in the rule's unit."""
    found = connection.execute(_SPENT, (rule.id, value, window)).fetchone()
    return int(found[0]) if found is not None else 0


def adopt_rules(connection: sqlite3.Connection, budgets: Iterable[Since], now: int, holds: Holds) -> list[str]:
    """These are all the budgets there are from now on (Unix nanoseconds); returns the ids of those that are new.

    What is being answered at that moment, and was begun without a new rule, does not count for it.

    Args:
        holds: whether a rule is for a value of its scope: of others nothing is put down.
    """
    there = {since.rule.id: since for since in budgets}
    known = {id for (id,) in connection.execute("SELECT rule FROM budget_starts")}
    connection.executemany("DELETE FROM budget_starts WHERE rule = ?", [(id,) for id in known - there.keys()])
    new = [id for id in there if id not in known]
    connection.executemany("INSERT INTO budget_starts VALUES (?, ?)", [(id, now) for id in new])
    # What one that is gone was for another may be for now, which missed what was spent meanwhile.
    gone = {_kind(id) for id in known - there.keys()}
    heirs = [id for id in there if id in known and _kind(id) in gone and not _is_exact(there[id].rule)]
    for id in (*new, *heirs):
        _seed(connection, there[id], now, holds)
    return new


def _kind(id: str) -> tuple[str, ...]:
    """Scope and unit of a budget, as its id begins with them."""
    return tuple(id.split(" ", 3)[:3])


def _is_exact(rule: Rule) -> bool:
    return bool(rule.match) and "*" not in rule.match


def _seed(connection: sqlite3.Connection, since: Since, now: int, holds: Holds) -> None:
    rule = since.rule
    by = () if rule.scope == "global" else (rule.scope,)
    question = Question(by, since.window, now / _NANOSECONDS + 1)
    connection.executemany(
        _SEED,
        [
            {"rule": rule.id, "value": value, "window": since.window, "unit": rule.unit, "spent": spent}
            for value, spent in _amounts(usage_of(connection, question), rule.unit).items()
            if holds(rule, value)
        ],
    )


def _amounts(tallies: Iterable[Tally], unit: Unit) -> Mapping[str, int]:
    found = {tally.values[0] if tally.values else "": _amount(tally.measures, unit) for tally in tallies}
    return {value: amount for value, amount in found.items() if amount > 0}


def _amount(measures: Measures, unit: Unit) -> int:
    if unit == "usd":
        return measures.cost
    return measures.input_tokens + measures.output_tokens if unit == "tokens" else measures.requests
