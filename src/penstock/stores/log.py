"""The batched writer of the request log: the request path appends to a list; encoding is done by the batch, and a
thread writes.

A slow or stopped sink never holds a request up: the queue is bounded, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from penstock.clock import Clock, Timer

__all__ = ["LogWriter", "threaded"]

FLUSH_SECONDS = 0.1
FLUSH_ITEMS = 256
MAX_QUEUED_BYTES = 16 * 1024 * 1024

T = TypeVar("T")
Sink = Callable[[bytes], object]


class LogWriter(Generic[T]):
    """Collects what is to be logged and hands it on in batches of lines.

    Args:
        encode: makes the whole lines of a batch.
        sink: takes one batch of lines; must not block (see `threaded`).
        dropped: told how many lines were lost when the sink refuses a batch by raising BlockingIOError.
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


def threaded(write: Callable[[bytes], object]) -> tuple[Sink, Callable[[], None]]:
    """A sink in front of a blocking `write`, run by a thread of its own; returns it and how to close it.

    The sink raises BlockingIOError when more than `MAX_QUEUED_BYTES` would wait, but for one batch that waits alone.
    Closing writes what is queued, for at most two seconds: a reader that stopped reading must not keep the process from
    ending.
    """
    condition = threading.Condition()
    queue: list[bytes] = []
    state = {"bytes": 0, "closed": False}

    def sink(batch: bytes) -> None:
        with condition:
            if state["bytes"] and state["bytes"] + len(batch) > MAX_QUEUED_BYTES:
                raise BlockingIOError
            queue.append(batch)
            state["bytes"] += len(batch)
            condition.notify()

    def work() -> None:
        while True:
            with condition:
                while not queue and not state["closed"]:
                    condition.wait()
                if not queue:
                    return
                batch = b"".join(queue)
                queue.clear()
            try:
                write(batch)
            except (OSError, ValueError):
                pass  # the log's reader is gone; serving goes on
            finally:
                with condition:
                    state["bytes"] -= len(batch)

    thread = threading.Thread(target=work, name="penstock-log", daemon=True)
    thread.start()

    def close() -> None:
        with condition:
            state["closed"] = True
            condition.notify()
        thread.join(2.0)

    return sink, close
