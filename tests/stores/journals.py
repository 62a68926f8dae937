"""Attempts for the ledger's tests: a worker that opens, closes and dies as it is told."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from penstock.stores.journal import Journal
from penstock.stores.ledger import Ledger, journals_of
from penstock.stores.rows import Closed, Hold, Opened
from penstock.stores.sqlite import Database

__all__ = ["DAY", "HOUR", "Story", "closed", "hold", "ledger_of", "opened", "run", "table"]

T = TypeVar("T")

DAY = 1_764_115_200  # 2025-11-26 00:00 UTC
HOUR = 3600
_NANOS = 10**9


def hold(amount: int, value: str = "acme", rule: str = "day", window: int = DAY) -> Hold:
    """A hold on a budget of nano-dollars by the day."""
    return Hold(rule, value, window, "usd", amount)


def opened(request: str, number: int = 1, at: float = DAY + HOUR, **more: Any) -> Opened:
    """An attempt of acme's app at sim/small, unless said otherwise; `at` in Unix seconds."""
    given = {"model": "fast", "deployment": "sim/small", "provider": "sim", "tenant": "acme", "key": "app"} | more
    return Opened(request, number, int(at * _NANOS), **given)


def closed(request: str, number: int = 1, at: float = DAY + HOUR + 1, **more: Any) -> Closed:
    """Its end: 10 tokens in, 5 out, 100 nano-dollars, unless said otherwise."""
    given = {"status": 200, "answered": True, "input_tokens": 10, "output_tokens": 5, "cost": 100} | more
    return Closed(request, number, int(at * _NANOS), **given)


def ledger_of(folder: Path, **more: Any) -> Ledger:
    """A ledger as the supervisor would open it."""
    path = folder / "penstock.db"
    return Ledger(Database(path), journals_of(path), **more)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run it on a loop of its own."""
    return asyncio.run(work)


def table(ledger: Ledger, statement: str) -> list[Any]:
    """What a query finds; a list of values where it has one column."""

    def find(connection: sqlite3.Connection) -> list[Any]:
        rows = connection.execute(statement).fetchall()
        return [row[0] if len(row) == 1 else row for row in rows]

    return ledger.database.run_here(find)


class Story:
    """A worker's journal, and the attempts in it."""

    def __init__(self, folder: Path, name: str = "w0", **more: Any) -> None:
        self.name = name
        self.journal = Journal(journals_of(folder / "penstock.db"), name, **more)

    def attempt(self, request: str, cost: int = 100, **more: Any) -> None:
        """One from beginning to end."""
        self.journal.open(opened(request, **more))
        self.journal.close(closed(request, cost=cost))
