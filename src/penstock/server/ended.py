"""What a worker tells of requests that are over: all of them where they are few, else some, the worst first.

The lines are those of the log, written once for both. They are handed over every second, and whenever somebody asks.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from io import BytesIO

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
        # Taken apart once they are told: where many end, most never are.
        self._batches: deque[tuple[list[str], bytes]] = deque()
        self._count = 0
        self._wrong: deque[Told] = deque(maxlen=MOST_WRONG)

    def encode(self, records: Sequence[Record]) -> bytes:
        """The records' log lines, each with its newline; they are also kept to be told."""
        data = encode_lines(records)
        ids = [record.id for record in records]
        self._batches.append((ids, data))
        self._count += len(ids)
        telling = [
            at
            for at, record in enumerate(records)
            if record.error or record.stream_error or record.degraded or len(record.attempts) > 1
        ]
        if self._count > MOST:
            # Some will not be told. The slowest of each batch is.
            took = [record.ended - record.started for record in records]
            telling.insert(0, took.index(max(took)))
            while self._count - len(self._batches[0][0]) >= MOST:
                self._count -= len(self._batches.popleft()[0])
        if telling:
            told = _apart(ids, data)
            self._wrong += [told[at] for at in telling]
        return data

    def take(self) -> Finished | None:
        """What has not been told yet; None for nothing."""
        if not self._batches:
            return None
        newest = [each for ids, data in self._batches for each in _apart(ids, data)][-MOST:]
        taken = Finished(_fitting(newest, MOST_BYTES), _fitting(self._wrong, MOST_BYTES // 4))
        self._batches.clear()
        self._count = 0
        self._wrong.clear()
        return taken


def _apart(ids: Sequence[str], data: bytes) -> list[Told]:
    """Lines by the ids of their requests; `readlines` looks for their ends by memchr, which `split` does not."""
    return [(id, line[:-1]) for id, line in zip(ids, BytesIO(data).readlines(), strict=True)]


def as_they_stand(live: Sequence[Record], most: int, now: float) -> list[Told]:
    """The newest of requests that are being answered."""
    newest = heapq.nlargest(most, live, key=lambda record: record.id)
    return _fitting(_apart([record.id for record in newest], encode_lines(newest, now))[::-1], MOST_BYTES)


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
