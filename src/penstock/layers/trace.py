"""Opens each request's record, before any layer sees it; layer record stamps and closes it. Spans hang here once they
exist."""

from __future__ import annotations

from math import floor

from penstock.clock import Clock, Ids
from penstock.records import Record

__all__ = ["Opening"]


class Opening:
    """Opens records."""

    def __init__(self, ids: Ids, clock: Clock) -> None:
        self._ids = ids
        self._wall = clock.wall
        self._now = clock.monotonic

    def record(self, operation: str) -> Record:
        """The record of a request whose last byte has just arrived."""
        ids, wall = self._ids, self._wall()
        millis = floor(wall * 1000)
        if millis != ids.millis or not ids.tails:
            ids.renew(millis)
        return Record(ids.stamp + ids.tails.pop(), operation, self._now(), wall)
