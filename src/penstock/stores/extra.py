"""How many requests may be sent in excess: a part of those that were asked for."""

from __future__ import annotations

__all__ = ["SAVED", "Extra"]

# What was not spent is saved for when it is needed, up to so many: a bad moment after a long good time is no reason to
# send every request twice.
SAVED = 20.0


class Extra:
    """Of one model. At any time at most `most` x the requests since any earlier time, and 20, have been sent.

    It begins with none: of the first 50 requests none is sent twice where `most` is 2 %.
    """

    __slots__ = ("_left", "id", "most")

    def __init__(self, id: str) -> None:
        self.id = id
        self.most = 0.0
        self._left = 0.0

    def __repr__(self) -> str:
        return f"<Extra {self.id}: {self.most:.1%}, {int(self._left)} left>"

    def asked(self) -> None:
        """A request was asked for."""
        self._left = min(SAVED, self._left + self.most)

    def try_take(self) -> bool:
        """One is sent in excess, if it may."""
        # Sums of a part that binary fractions cannot hold come out a little short.
        if self._left < 1.0 - 1e-9:
            return False
        self._left -= 1.0
        return True
