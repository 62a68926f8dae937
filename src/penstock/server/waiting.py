"""Callers that wait for a stream, told at intervals that they are not forgotten (semantics.md: Deadlines).

After an interval without output a caller gets the head of its stream and a comment, in Anthropic's form a `ping`, and
another after each further interval: what stands between it and Penstock takes a silent connection for a dead one.
Nothing of an answer has been said by that, so the next attempt may still be made behind it; but status and headers are
said, so an error that comes later is told in the stream, and what is known later stands in the log alone.
"""

from __future__ import annotations

from collections.abc import Callable

from penstock.clock import Clock, Timer
from penstock.messages import Request
from penstock.server.exchange import Exchange
from penstock.wire.dialects import CALLERS

__all__ = ["Waiting"]


class Waiting:
    """All that wait at one server.

    One timer serves them all, and where nobody waits for long it fires once an interval at most: all wait equally
    long, so those that came first are due first.

    Args:
        seconds: the interval; 0 never tells anybody.
        head: makes the lines of a stream's head.
    """

    def __init__(self, seconds: float, clock: Clock, head: Callable[[Request], bytes]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._head = head
        # By when each is due, and what it asks.
        self._due: dict[Exchange, tuple[float, Request]] = {}
        self._timer: Timer | None = None
        self._closing = False

    def add(self, out: Exchange, request: Request) -> None:
        """It waits from now on; every one must be removed again."""
        self._due[out] = (request.record.started + self._seconds, request)
        if self._timer is None and self._seconds > 0:
            self._timer = self._clock.call_later(self._seconds, self._sweep)

    def remove(self, out: Exchange) -> None:
        """It has what it waited for, or waits no longer."""
        del self._due[out]
        if self._closing:
            self.close()

    def close(self) -> None:
        """Leave no timer behind once nobody waits any more."""
        self._closing = True
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        while self._due:
            out, (due, request) = next(iter(self._due.items()))
            if due > now:
                self._timer = self._clock.call_later(due - now, self._sweep)
                return
            # Behind all others: they were not told after it.
            del self._due[out]
            self._due[out] = (now + self._seconds, request)
            self._tell(out, request)

    def _tell(self, out: Exchange, request: Request) -> None:
        said = CALLERS[request.dialect].waiting
        if request.place is not None:
            said = b": place %d in the queue\n%b" % (request.place(), said)
        if not out.started:
            request.record.status = 200
            out.start(200, self._head(request), said)
        elif not out.stalled:
            out.push(said)
        request.record.bytes_out = out.written
