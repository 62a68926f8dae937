"""How many retries a deployment may be sent (semantics.md: Retry quota). Pure."""

from __future__ import annotations

from penstock.stores.window import Window

__all__ = ["CAPACITY", "Quota"]

# AWS SDK, retry behaviour "standard": a bucket that time does not fill, only success.
CAPACITY = 500
WINDOW_SECONDS = 60
# So many requests carry one retry; besides, one each second, of which a quiet time saves up ten seconds' worth
# (Finagle's RetryBudget keeps its floor for as long).
REQUESTS_A_RETRY = 10
FLOOR_A_SECOND = 1.0
SAVED = 10.0


class Quota:
    """Of one deployment, for all who call it.

    Two things must allow a retry: a bucket from which each takes its cost, and the part of all requests that retries
    may be. So in an outage a deployment is sent at most 1.1 times its requests, and one more each second.

    Attributes:
        tokens: what is left in the bucket.
    """

    __slots__ = ("_floor", "_floor_at", "_sent", "tokens")

    def __init__(self) -> None:
        self.tokens = CAPACITY
        self._sent = Window()
        self._floor = SAVED
        self._floor_at: float | None = None

    def __repr__(self) -> str:
        return f"<Quota {self.tokens} of {CAPACITY}>"

    def sent(self, now: float, requests: int) -> None:
        """So many requests were sent that are no retries."""
        self._sent.add(now, requests, 0)

    def refund(self, tokens: int) -> None:
        """Successes give back what their retry cost, or 1 where there was none."""
        self.tokens = min(CAPACITY, self.tokens + tokens)

    def try_take(self, now: float, cost: int) -> bool:
        """Whether a retry may be sent; it counts as sent from now on."""
        if self.tokens < cost or not self._within(now):
            return False
        self.tokens -= cost
        self._sent.add(now, 0, 1)
        return True

    def left(self, now: float) -> int:
        """How many retries could be sent at this moment, by the part of requests alone."""
        self._sent.forget(now, WINDOW_SECONDS)
        by_part = self._sent.first // REQUESTS_A_RETRY - self._sent.second
        return max(0, by_part) + int(self._saved(now))

    def _within(self, now: float) -> bool:
        self._sent.forget(now, WINDOW_SECONDS)
        beyond = (self._sent.second + 1) * REQUESTS_A_RETRY - self._sent.first
        if beyond <= 0:
            return True
        saved = self._saved(now)
        if saved < 1 or beyond > FLOOR_A_SECOND * WINDOW_SECONDS * REQUESTS_A_RETRY:
            return False
        self._floor, self._floor_at = saved - 1, now
        return True

    def _saved(self, now: float) -> float:
        if self._floor_at is None:
            return self._floor
        return min(SAVED, self._floor + (now - self._floor_at) * FLOOR_A_SECOND)
