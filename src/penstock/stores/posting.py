"""What the ledger writes: rows, sums and accounts, all inside a transaction that somebody else began.

Only statements; what they say is decided in `bookings.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from penstock.reservation import Unit
from penstock.stores.bookings import Booked, book, sums
from penstock.stores.rows import Closed, Hold, Opened

__all__ = ["Ended", "Settled", "post"]

_ADD_ACCOUNT = """
INSERT INTO accounts (rule, value, "window", unit, seeded, settled) VALUES (?, ?, ?, ?, 0, ?)
ON CONFLICT (rule, value, "window") DO UPDATE SET settled = settled + excluded.settled RETURNING id
"""
_ADD_ATTEMPT = """
INSERT INTO attempts VALUES (
    NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?
)
"""
_ADD_ROLLUP = """
INSERT INTO rollups VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (dimension, bucket, value) DO UPDATE SET
    attempts = attempts + excluded.attempts,
    requests = requests + excluded.requests,
    failed = failed + excluded.failed,
    answered = answered + excluded.answered,
    input_tokens = input_tokens + excluded.input_tokens,
    output_tokens = output_tokens + excluded.output_tokens,
    cache_read_tokens = cache_read_tokens + excluded.cache_read_tokens,
    cache_write_tokens = cache_write_tokens + excluded.cache_write_tokens,
    reasoning_tokens = reasoning_tokens + excluded.reasoning_tokens,
    cost = cost + excluded.cost,
    charge = charge + excluded.charge,
    unpriced = unpriced + excluded.unpriced,
    estimated = estimated + excluded.estimated,
    ambiguous = ambiguous + excluded.ambiguous,
    absurd = absurd + excluded.absurd,
    lost = lost + excluded.lost
"""

_encode = msgspec.msgpack.Encoder().encode

Ended = tuple[Opened, Closed]
_Account = tuple[str, str, int]


class Settled(NamedTuple):
    """What attempts that have ended took of an account in a window of it, and what had been reserved for them."""

    rule: str
    value: str
    window: int
    unit: Unit
    reserved: int
    settled: int


def post(connection: sqlite3.Connection, ended: Sequence[Ended]) -> list[Settled]:
    """Book attempts that have ended: their rows, the sums over them, and what they took of each account."""
    settled = _settled(ended)
    ids: dict[_Account, int] = {}
    for one in settled:
        if one.window:  # rates forget by themselves, and are nobody's account
            values = (one.rule, one.value, one.window, one.unit, one.settled)
            (ids[one.rule, one.value, one.window],) = connection.execute(_ADD_ACCOUNT, values).fetchone()
    rows = [_row(opened, closed, ids) for opened, closed in ended]
    connection.executemany(_ADD_ATTEMPT, rows)
    connection.executemany(_ADD_ROLLUP, ((*key, *total) for key, total in sums(rows).items()))
    return settled


def _settled(ended: Iterable[Ended]) -> list[Settled]:
    found: dict[_Account, list[int]] = {}
    units: dict[_Account, Unit] = {}
    for opened, closed in ended:
        for hold, amount in _pairs(opened, closed):
            account = (hold.rule, hold.value, hold.window)
            known = found.setdefault(account, [0, 0])
            known[0] += hold.amount
            known[1] += amount
            units[account] = hold.unit
    return [Settled(*account, units[account], *amounts) for account, amounts in found.items()]


def _pairs(opened: Opened, closed: Closed) -> Iterable[tuple[Hold, int]]:
    """Each hold and what was taken of it. One that an end does not speak of was taken whole."""
    settled = closed.settled
    for turn, hold in enumerate(opened.holds):
        yield hold, settled[turn] if turn < len(settled) else hold.amount


def _row(opened: Opened, closed: Closed, ids: dict[_Account, int]) -> Booked:
    row = book(opened, closed)
    holds = [
        (ids[hold.rule, hold.value, hold.window], hold.amount, amount)
        for hold, amount in _pairs(opened, closed)
        if hold.window
    ]
    return row._replace(holds=_encode(holds))
