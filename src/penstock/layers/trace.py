"""Layer 1, trace: opens each request's record and stamps its times. Spans hang here once they exist."""

from __future__ import annotations

from penstock.call import Call, Reply
from penstock.clock import Clock, Ids
from penstock.messages import Request
from penstock.records import Record

__all__ = ["Opening", "Trace"]


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


class Trace:
    """Stamps when the first output was in hand."""

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._now = clock.monotonic

    async def __call__(self, request: Request) -> Reply:
        call = self._call
        reply = await call(request)
        record = request.record
        now = record.first_output = self._now()
        record.overhead = now - record.started - record.waited
        return reply
