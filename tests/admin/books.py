"""A ledger in memory for the control plane and the command line: the real tables, sums and queries over booked rows."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from penstock.clock import Ids
from penstock.gateway.watch import Projection, Spending, describe
from penstock.reservation import Rule
from penstock.stores.alerts import AlertBook
from penstock.stores.attribution import Question, Tally, usage_of
from penstock.stores.posting import post
from penstock.stores.rows import UNPRICED, Closed, Opened
from penstock.stores.sqlite import Database
from penstock.testing import FakeClock, SeededRandom

__all__ = ["BOOKED", "Books", "attempt"]

NOW = 1_767_225_600  # 2026-01-01 00:00 UTC, where a FakeClock begins
HOUR = 3600
DOLLAR = 1_000_000_000

Ended = tuple[Opened, Closed]


def attempt(
    number: int, cost: int | None, *, ago: float = HOUR, model: str = "fast", user: str | None = None,
    tenant: str | None = "acme", tags: tuple[tuple[str, str], ...] = (), key: str = "app",
) -> Ended:  # fmt: skip
    """One attempt of a request of its own."""
    at = int((NOW - ago) * 1e9)
    opened = Opened(
        f"r{number}", 1, at, model, "sim/small", "sim", tenant=tenant, key=key, user=user, tags=tags, project=None
    )
    flags = UNPRICED if cost is None else 0
    return opened, Closed(f"r{number}", 1, at + 10**9, 200, "ok", True, 100, 20, cost=cost, flags=flags)


BOOKED = [
    attempt(1, 2 * DOLLAR, user="u1", tags=(("feature", "search"),)),
    attempt(2, 1 * DOLLAR, user="u2", tags=(("feature", "search"), ("team", "=cmd()"))),
    attempt(3, DOLLAR // 2, model="slow", user="u1", ago=50 * HOUR),
    attempt(4, None, model="local", user="=1+1"),
    attempt(5, 7 * DOLLAR, tenant="globex", user="u1", key="other"),
    attempt(6, None, model="fast", tenant=None, user="-"),
]


class Books:
    """What was booked; `alerts` are kept in the same store."""

    def __init__(self, booked: Iterable[Ended] = BOOKED, path: str = ":memory:") -> None:
        self.db = Database(path, inline=True)
        self.db.run_here(lambda connection: post(connection, list(booked)))
        clock = FakeClock()
        self.alerts = AlertBook(self.db, clock, Ids(clock, SeededRandom(1)))

    def standings(self) -> list[dict[str, Any]]:
        """Accounts as the steward tells them: of two tenants, and one that is nobody's alone."""
        rule = Rule("budget tenant usd day@UTC", "tenant", "budget", "usd", 50 * DOLLAR, period="day")
        shared = Rule("budget global tokens day@UTC", "global", "budget", "tokens", 1000, period="day")
        found = [
            (Spending(rule, "acme", NOW, NOW + 86_400, 40 * DOLLAR), Projection(DOLLAR / 3600, NOW + 36_000.0, 0.5)),
            (Spending(rule, "globex", NOW, NOW + 86_400, 20 * DOLLAR), Projection(0.0, math.inf, 0.0)),
            (Spending(shared, "", NOW, NOW + 86_400, 100), Projection(0.0, math.inf, 0.0)),
        ]
        return [describe(*each) for each in found]

    async def usage(self, question: Question) -> list[Tally]:
        return await self.db.read(lambda connection: usage_of(connection, question))
