"""The largest numbers a configuration may hold."""

from __future__ import annotations

__all__ = ["DEAREST", "MOST_CONNECTIONS", "MOST_WEIGHT", "MOST_WORKERS"]

MOST_WORKERS = 256
MOST_CONNECTIONS = 1_000_000
# Dollars.
DEAREST = 1_000_000
MOST_WEIGHT = 1_000_000
