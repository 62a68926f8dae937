"""Layer 2, record: closes each request's record, counts it and writes its one log line.

The line never holds content or a secret: it is made from the record alone, field by field, and later, in batches.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from operator import attrgetter

import msgspec

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.records import Record
from penstock.usage import usd

__all__ = ["CALLER_LEFT", "Recorder", "Recording", "encode_lines"]

_encode_lines = msgspec.json.Encoder().encode_lines

# nginx's status for a caller that closed before it had its answer; never sent, only logged.
CALLER_LEFT = 499


class Recorder:
    """Closes records: metrics and the log line. Also used by the edge for requests that reach no layer.

    Attributes:
        in_flight: the cell that counts requests being answered.
    """

    def __init__(self, metrics: Metrics, log: Callable[[Record], None] | None, clock: Clock) -> None:
        self.in_flight = metrics.in_flight.child()
        self._note = metrics.note
        self._log = log
        self._now = clock.monotonic

    def begin(self) -> None:
        """A request is being answered."""
        self.in_flight[0] += 1

    def end(self, record: Record) -> None:
        """A request is over; the record must not change afterwards."""
        record.ended = self._now()
        self.in_flight[0] -= 1
        self._note(record)
        if self._log is not None:
            self._log(record)

    def fail(self, record: Record, error: BaseException) -> None:
        """A request ended in an error before any answer was sent."""
        if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            record.status, record.error = CALLER_LEFT, "cancelled"
        else:
            known = isinstance(error, PenstockError)
            status, code = (error.status, error.code) if known else (500, "internal_error")  # type: ignore[attr-defined]
            if record.status:  # its caller has been waiting in a stream, and hears it there
                record.stream_error = code
            else:
                record.status, record.error = status, code
        self.end(record)


class Recording:
    """Closes the record when the reply is closed, or when there is none."""

    def __init__(self, call: Call, recorder: Recorder) -> None:
        self._call = call
        self._recorder = recorder

    async def __call__(self, request: Request) -> Reply:
        recorder, record = self._recorder, request.record
        recorder.in_flight[0] += 1
        try:
            reply = await self._call(request)
        except BaseException as error:
            recorder.fail(record, error)
            raise
        record.status = reply.status
        reply.hooks.append((recorder.end, record))
        return reply


class Tokens(msgspec.Struct, gc=False):
    """What was used."""

    input: int
    output: int
    cache_read: int = 0
    cache_write: int = 0
    reasoning: int = 0
    estimated: bool = False


class AttemptLine(msgspec.Struct, gc=False):
    """One wire attempt; `status` is 0 where the provider sent none."""

    deployment: str
    outcome: str
    status: int
    ms: float


class Line(msgspec.Struct, omit_defaults=True, gc=False):
    """The log line. Times in milliseconds; what says nothing is left out.

    `cost_usd` is null where something was used and its price is unknown.
    """

    time: str
    ms: float
    id: str
    operation: str
    status: int
    model: str
    deployment: str
    stream: bool
    bytes_in: int
    bytes_out: int
    key: str | None = None
    tenant: str | None = None
    project: str | None = None
    user: str | None = None
    task: str | None = None
    address: str | None = None
    response_model: str | None = None
    finish_reason: str | None = None
    error: str | None = None
    stream_error: str | None = None
    dropped_events: int = 0
    dropped: tuple[str, ...] = ()
    clamped: tuple[str, ...] = ()
    attempts: list[AttemptLine] = []
    tokens: Tokens | None = None
    first_output_ms: float | None = None
    overhead_ms: float | None = None
    cost_usd: str | msgspec.UnsetType | None = msgspec.UNSET
    price_table: str | None = None


# The fields a line takes over as they are, in its order: one call for all of them.
_same = attrgetter(*Line.__struct_fields__[2:23])
_counts = attrgetter(
    "input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens", "reasoning_tokens", "estimated"
)


def encode_lines(records: Sequence[Record]) -> bytes:
    """The records' log lines, each with its newline; one loop for all, since a call for each costs as much again.

    Text put together by format strings was measured to be slower than these records and msgspec.
    """
    lines = []
    second, text = -1, ""
    for record in records:
        wall, started, ended, first = record.wall, record.started, record.ended, record.first_output
        if int(wall) != second:
            second = int(wall)
            text = datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")
        attempts = []
        for attempt in record.attempts:
            took = int(((attempt.answered or ended) - attempt.started) * 1e6) / 1e3
            attempts.append(AttemptLine(attempt.deployment, attempt.outcome, attempt.status, took))
        usage = record.usage
        line = Line(
            f"{text}.{int((wall - second) * 1000):03d}Z",
            int((ended - started) * 1e6) / 1e3,
            *_same(record),  # type: ignore[call-arg]  # its length is Line's own
            attempts,
            Tokens(*_counts(usage)) if usage is not None else None,
        )
        if first:
            line.first_output_ms = int((first - started) * 1e6) / 1e3
            line.overhead_ms = int(record.overhead * 1e6) / 1e3
        if usage is not None:
            line.cost_usd = usd(record.cost) if record.cost is not None else None
            line.price_table = record.price_table
        lines.append(line)
    return _encode_lines(lines)
