"""Layer 2, record: closes each request's record, counts it and writes its one log line.

The line never holds content or a secret: it is made from the record alone, field by field.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import msgspec

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.messages import Request
from penstock.metrics import Metrics
from penstock.records import Record

__all__ = ["CALLER_LEFT", "Recorder", "Recording"]

# nginx's status for a caller that closed before it had its answer; never sent, only logged.
CALLER_LEFT = 499

_encode = msgspec.json.Encoder().encode


class Recorder:
    """Closes records: metrics and the log line. Also used by the edge for requests that reach no layer."""

    def __init__(self, metrics: Metrics, write: Callable[[bytes], None] | None, clock: Clock) -> None:
        self._metrics = metrics
        self._write = write
        self._clock = clock

    def begin(self) -> None:
        """A request is being answered."""
        self._metrics.in_flight.series[()] += 1

    def end(self, record: Record) -> None:
        """A request is over; the record must not change afterwards."""
        record.ended = self._clock.monotonic()
        metrics = self._metrics
        metrics.in_flight.series[()] -= 1
        metrics.count(record)
        if self._write is not None:
            self._write(_encode(line_of(record)) + b"\n")

    def fail(self, record: Record, error: BaseException) -> None:
        """A request ended in an error before anything was sent."""
        if isinstance(error, PenstockError):
            record.status, record.error = error.status, error.code
        elif isinstance(error, (asyncio.CancelledError, GeneratorExit)):
            record.status, record.error = CALLER_LEFT, "cancelled"
        else:
            record.status, record.error = 500, "internal_error"
        self.end(record)


class Recording:
    """Closes the record when the reply is closed, or when there is none."""

    def __init__(self, call: Call, recorder: Recorder) -> None:
        self._call = call
        self._recorder = recorder

    async def __call__(self, request: Request) -> Reply:
        recorder, record = self._recorder, request.record
        recorder.begin()
        try:
            reply = await self._call(request)
        except BaseException as error:
            recorder.fail(record, error)
            raise
        record.status = reply.status
        reply.on_end(lambda: recorder.end(record))
        return reply


def line_of(record: Record) -> dict[str, Any]:
    """The log line as a dict; times in milliseconds, keys that say nothing left out."""
    line: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.wall, UTC).isoformat(timespec="milliseconds"),
        "id": record.id,
        "operation": record.operation,
        "status": record.status,
        "model": record.model,
        "deployment": record.deployment,
        "stream": record.stream,
        "ms": _millis(record.ended - record.started),
    }
    if record.first_output:
        line["first_output_ms"] = _millis(record.first_output - record.started)
        line["overhead_ms"] = _millis(record.overhead(record.first_output))
    if record.attempts:
        line["attempts"] = [
            {
                "deployment": attempt.deployment,
                "outcome": attempt.outcome,
                "status": attempt.status,
                "ms": _millis((attempt.answered or record.ended) - attempt.started),
            }
            for attempt in record.attempts
        ]
    usage = record.usage
    if usage is not None:
        line["tokens"] = {
            "input": usage.input_tokens,
            "output": usage.output_tokens,
            "cache_read": usage.cache_read_tokens,
            "cache_write": usage.cache_write_tokens,
            "reasoning": usage.reasoning_tokens,
            "estimated": usage.estimated,
        }
    for name in _OPTIONAL:
        value = getattr(record, name)
        if value:
            line[name] = value
    line["bytes_in"] = record.bytes_in
    line["bytes_out"] = record.bytes_out
    return line


_OPTIONAL = (
    "key", "tenant", "project", "user", "task", "response_model", "finish_reason", "error", "stream_error",
    "dropped_events",
)  # fmt: skip


def _millis(seconds: float) -> float:
    return round(seconds * 1000, 3)
