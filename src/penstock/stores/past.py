"""The attempts of one request, as the ledger has them: for what is no longer in memory."""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

__all__ = ["Past", "attempts_of"]

# One that was tried more often was not asked by one request.
_MOST = 100
_ATTEMPTS = """
SELECT
    number, opened, closed, tenant, attempts.key, user, task, model, deployment, kind, status, outcome, answered,
    input_tokens, output_tokens, cache_read_tokens, cache_write_tokens, reasoning_tokens, cost, charge, flags,
    project, tags, price_table
FROM attempts WHERE request = ? ORDER BY number LIMIT ?
"""


class Past(NamedTuple):
    """An attempt; `tenant`, `key` and the like are "" for none, `tags` JSON, times Unix nanoseconds."""

    number: int
    opened: int
    closed: int
    tenant: str
    key: str
    user: str
    task: str
    model: str
    deployment: str
    kind: str
    status: int
    outcome: str
    answered: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    reasoning_tokens: int
    cost: int | None
    charge: int | None
    flags: int
    project: str = ""
    tags: str = "{}"
    price_table: str | None = None


def attempts_of(connection: sqlite3.Connection, request: str) -> list[Past]:
    """Those of a request, in order."""
    return [Past(*row) for row in connection.execute(_ATTEMPTS, (request, _MOST))]
