"""What a worker tells of requests that are over: all of them where they are few, else some, the worst first.

The lines are those of the log, written once for both. They are handed over every second, and whenever somebody asks.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence

from penstock.lines import encode_lines
from penstock.records import Record
from penstock.stores.centre import Finished
from penstock.stores.recent import Told

__all__ = ["Ended", "as_they_stand"]

# Between two times that it is told: the newest of all, and the newest of those that went wrong or took longest.
MOST = 2_000
MOST_WRONG = 500
# No line is longer: its caller can make up no more than the tags, the names and the lost fields that are kept of it.
LONGEST = 128 * 1024
# Of one message, far below what one may have.
MOST_BYTES = 4 * 1024 * 1024


class Ended:
    """The requests that have ended since they were last told."""

    def __init__(self) -> None:
        self._all: deque[Told] = deque(maxlen=MOST)
        self._wrong: deque[Told] = deque(maxlen=MOST_WRONG)

    def encode(self, records: Sequence[Record]) -> bytes:
        """The records' log lines, each with its newline; they are also kept to be told."""
        data = encode_lines(records)
        told = list(zip([record.id for record in records], data.split(b"\n"), strict=False))
        if len(self._all) + len(told) > MOST:
            # Some will not be told. The slowest of each batch is.
            slowest = max(range(len(told)), key=lambda at: records[at].ended - records[at].started)
            self._wrong.append(told[slowest])
        self._all += told
        self._wrong += [
            each
            for each, record in zip(told, records, strict=True)
            if record.error or record.stream_error or record.degraded or len(record.attempts) > 1
        ]
        return data

    def take(self) -> Finished | None:
        """What has not been told yet; None for nothing."""
        if not self._all:
            return None
        taken = Finished(_fitting(self._all, MOST_BYTES), _fitting(self._wrong, MOST_BYTES // 4))
        self._all.clear()
        self._wrong.clear()
        return taken


def as_they_stand(live: Sequence[Record], most: int, now: float) -> list[Told]:
    """The newest of requests that are being answered."""
    newest = heapq.nlargest(most, live, key=lambda record: record.id)
    lines = encode_lines(newest, now).split(b"\n")
    return _fitting(list(zip([record.id for record in newest], lines, strict=False))[::-1], MOST_BYTES)


def _fitting(told: Sequence[Told], room: int) -> list[Told]:
    """The newest for which there is room, oldest first."""
    fitting: list[Told] = []
    for each in reversed(told):
        size = len(each[1])
        if size <= LONGEST:
            room -= size
            if room < 0:
                break
            fitting.append(each)
    fitting.reverse()
    return fitting
