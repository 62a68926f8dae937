"""What was counted in the last so many seconds, in buckets of one second. Pure."""

from __future__ import annotations

from collections import deque

__all__ = ["Window"]


class Window:
    """Two counts that belong together, such as calls and how many of them failed.

    A bucket is forgotten whole: of a window of 30 s what is counted lies 29 to 30 s back at most.
    """

    __slots__ = ("_buckets", "first", "second")

    def __init__(self) -> None:
        # Per bucket its second and both counts.
        self._buckets: deque[list[int]] = deque()
        self.first = 0
        self.second = 0

    def __repr__(self) -> str:
        return f"<Window {self.first}, {self.second}>"

    def add(self, now: float, first: int, second: int) -> None:
        """Count something; what comes late, of an earlier second, is counted in the latest there is."""
        second_of = int(now)
        buckets = self._buckets
        if buckets and buckets[-1][0] >= second_of:
            buckets[-1][1] += first
            buckets[-1][2] += second
        else:
            buckets.append([second_of, first, second])
        self.first += first
        self.second += second

    def forget(self, now: float, seconds: float) -> None:
        """Leave in `first` and `second` what the last so many seconds had."""
        oldest = int(now) - seconds
        buckets = self._buckets
        while buckets and buckets[0][0] <= oldest:
            _, first, second = buckets.popleft()
            self.first -= first
            self.second -= second

    def clear(self) -> None:
        """Forget everything."""
        self._buckets.clear()
        self.first = self.second = 0
