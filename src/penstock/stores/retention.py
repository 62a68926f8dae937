"""How long the ledger keeps each attempt: what is older goes, in small steps, and the sums of its days stay.

First the horizon moves, so that nobody asks for what is about to go; then rows, sums of quarters of an hour and
accounts of windows long closed are deleted, a few in each transaction, so that no fold waits for it. The file does not
shrink: what becomes free in it is used again.
"""

from __future__ import annotations

import sqlite3

from penstock.stores.bookings import DAY_SECONDS, DIMENSIONS, SHARED

__all__ = ["LEAST_DAYS", "STEP", "forget", "horizon_of", "move_horizon"]

# Budgets begin with what was spent in their window, a month at most, and what is usual is learned from six weeks.
LEAST_DAYS = 60
# So many rows go at once: a few milliseconds.
STEP = 500
# No window that reaches beyond the horizon began so long before it.
_LONGEST_WINDOW = 40 * DAY_SECONDS
_NANOSECONDS = 10**9
_SUMMED = ("", *DIMENSIONS, *(f"tenant+{name}" for name in SHARED))

_MOVE = "UPDATE horizon SET since = ? WHERE since < ?"
_ATTEMPTS = "DELETE FROM attempts WHERE id IN (SELECT id FROM attempts WHERE opened < ? ORDER BY opened LIMIT ?)"
_ROLLUPS = """
DELETE FROM rollups WHERE (dimension, bucket, value) IN (
    SELECT dimension, bucket, value FROM rollups WHERE dimension = ? AND bucket < ? LIMIT ?
)
"""
_ACCOUNTS = 'DELETE FROM accounts WHERE id IN (SELECT id FROM accounts WHERE "window" < ? LIMIT ?)'


def horizon_of(connection: sqlite3.Connection) -> int:
    """From when on attempts are kept, in Unix seconds; 0: all."""
    return int(connection.execute("SELECT since FROM horizon").fetchone()[0])


def move_horizon(connection: sqlite3.Connection, before: float) -> int:
    """Attempts of the days before that moment (Unix seconds) may go; the horizon, which never moves back."""
    day = int(before) // DAY_SECONDS * DAY_SECONDS
    connection.execute(_MOVE, (day, day))
    return horizon_of(connection)


def forget(connection: sqlite3.Connection, most: int = STEP) -> int:
    """Delete some of what lies before the horizon; how many rows, 0 once there are none."""
    horizon = horizon_of(connection)
    gone = connection.execute(_ATTEMPTS, (horizon * _NANOSECONDS, most)).rowcount
    for dimension in _SUMMED:
        if gone < most:
            gone += connection.execute(_ROLLUPS, (dimension, horizon, most - gone)).rowcount
    if gone < most:
        gone += connection.execute(_ACCOUNTS, (horizon - _LONGEST_WINDOW, most - gone)).rowcount
    return gone
