"""What the ledger writes: rows, sums and accounts, all inside a transaction that somebody else began.

Only statements; what they say is decided in `bookings.py`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import msgspec

from penstock.reservation import Unit
from penstock.stores.bookings import MOST_NANOS, book, sums
from penstock.stores.rows import Closed, Opened

__all__ = ["Ended", "Settled", "post"]

_ADD_ACCOUNT = """
INSERT INTO accounts (rule, value, "window", unit, seeded, settled) VALUES (?, ?, ?, ?, 0, ?)
ON CONFLICT (rule, value, "window") DO UPDATE SET settled = settled + excluded.settled RETURNING id
"""
_ATTEMPT = "(NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ADD_ATTEMPT = " ".join(("INSERT INTO attempts VALUES", _ATTEMPT))
# Many in one statement: at each step of SQLite's the interpreter is given up and waited for anew.
AT_ONCE = 32
_ADD_ATTEMPTS = ", ".join((_ADD_ATTEMPT, *[_ATTEMPT] * (AT_ONCE - 1)))
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
_NONE = _encode([])

Ended = tuple[Opened, Closed]


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
    accounts: dict[tuple[object, ...], _Account] = {}
    parts = [_parts(opened, closed, accounts) if opened.holds else () for opened, closed in ended]
    settled = _settled(accounts)
    for one, account in zip(settled, accounts.values(), strict=True):
        if one.window:  # rates forget by themselves, and are nobody's account
            values = (one.rule, one.value, one.window, one.unit, one.settled)
            (account.id,) = connection.execute(_ADD_ACCOUNT, values).fetchone()
    rows = [
        book(opened, closed, _encode([(account.id, *amounts) for account, *amounts in held]) if held else _NONE)
        for (opened, closed), held in zip(ended, parts, strict=True)
    ]
    whole = len(rows) - len(rows) % AT_ONCE
    for start in range(0, whole, AT_ONCE):
        connection.execute(_ADD_ATTEMPTS, tuple(chain.from_iterable(rows[start : start + AT_ONCE])))
    connection.executemany(_ADD_ATTEMPT, rows[whole:])
    connection.executemany(_ADD_ROLLUP, ((*key, *total) for key, total in sums(rows).items()))
    return settled


def _settled(accounts: dict[tuple[object, ...], _Account]) -> list[Settled]:
    return [Settled._make((*which, account.reserved, account.settled)) for which, account in accounts.items()]


class _Account:
    """What attempts took of one, in one window; `id`: its row's."""

    __slots__ = ("id", "reserved", "settled")

    def __init__(self) -> None:
        self.id = self.reserved = self.settled = 0


def _parts(
    opened: Opened, closed: Closed, accounts: dict[tuple[object, ...], _Account]
) -> Sequence[tuple[_Account, int, int]]:
    """What was reserved and taken of each account that is kept; added up in `accounts`."""
    found = []
    for hold, amount in zip(opened.holds, _taken(opened, closed), strict=False):
        account = accounts.get(hold[:4])
        if account is None:
            account = accounts[hold[:4]] = _Account()
        account.reserved += hold[4]
        account.settled += amount
        if hold[2]:
            found.append((account, hold[4], amount))
    return found


def _taken(opened: Opened, closed: Closed) -> Sequence[int]:
    """What was taken of each hold. One that an end does not speak of was taken whole."""
    holds, settled = opened.holds, closed.settled
    if settled and (min(settled) < 0 or max(settled) > MOST_NANOS):
        # What cannot be is flagged in the row by its tokens and cost; sums must stay sums.
        settled = tuple(min(max(amount, 0), MOST_NANOS) for amount in settled)
    if len(settled) >= len(holds):
        return settled
    return (*settled, *(hold.amount for hold in holds[len(settled) :]))
