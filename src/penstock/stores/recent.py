"""The requests of the last moments, in memory: each one's line, as the log has it, by the request's id."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

__all__ = ["MOST", "MOST_WRONG", "Recent", "Told"]

# How many are kept, and of those that went wrong or took long how many more.
MOST = 10_000
MOST_WRONG = 2_000
# Of both together: a line may hold the name of a model that its caller made up.
MOST_BYTES = 32 * 1024 * 1024

# A request's id and its line.
Told = tuple[str, bytes]


class Recent:
    """The last `most` requests, and of those that went wrong the last `most_wrong` besides."""

    def __init__(self, most: int = MOST, most_wrong: int = MOST_WRONG, most_bytes: int = MOST_BYTES) -> None:
        self._all = _Ring(most, most_bytes * 3 // 4)
        self._wrong = _Ring(most_wrong, most_bytes // 4)

    def __len__(self) -> int:
        return len(self._all.lines.keys() | self._wrong.lines.keys())

    def add(self, requests: Iterable[Told], wrong: Iterable[Told]) -> None:
        """Take some in, in the order in which they ended.

        Args:
            wrong: those that are kept longer; they need not be among `requests`.
        """
        for id, line in requests:
            self._all.put(id, line)
        for id, line in wrong:
            self._all.put(id, line)
            self._wrong.put(id, line)

    def find(self, id: str) -> bytes | None:
        """The line of one."""
        return self._all.lines.get(id) or self._wrong.lines.get(id)

    def before(self, id: str, most: int) -> list[Told]:
        """The newest of those that began before that one; "": of all. Ids sort by time (UUIDv7)."""
        known = self._all.lines.keys() | self._wrong.lines.keys()
        ids = sorted((each for each in known if not id or each < id), reverse=True)
        return [(each, self.find(each) or b"") for each in ids[:most]]


class _Ring:
    """Lines by id; the oldest go."""

    def __init__(self, most: int, most_bytes: int) -> None:
        # Not a dict: what has gone from one's beginning is passed over again and again in the search for the oldest.
        self.lines: OrderedDict[str, bytes] = OrderedDict()
        self._most = most
        self._bytes_left = most_bytes

    def put(self, id: str, line: bytes) -> None:
        lines = self.lines
        before = lines.pop(id, None)
        lines[id] = line
        self._bytes_left -= len(line) - (len(before) if before is not None else 0)
        while len(lines) > self._most or self._bytes_left < 0:
            self._bytes_left += len(lines.popitem(last=False)[1])
