"""The ledger against itself: every sum and every account anew from the rows of attempts, compared bit for bit."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice

import msgspec

from penstock.stores.bookings import Booked, Measures, summed, sums
from penstock.stores.retention import horizon_of

__all__ = ["differences"]

# Rows in memory at a time.
BATCH = 10_000

_ROWS = """
SELECT
    request, number, opened, closed, tenant, project, key, user, task, prompt, tags, model, deployment, provider, kind,
    status, outcome, answered, input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens,
    cost, charge, winner_pays, bound, price_table, flags, holds
FROM attempts ORDER BY id
"""

_Key = tuple[str, int, str]
_holds = msgspec.msgpack.Decoder(list[tuple[int, int, int]])


def differences(connection: sqlite3.Connection) -> list[str]:
    """Where the stored sums are not those of the rows: nothing, in a ledger that is whole.

    It reads every attempt there is, and is to be done on one consistent state (`Database.read`). What lies before the
    horizon (`retention.py`) has lost its rows, and is not compared.
    """
    horizon = horizon_of(connection)
    rollups: dict[_Key, Measures] = {}
    accounts: dict[int, int] = {}
    for batch in _batches(connection):
        for key, measures in sums(batch).items():
            known = rollups.get(key)
            rollups[key] = measures if known is None else summed((known, measures))
        for row in batch:
            for account, _, settled in _holds.decode(row.holds):
                accounts[account] = accounts.get(account, 0) + settled
    rollups = {key: measures for key, measures in rollups.items() if key[1] >= horizon}
    return [
        *_of_rollups(connection, rollups, horizon),
        *_of_accounts(connection, accounts, horizon),
        *_doubled(connection),
    ]


def _batches(connection: sqlite3.Connection) -> Iterator[list[Booked]]:
    rows = map(Booked._make, connection.execute(_ROWS))
    while batch := list(islice(rows, BATCH)):
        yield batch


def _of_rollups(connection: sqlite3.Connection, expected: dict[_Key, Measures], since: int) -> Iterator[str]:
    kept = connection.execute("SELECT * FROM rollups WHERE bucket >= ?", (since,))
    for dimension, bucket, value, *measures in kept:
        right = expected.pop((dimension, bucket, value), None)
        if right != tuple(measures):
            yield f"sum of {dimension or 'all'} {value!r} at {bucket}: {measures}, by the rows {right and list(right)}"
    for (dimension, bucket, value), missing in expected.items():
        yield f"sum of {dimension or 'all'} {value!r} at {bucket}: none, by the rows {list(missing)}"


def _of_accounts(connection: sqlite3.Connection, expected: dict[int, int], since: int) -> Iterator[str]:
    for id, rule, value, window, settled in connection.execute(
        'SELECT id, rule, value, "window", settled FROM accounts'
    ):
        right = expected.pop(id, 0)
        if right != settled and window >= since:
            yield f"account {rule}|{value} at {window}: {settled}, by the rows {right}"
    for id, missing in expected.items():
        yield f"account {id}: none, by the rows {missing}"


def _doubled(connection: sqlite3.Connection) -> Iterator[str]:
    query = "SELECT request, number, count(*) FROM attempts GROUP BY request, number HAVING count(*) > 1"
    for request, number, count in connection.execute(query):
        yield f"attempt {number} of request {request}: {count} rows"
