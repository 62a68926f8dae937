"""What was taken of rates lately, by the ledger: a gateway that begins goes on where the one before it ended.

Of rates nothing is kept while they are held, since time gives them back. So what was taken is read from the attempts,
and for long rates from the sums over them: never as less, and never as of earlier than it was.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from penstock.reservation import Rule, Scope
from penstock.stores.bookings import BUCKET_SECONDS
from penstock.stores.strict import PARTS

__all__ = ["Taken", "remembered_seconds", "taken_lately"]

_NANOSECONDS = 10**9
# What is remembered for longer than that is read from the sums, and so it is where more attempts lie within it.
LONGEST_BY_ROWS = 3600
MOST_ROWS = 300_000
# Into so many steps of time a rate that is read from the sums is cut at most.
STEPS = 24

_COUNT = "SELECT count(*) FROM attempts WHERE opened >= ?"
# The flag is LOST (rows.py).
_BY_ROWS = """
SELECT
    CASE :scope
        WHEN 'tenant' THEN tenant WHEN 'project' THEN project WHEN 'key' THEN attributed.key WHEN 'user' THEN user
        WHEN 'task' THEN task WHEN 'model' THEN model WHEN 'deployment' THEN deployment WHEN 'provider' THEN provider
        WHEN 'tag' THEN tenant || '/' || tag.key || '=' || tag.value ELSE ''
    END AS whose,
    max(opened) AS at, count(*), sum(number = 1), sum(input_tokens + output_tokens), sum(flags & 16 != 0)
FROM attributed LEFT JOIN json_each(CASE WHEN :scope = 'tag' THEN tags ELSE '{"":""}' END) AS tag
WHERE opened >= :since AND (:scope != 'tag' OR tag.key IS NOT NULL)
GROUP BY whose, opened / :step ORDER BY at
"""
_BY_SUMS = """
SELECT
    value, bucket - bucket % :step AS at, sum(attempts), sum(requests), sum(input_tokens + output_tokens), sum(lost)
FROM rollups WHERE dimension = :dimension AND bucket >= :since GROUP BY value, at ORDER BY at
"""


class Taken(NamedTuple):
    """What was taken of a rate's account.

    Attributes:
        at: when, or later than that: Unix nanoseconds, never in the future.
        lost: attempts among it whose process died: what they really took nobody knows.
    """

    rule: Rule
    value: str
    at: int
    amount: int
    lost: int


def remembered_seconds(rule: Rule) -> int:
    """How long what was taken of a rate can still matter; 0 where it is no rate."""
    if rule.kind == "strict":
        return rule.seconds + -(-rule.seconds // PARTS) + 1
    if rule.kind not in ("burst", "leaky"):
        return 0
    return -(-rule.seconds * max(rule.burst, rule.limit) // max(1, rule.limit))


def taken_lately(
    connection: sqlite3.Connection, rules: Iterable[Rule], now: int, most_rows: int = MOST_ROWS
) -> Iterator[Taken]:
    """What attempts took of these rates as long ago as it matters at `now`, in Unix nanoseconds; the oldest first.

    Args:
        most_rows: where more attempts lie within that time, their sums are read instead.
    """
    found: dict[tuple[Scope, int], list[Rule]] = {}
    for rule in rules:
        span = remembered_seconds(rule)
        if span:
            found.setdefault((rule.scope, span), []).append(rule)
    for (scope, span), alike in found.items():
        since = now - span * _NANOSECONDS
        few = span <= LONGEST_BY_ROWS and connection.execute(_COUNT, (since,)).fetchone()[0] <= most_rows
        rows = _by_rows(connection, scope, span, since) if few else _by_sums(connection, scope, span, since)
        for rule in alike:
            for value, at, attempts, requests, tokens, lost in rows:
                # Of providers and deployments each attempt is counted (docs/limits.md).
                counted = attempts if scope in ("provider", "deployment") else requests
                amount = tokens if rule.unit == "tokens" else counted
                if amount > 0 or lost:
                    yield Taken(rule, value, min(at, now), max(0, amount), lost)


_Row = tuple[str, int, int, int, int, int]


def _by_rows(connection: sqlite3.Connection, scope: Scope, span: int, since: int) -> list[_Row]:
    asked = {"scope": scope, "since": since, "step": max(1, span * _NANOSECONDS // PARTS)}
    return connection.execute(_BY_ROWS, asked).fetchall()


def _by_sums(connection: sqlite3.Connection, scope: Scope, span: int, since: int) -> list[_Row]:
    step = BUCKET_SECONDS * max(1, -(-span // (STEPS * BUCKET_SECONDS)))
    first = since // _NANOSECONDS
    asked = {"dimension": "" if scope == "global" else scope, "since": first - first % BUCKET_SECONDS, "step": step}
    # A sum's end, since nobody knows when within it that was.
    return [
        (value, (begins + step) * _NANOSECONDS, *amounts)
        for value, begins, *amounts in connection.execute(_BY_SUMS, asked)
    ]
