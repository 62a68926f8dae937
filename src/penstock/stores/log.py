"""The batched writer of the request log: the request path appends to a list; encoding is done by the batch, and a
thread writes.

A slow or stopped sink never holds a request up: the queue is bounded, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from penstock.clock import Clock, Timer

__all__ = ["LogWriter", "ThreadSink"]

log = logging.getLogger("penstock.log")

FLUSH_SECONDS = 0.1
FLUSH_ITEMS = 256
MAX_QUEUED_BYTES = 16 * 1024 * 1024

T = TypeVar("T")
Sink = Callable[[bytes], object]


class LogWriter(Generic[T]):
    """Collects what is to be logged and hands it on in batches of lines.

    Args:
        encode: makes the whole lines of a batch.
        sink: takes one batch of lines; must not block (see `ThreadSink`).
        dropped: told how many lines were lost: when the sink refuses a batch by raising BlockingIOError, or could not
            write one.
    """

    def __init__(
        self, encode: Callable[[list[T]], bytes], sink: Sink, clock: Clock, dropped: Callable[[int], None]
    ) -> None:
        self._encode = encode
        self._sink = sink
        self._clock = clock
        self._dropped = dropped
        self._items: list[T] = []
        self._timer: Timer | None = None

    def add(self, item: T) -> None:
        """Log one item; it must not change afterwards."""
        items = self._items
        items.append(item)
        if len(items) >= FLUSH_ITEMS:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand on what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        items, self._items = self._items, []
        if items:
            try:
                self._sink(self._encode(items))
            except BlockingIOError:
                self._dropped(len(items))
        self.look()

    def look(self) -> None:
        """Count what could not be written meanwhile."""
        if isinstance(self._sink, ThreadSink) and (lost := self._sink.take_lost()):
            self._dropped(lost)


class ThreadSink:
    """A sink in front of a blocking `write`, run by a thread of its own.

    What cannot be written is lost and counted; that it is so is told in the process's own log, once until it works
    again.
    """

    def __init__(self, write: Callable[[bytes], object]) -> None:
        self._write = write
        self._condition = threading.Condition()
        self._queue: list[bytes] = []
        self._bytes = 0
        self._closed = False
        self._lost = 0
        self._failing = 0  # lines lost since it failed
        self._thread = threading.Thread(target=self._work, name="penstock-log", daemon=True)
        self._thread.start()

    def __call__(self, batch: bytes) -> None:
        """Take whole lines; BlockingIOError when more than `MAX_QUEUED_BYTES` would wait, but for one batch alone."""
        with self._condition:
            if self._bytes and self._bytes + len(batch) > MAX_QUEUED_BYTES:
                raise BlockingIOError
            self._queue.append(batch)
            self._bytes += len(batch)
            self._condition.notify()

    def take_lost(self) -> int:
        """How many lines could not be written since this was asked last."""
        with self._condition:
            lost, self._lost = self._lost, 0
        return lost

    def close(self) -> None:
        """Write what is queued, for at most two seconds: a reader that stopped reading must not keep the process from
        ending."""
        with self._condition:
            self._closed = True
            self._condition.notify()
        self._thread.join(2.0)

    def _work(self) -> None:
        while True:
            with self._condition:
                while not self._queue and not self._closed:
                    self._condition.wait()
                if not self._queue:
                    return
                batch = b"".join(self._queue)
                self._queue.clear()
            self._try(batch)
            with self._condition:
                self._bytes -= len(batch)

    def _try(self, batch: bytes) -> None:
        try:
            self._write(batch)
        except (OSError, ValueError) as error:  # serving goes on
            lines = batch.count(b"\n")
            if not self._failing:
                log.error("the request log cannot be written, and its lines are lost until it can: %s", error)
            self._failing += lines
            with self._condition:
                self._lost += lines
            return
        if self._failing:
            log.warning("the request log can be written again: %d lines are lost", self._failing)
            self._failing = 0
