"""A limit that holds in every window of its length, wherever one begins: a log of what was taken, in 61 buckets.

A bucket is a sixtieth of the window. The oldest of those that a window can touch is counted whole, so that what is
counted is never less than what was taken within the window before now (semantics.md: Rate limits).
"""

from __future__ import annotations

from collections import deque

from penstock.reservation import Rule

__all__ = ["Strict"]

PARTS = 60
_SECOND = 1_000_000_000


class Strict:
    """What was taken lately; moments are nanoseconds of a clock that never goes back.

    Attributes:
        whole: the limit: more than that is never to be had.
    """

    __slots__ = ("_buckets", "_span", "_sum", "whole")

    def __init__(self, rule: Rule, now: int) -> None:
        # Number and amount, the oldest first.
        self._buckets: deque[list[int]] = deque()
        self._sum = 0
        self._set(rule)

    def __repr__(self) -> str:
        return f"<Strict {self._sum} of {self.whole} in {self._span / _SECOND:g} s>"

    def adopt(self, rule: Rule, now: int) -> None:
        """Go by another limit from now on; what was taken stays taken."""
        self._drop(now)
        before = self._span
        self._set(rule)
        if self._span != before:
            # Each bucket as if it had been taken at its end: never sooner forgotten than it should be.
            for bucket in self._buckets:
                bucket[0] = min(self._number(now), self._number(_ceil((bucket[0] + 1) * before, PARTS)))

    def left(self, now: int) -> int:
        """How much can be had now; negative where more was taken than there was."""
        self._drop(now)
        return self.whole - self._sum

    def take(self, amount: int, now: int) -> int:
        """Take so much, whether or not it is there; the number of the bucket it is in."""
        self._drop(now)
        number = self._number(now)
        if not self._buckets or self._buckets[-1][0] < number:
            self._buckets.append([number, 0])
        self._buckets[-1][1] += amount
        self._sum += amount
        return self._buckets[-1][0]

    def give(self, amount: int, bucket: int, now: int) -> None:
        """Give back what was taken into a bucket, if that is not forgotten yet."""
        self._drop(now)
        for each in self._buckets:
            if each[0] == bucket:
                given = min(amount, each[1])
                each[1] -= given
                self._sum -= given
                return

    def wait(self, amount: int, now: int) -> int | None:
        """Nanoseconds until so much can be had; None for never."""
        self._drop(now)
        if amount > self.whole:
            return None if amount > 0 else 0
        short = self._sum + amount - self.whole
        if short <= 0:
            return 0
        for number, taken in self._buckets:
            short -= taken
            if short <= 0:
                return self._forgotten(number) - now
        return 0

    def resets(self, now: int) -> int:
        """Nanoseconds until nothing is taken any more."""
        self._drop(now)
        return self._forgotten(self._buckets[-1][0]) - now if self._sum else 0

    def _set(self, rule: Rule) -> None:
        self.whole = rule.limit
        self._span = max(1, rule.seconds) * _SECOND

    def _number(self, now: int) -> int:
        return now * PARTS // self._span

    def _forgotten(self, number: int) -> int:
        """The first moment at which a bucket counts no more."""
        return _ceil((number + PARTS + 1) * self._span, PARTS)

    def _drop(self, now: int) -> None:
        oldest = self._number(now) - PARTS
        buckets = self._buckets
        while buckets and buckets[0][0] < oldest:
            self._sum -= buckets.popleft()[1]


def _ceil(amount: int, by: int) -> int:
    return -(-amount // by)
