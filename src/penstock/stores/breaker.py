"""The circuit breaker of a deployment (semantics.md: Breaker)."""

from __future__ import annotations

import msgspec

__all__ = ["BreakerRules"]


class BreakerRules(msgspec.Struct, frozen=True):
    """When it opens and closes. Seconds.

    Attributes:
        failures: so many in a row open it.
        ratio: so large a part of at least `minimum` calls within `window` opens it.
        open: how long it stays open at first; doubles up to `max_open`, and is back to this after `calm` closed.
        successes: so many in half_open close it.
        slow: a call whose first output takes longer counts as a failure; None: none does.
    """

    failures: int = 5
    ratio: float = 0.5
    minimum: int = 20
    window: float = 30.0
    open: float = 5.0
    max_open: float = 20.0
    calm: float = 300.0
    successes: int = 3
    slow: float | None = None
