"""The largest numbers a configuration may hold."""

from __future__ import annotations

__all__ = [
    "DEAREST",
    "LONGEST_WINDOW",
    "MOST_ATTEMPTS",
    "MOST_CALLS",
    "MOST_CONNECTIONS",
    "MOST_FAILURES",
    "MOST_WEIGHT",
    "MOST_WORKERS",
]

MOST_WORKERS = 256
MOST_CONNECTIONS = 1_000_000
# Dollars.
DEAREST = 1_000_000
MOST_WEIGHT = 1_000_000
# Of one request.
MOST_ATTEMPTS = 20
# At a deployment, or waiting for it.
MOST_CALLS = 1_000_000
# That a breaker counts.
MOST_FAILURES = 10_000
# Over which a breaker counts, in seconds: it keeps every second of it.
LONGEST_WINDOW = 3600.0
