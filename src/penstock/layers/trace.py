"""Opens each request's record, before any layer sees it; layer record stamps and closes it. Spans hang here once they
exist."""

from __future__ import annotations

from penstock.clock import Clock, Ids
from penstock.records import Record

__all__ = ["Opening"]


class Opening:
    """Opens records."""

    def __init__(self, ids: Ids, clock: Clock) -> None:
        self._new_id = ids.new
        self._wall = clock.wall
        self._now = clock.monotonic

    def record(self, operation: str) -> Record:
        """The record of a request whose last byte has just arrived."""
        wall = self._wall()
        return Record(self._new_id(wall), operation, self._now(), wall)
