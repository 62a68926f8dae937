"""How each deployment stands: what its traffic, probes and operators say of it (semantics.md: the table, Breaker)."""

from __future__ import annotations

from penstock.standing import READY, Effect, Standing

__all__ = ["Health"]


class Health:
    """One deployment's.

    Attributes:
        blocked: it may not simply be asked; see `standing`.
        since: when its standing last changed, monotonic.
    """

    __slots__ = ("blocked", "id", "since")

    def __init__(self, id: str) -> None:
        self.id = id
        self.blocked = False
        self.since = 0.0

    def standing(self, now: float) -> Standing:
        """Whether it may be asked."""
        return READY

    def sent(self, now: float, retry: bool) -> None:
        """An attempt leaves."""

    def passed(self, now: float, took: float, *, after_retry: int = 0, trial: bool = False) -> None:
        """An attempt was answered, its first output after `took` seconds.

        Args:
            after_retry: what the attempt took from the retry quota, if it was a retry.
            trial: it went with the permit of `try_trial`.
        """

    def failed(self, now: float, effect: Effect, *, trial: bool = False) -> None:
        """An attempt ended badly."""

    async def try_retry(self, cost: int) -> bool:
        """Whether a retry may be sent, by the quota and the part of all requests that retries may be."""
        return True

    async def try_trial(self, life: float, *, early: bool = False) -> bool:
        """Take the permit for one attempt at a deployment that is not simply ready; it lapses after `life` seconds.

        Args:
            early: also while it is open, once in that time.
        """
        return True

    def release_trial(self) -> None:
        """The attempt said nothing."""
