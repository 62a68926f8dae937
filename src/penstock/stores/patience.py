"""A bound on what one question may cost the store, so that nobody's question holds up everybody else's."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

from penstock.errors import Overloaded

__all__ = ["MOST_STEPS", "patiently"]

T = TypeVar("T")

# Of SQLite's own machine, which does some fifty million a second: sums over a million attempts take a few of these
# seconds, and a question that takes more is to be asked of less.
MOST_STEPS = 500_000_000
_PIECE = 1_000_000


def patiently(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T], most: int = MOST_STEPS) -> T:
    """Do that, in so many steps at most.

    Raises:
        Overloaded: it would take more.
    """
    left = [most // _PIECE]

    def is_enough() -> bool:
        left[0] -= 1
        return left[0] < 0

    connection.set_progress_handler(is_enough, min(_PIECE, most))
    try:
        return work(connection)
    except sqlite3.OperationalError as error:
        if left[0] >= 0:
            raise
        raise Overloaded(
            "that takes too long to add up", do="Ask for a shorter time, or by one dimension alone."
        ) from error
    finally:
        connection.set_progress_handler(None, 0)
