"""Layer 1, record: stamps each request's record, closes it, counts it and has its one log line written (`lines.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import LargerThanLimit, LimitError, Overloaded, PenstockError
from penstock.messages import Request
from penstock.metrics import NOTED, Metrics
from penstock.records import Decision, Record

__all__ = ["CALLER_LEFT", "LONGEST_REASON", "STOPPED", "STOPPING", "Recorder", "Recording", "is_stopped"]

# With this a request is cancelled whose gateway waits for it no longer: its caller is still there, and hears so.
STOPPED = "the gateway stops"

# nginx's status for a caller that closed before it had its answer; never sent, only logged.
CALLER_LEFT = 499

# Characters of what a limit said, in the line of a request that it refused.
LONGEST_REASON = 400

STOPPING = Overloaded("Penstock is stopping", do="Try again in a moment.", retry_after=1.0)


class Recorder:
    """Closes records: metrics and the log line. Also used by the edge for requests that reach no layer.

    Attributes:
        live: the records of requests that layers see.
        now: the monotonic time.
    """

    def __init__(self, metrics: Metrics, log: Callable[[Record], None] | None, clock: Clock) -> None:
        self.live = metrics.in_flight.members
        self._noted, self._settle = metrics.noted, metrics.settle
        self._log = log
        self.now = clock.monotonic

    def end(self, record: Record) -> None:
        """A request is over; the record must not change afterwards."""
        record.ended = self.now()
        self.live.discard(record)
        noted, log = self._noted, self._log
        noted.append(record)
        if len(noted) >= NOTED:
            self._settle()
        if log is not None:
            log(record)

    def fail(self, record: Record, error: BaseException) -> None:
        """A request ended in an error before any answer was sent."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)) and not is_stopped(error):
            record.status, record.error = CALLER_LEFT, "cancelled"
        else:
            told = STOPPING if is_stopped(error) else error
            known = isinstance(told, PenstockError)
            status, code = (told.status, told.code) if known else (500, "internal_error")  # type: ignore[attr-defined]
            if isinstance(told, (LimitError, LargerThanLimit)):
                # Which limit it was, and whose: of the errors' words those that are ours alone, so never content.
                record.decisions.append(Decision("refused", "", told.message[:LONGEST_REASON], self.now()))
            if record.status:  # its caller has been waiting in a stream, and hears it there
                record.stream_error = code
            else:
                record.status, record.error = status, code
        self.end(record)


def is_stopped(error: BaseException) -> bool:
    """Whether a request was cancelled because its gateway stops."""
    return isinstance(error, asyncio.CancelledError) and error.args == (STOPPED,)


class Recording:
    """Stamps when the first output was in hand; closes the record when the reply is closed, or when there is none."""

    def __init__(self, call: Call, recorder: Recorder) -> None:
        self._call = call
        self._recorder = recorder
        self._end = recorder.end
        self._now = recorder.now

    async def __call__(self, request: Request) -> Reply:
        call, recorder, record = self._call, self._recorder, request.record
        recorder.live.add(record)
        try:
            reply = await call(request)
        except BaseException as error:
            recorder.fail(record, error)
            raise
        record.status = reply.status
        now = record.first_output = self._now()
        record.overhead = now - record.started - record.waited
        reply.hooks.append((self._end, record))
        return reply
