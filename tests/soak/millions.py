"""A store with millions of attempts, made by SQL within a minute: what queries and checks are measured on."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from penstock.stores.bookings import DIMENSIONS, SHARED
from penstock.stores.sqlite import Database

__all__ = ["DAYS", "forget", "make_millions"]

# More than is asked for, so that what is asked for begins in the midst of it.
DAYS = 31
_NANOS = 10**9
ALL = ("", *(name for name in DIMENSIONS if name != "tag"), *(f"tenant+{name}" for name in SHARED))

# Spread evenly: 50 tenants, 200 keys, 5,000 users, 20 models of 3 providers; a 40th failed, a 10th was estimated.
_ATTEMPTS = """
INSERT INTO attempts
WITH RECURSIVE turn (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM turn WHERE n + 1 < :count),
mixed AS (SELECT n, (n * 2654435761) % 4294967291 AS h FROM turn)
SELECT
    NULL, printf('01932f6e-%04x-7%03x-8def-%012x', n / 65536, n % 4096, n), 1,
    :begin + n * (:span / :count), :begin + n * (:span / :count) + 800000000,
    't' || (h % 50), 'p' || (h % 3), 'k' || (h % 200), 'u' || (h % 5000), 'task' || (h % 4), '', '{}',
    'm' || (h % 20), 'v' || (h % 3) || '/m' || (h % 20), 'v' || (h % 3), 'first',
    CASE WHEN h % 40 THEN 200 ELSE 500 END, CASE WHEN h % 40 THEN 'ok' ELSE 'unavailable' END, h % 40 != 0,
    h % 3000, h % 900, 0, 0, 0, h % 1000000, h % 1000000, 0, 2000000, '0123456789ab', h % 10 = 0, x'90'
FROM mixed
"""
_ROLLUPS = """
INSERT INTO rollups
SELECT
    :dimension, opened / 1000000000 / 900 * 900 AS bucket,
    CASE :dimension
        WHEN '' THEN '' WHEN 'tenant' THEN tenant WHEN 'project' THEN project WHEN 'key' THEN key
        WHEN 'user' THEN user WHEN 'task' THEN task WHEN 'prompt' THEN prompt WHEN 'model' THEN model
        WHEN 'deployment' THEN deployment WHEN 'provider' THEN provider WHEN 'tenant+key' THEN tenant || '/' || key
        WHEN 'tenant+prompt' THEN tenant || '/' || prompt WHEN 'tenant+model' THEN tenant || '/' || model
        WHEN 'tenant+deployment' THEN tenant || '/' || deployment ELSE tenant || '/' || provider
    END AS value,
    count(*), sum(number = 1), sum(outcome NOT IN ('ok', 'cancelled')), sum(answered), sum(input_tokens),
    sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens), sum(reasoning_tokens), sum(cost),
    sum(charge), sum(cost IS NULL), sum(flags & 1 != 0), sum(flags & 2 != 0), sum(flags & 4 != 0), sum(flags & 16 != 0)
FROM attributed GROUP BY bucket, value
"""
_DAYS = """
INSERT INTO rollups
SELECT
    'day:' || dimension, bucket / 86400 * 86400 AS day, value, sum(attempts), sum(requests), sum(failed),
    sum(answered), sum(input_tokens), sum(output_tokens), sum(cache_read_tokens), sum(cache_write_tokens),
    sum(reasoning_tokens), sum(cost), sum(charge), sum(unpriced), sum(estimated), sum(ambiguous), sum(absurd),
    sum(lost)
FROM rollups WHERE dimension = :dimension GROUP BY day, value
"""


def make_millions(path: Path, count: int, until: float, dimensions: Sequence[str] = ALL) -> None:
    """A store with so many attempts in the 31 days before a moment (Unix seconds), and the sums over them."""
    database = Database(path)
    begin = int((until - DAYS * 86400) * _NANOS)

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute(_ATTEMPTS, {"count": count, "begin": begin, "span": DAYS * 86400 * _NANOS})
        for name in dimensions:
            connection.execute(_ROLLUPS, {"dimension": name})
            connection.execute(_DAYS, {"dimension": name})

    database.run_here(lambda connection: connection.execute("PRAGMA cache_size = -262144").fetchall())
    database.run_here(fill)
    database.close()


def forget(path: Path) -> None:
    """Have the machine forget what it holds of a file in memory: the next reader reads the disk."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(file)
