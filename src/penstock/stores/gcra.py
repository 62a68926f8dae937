"""A rate as GCRA has it (ITU-T I.371), with weights, in whole numbers.

`TAT' = max(now, TAT) + n * T`, admitted iff `TAT' - now <= tau` (semantics.md: Rate limits). Where nothing may come at
once (`leaky` without a burst) tau is a request's own `n * T`: each has its turn when time has made up for the last.

What is kept is not the moment TAT but the debt `(TAT - now) / T`, in amounts times nanoseconds: nothing is rounded,
and a limit that is changed goes on with what was taken.
"""

from __future__ import annotations

from penstock.reservation import Rule

__all__ = ["Gcra"]

_SECOND = 1_000_000_000


class Gcra:
    """What was taken of a rate; moments are nanoseconds of a clock that never goes back.

    Attributes:
        whole: how much can be had at once, if nothing was taken: more than that never is.
    """

    __slots__ = ("_at", "_debt", "_even", "_limit", "_span", "whole")

    def __init__(self, rule: Rule, now: int) -> None:
        self._debt = 0
        self._at = now
        self._set(rule)

    def __repr__(self) -> str:
        return f"<Gcra {self._limit} in {self._span / _SECOND:g} s, {self._debt // self._span} of {self.whole} taken>"

    def adopt(self, rule: Rule, now: int) -> None:
        """Go by another limit from now on; what was taken stays taken."""
        self._drain(now)
        span = self._span
        self._set(rule)
        self._debt = self._debt * self._span // span

    def left(self, now: int) -> int:
        """How much can be had now; negative where more was taken than there was."""
        self._drain(now)
        if self._even and self._debt:
            return min(0, self.whole - _ceil(self._debt, self._span))
        return (self.whole * self._span - self._debt) // self._span

    def take(self, amount: int, now: int) -> None:
        """Take so much, whether or not it is there."""
        self._drain(now)
        self._debt += amount * self._span

    def give(self, amount: int, now: int) -> None:
        """Give back what was taken: as much of it as time has not given back itself."""
        self._drain(now)
        self._debt = max(0, self._debt - amount * self._span)

    def wait(self, amount: int, now: int) -> int | None:
        """Nanoseconds until so much can be had; None for never."""
        self._drain(now)
        if amount > self.whole or self._limit <= 0:
            return None if amount > 0 else 0
        if self._even:
            return _ceil(self._debt, self._limit) if amount > 0 else 0
        return max(0, _ceil(self._debt + (amount - self.whole) * self._span, self._limit))

    def resets(self, now: int) -> int:
        """Nanoseconds until nothing is taken any more."""
        self._drain(now)
        return _ceil(self._debt, self._limit) if self._limit > 0 else 0

    def _set(self, rule: Rule) -> None:
        self._limit = rule.limit
        self._span = max(1, rule.seconds) * _SECOND
        self.whole = rule.burst or rule.limit
        self._even = rule.kind == "leaky" and not rule.burst

    def _drain(self, now: int) -> None:
        if now > self._at:
            self._debt = max(0, self._debt - (now - self._at) * self._limit)
            self._at = now


def _ceil(amount: int, by: int) -> int:
    return -(-amount // by)
