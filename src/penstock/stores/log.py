"""The batched writer of the request log: the request path appends to a list, a thread writes.

A slow or stopped sink never holds a request up: the queue is bounded, and what does not fit is dropped and counted.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from penstock.clock import Clock, Timer

__all__ = ["LogWriter", "inline", "threaded"]

FLUSH_SECONDS = 0.1
FLUSH_BYTES = 256 * 1024
MAX_QUEUED_BYTES = 16 * 1024 * 1024

Sink = Callable[[bytes], object]


class LogWriter:
    """Collects lines and hands them on in batches.

    Args:
        sink: takes one batch of whole lines; must not block (see `threaded`).
        dropped: told how many lines were lost when the sink refuses a batch by raising BlockingIOError.
    """

    def __init__(self, sink: Sink, clock: Clock, dropped: Callable[[int], None]) -> None:
        self._sink = sink
        self._clock = clock
        self._dropped = dropped
        self._lines: list[bytes] = []
        self._size = 0
        self._timer: Timer | None = None

    def write(self, line: bytes) -> None:
        """Add one line, its newline included."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= FLUSH_BYTES:
            self.flush()
        elif self._timer is None:
            self._timer = self._clock.call_later(FLUSH_SECONDS, self.flush)

    def flush(self) -> None:
        """Hand on what there is."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._lines, self._size = self._lines, [], 0
        if lines:
            try:
                self._sink(b"".join(lines))
            except BlockingIOError:
                self._dropped(len(lines))


def inline(write: Callable[[bytes], object]) -> tuple[Sink, Callable[[], None]]:
    """A sink that writes at once, for tests and short-lived processes; returns it and how to close it."""
    return write, lambda: None


def threaded(write: Callable[[bytes], object]) -> tuple[Sink, Callable[[], None]]:
    """A sink in front of a blocking `write`, run by a thread of its own; returns it and how to close it.

    The sink raises BlockingIOError when `MAX_QUEUED_BYTES` wait already. Closing writes what is queued, for at most
    two seconds: a reader that stopped reading must not keep the process from ending.
    """
    condition = threading.Condition()
    queue: list[bytes] = []
    state = {"bytes": 0, "closed": False}

    def sink(batch: bytes) -> None:
        with condition:
            if state["bytes"] + len(batch) > MAX_QUEUED_BYTES:
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
