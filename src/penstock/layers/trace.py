"""Layer 1, trace: opens each request's record and stamps its times. Spans hang here once they exist."""

from __future__ import annotations

from penstock.call import Call, Reply
from penstock.clock import Clock, Ids
from penstock.messages import Request
from penstock.records import Record

__all__ = ["Trace", "open_record"]


def open_record(ids: Ids, clock: Clock, operation: str) -> Record:
    """The record of a request whose last byte has just arrived."""
    wall = clock.wall()
    return Record(ids.new(wall), operation, clock.monotonic(), wall)


class Trace:
    """Stamps when the first output was in hand."""

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._clock = clock

    async def __call__(self, request: Request) -> Reply:
        reply = await self._call(request)
        record = request.record
        now = record.first_output = self._clock.monotonic()
        record.overhead = now - record.started - record.waited()
        return reply
