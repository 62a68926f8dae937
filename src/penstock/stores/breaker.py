"""The circuit breaker of a deployment (semantics.md: Breaker). Pure: time and chance are arguments.

closed: calls pass, failures are counted. open: none passes, until a time that doubles with every opening. half_open,
from then on: one call at a time, with a permit that somebody else keeps (`stores/condition.py`); so many successes
close it, one failure opens it again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import msgspec

from penstock.stores.window import Window

__all__ = ["Breaker", "BreakerRules", "Position"]

Position = Literal["closed", "open", "half_open"]

JITTER = 0.1
_MOST_DOUBLINGS = 30


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


class Breaker:
    """One deployment's.

    Args:
        chance: draws from [0, 1).
        moved: told of each change of position.

    Attributes:
        rules: may change at any time, which neither closes nor forgets anything; None: it is off, and lets all pass.
        until: when it was, or will be, half open; of no meaning while closed.
        why: what opened it.
    """

    __slots__ = (
        "_calls",
        "_chance",
        "_closed_at",
        "_doublings",
        "_early",
        "_halved",
        "_moved",
        "_open",
        "_streak",
        "_successes",
        "rules",
        "until",
        "why",
    )

    def __init__(self, chance: Callable[[], float], moved: Callable[[Position], object]) -> None:
        self.rules: BreakerRules | None = BreakerRules()
        self.until = 0.0
        self.why = ""
        self._chance = chance
        self._moved = moved
        self._open = False
        self._closed_at: float | None = None
        self._doublings = 0
        self._streak = 0
        self._successes = 0
        self._calls = Window()
        # Whether its half_open has been told, and whether one call was let through before that.
        self._halved = self._early = False

    def position(self, now: float) -> Position:
        """Where it stands."""
        if not self._open or self.rules is None:
            return "closed"
        return "open" if now < self.until else "half_open"

    # --- what came of calls without a permit

    def passed(self, now: float, calls: int) -> None:
        """So many succeeded. Those that were sent before it opened do not close it."""
        if self.rules is not None and not self._open:
            self._streak = 0
            self._calls.add(now, calls, 0)

    def failed(self, now: float, why: str) -> None:
        """One failed."""
        rules = self.rules
        if rules is None or self._open:
            return
        self._streak += 1
        self._calls.add(now, 1, 1)
        self._calls.forget(now, rules.window)
        calls, failures = self._calls.first, self._calls.second
        if self._streak >= rules.failures:
            self._begin(now, rules, f"{self._streak} failures in a row, the last one: {why}")
        elif calls >= rules.minimum and failures >= rules.ratio * calls:
            told = f"{failures} of {calls} calls failed in {rules.window:g} s, the last one: {why}"
            self._begin(now, rules, told)

    # --- half_open

    def try_early(self, now: float) -> bool:
        """Let one call through before its time, once while it is open."""
        if self.position(now) != "open" or self._early:
            return False
        self._early = True
        return True

    def halve(self, now: float) -> None:
        """A permit is given out."""
        if self.position(now) == "half_open" and not self._halved:
            self._halved = True
            self._moved("half_open")

    def tried(self, now: float, failure: str = "") -> None:
        """A call with a permit succeeded, or failed for that reason."""
        rules = self.rules
        if rules is None or not self._open:
            if failure:
                self.failed(now, failure)
            else:
                self.passed(now, 1)
        elif not failure:
            # One that went early shows that there is no more to wait for.
            self.until = min(self.until, now)
            self.halve(now)
            self._successes += 1
            if self._successes >= rules.successes:
                self.close(now)
        elif now >= self.until:
            self._doublings = min(self._doublings + 1, _MOST_DOUBLINGS)
            self._open_for(now, rules, f"tried again, and failed: {failure}")
        # One that went early and failed changes nothing: else a caller in need would keep it open for ever.

    # --- moves

    def close(self, now: float) -> None:
        """Let calls pass again."""
        if self._open:
            self._open = False
            self._closed_at = now
            self._moved("closed")
        self._streak = 0
        self._calls.clear()

    def _begin(self, now: float, rules: BreakerRules, why: str) -> None:
        calm = self._closed_at is None or now - self._closed_at >= rules.calm
        self._doublings = 0 if calm else min(self._doublings + 1, _MOST_DOUBLINGS)
        self._open_for(now, rules, why)

    def _open_for(self, now: float, rules: BreakerRules, why: str) -> None:
        seconds = min(rules.open * 2.0**self._doublings, rules.max_open)
        self.until = now + seconds * (1 - JITTER + 2 * JITTER * self._chance())
        self.why = why
        self._open = True
        self._successes = 0
        self._halved = self._early = False
        self._moved("open")
