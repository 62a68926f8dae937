"""Watches how deployments stand while a scenario runs: which state each was in when, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from penstock.clock import Clock
from penstock.standing import Standing
from penstock.stores.health import OwnDesk
from penstock.stores.outlook import Outlook
from penstock.testing.simulate.report import Change

__all__ = ["Watch"]

NEVER = float("inf")
_OPEN = ("open", "trial")
_AFTER = 1e-6  # sums of times are not exact


class Watch:
    """Notes every change of every deployment's state.

    Args:
        desk: where it is decided.
        ids: the deployments that the configuration names now.

    Attributes:
        changes: in the order in which they happened.
    """

    def __init__(self, desk: OwnDesk, clock: Clock, ids: Callable[[], Iterable[str]]) -> None:
        self._authority = desk.authority
        self._clock = clock
        self._ids = ids
        self._zero = clock.monotonic()
        self._now: dict[str, tuple[str, float]] = {}
        self._ends: dict[str, float] = {}
        self._spent: dict[str, dict[str, float]] = {}
        self._tell = desk.authority.publish
        desk.authority.publish = self._published
        self.changes: list[Change] = []

    def _published(self, subject: str, outlook: Outlook) -> None:
        self._tell(subject, outlook)
        self._look()

    def _look(self) -> None:
        """Of what ends by itself nobody is told: it is looked at again then."""
        now = self._clock.monotonic()
        for id in self._ids():
            standing = self._authority.standing(id, now)
            if standing.state != self._now.get(id, ("ready", 0.0))[0]:
                self._change(id, standing, now)
            if now < standing.until < NEVER and standing.until != self._ends.get(id):
                self._ends[id] = standing.until
                self._clock.call_later(standing.until - now + _AFTER, self._look)

    def _change(self, id: str, standing: Standing, now: float) -> None:
        at = now - self._zero
        was, since = self._now.get(id, ("ready", 0.0))
        self._spend(id, was, at - since)
        self._now[id] = (standing.state, at)
        self.changes.append(Change(round(at, 3), id, standing.state, standing.why))

    def seconds(self, id: str) -> tuple[float, float]:
        """How long it has been open or half-open until now, and left alone for another reason."""
        spent = dict(self._spent.get(id, {}))
        state, since = self._now.get(id, ("ready", 0.0))
        spent[state] = spent.get(state, 0.0) + self._clock.monotonic() - self._zero - since
        opened = sum(spent.get(state, 0.0) for state in _OPEN)
        return opened, sum(spent.values()) - opened - spent.get("ready", 0.0)

    def _spend(self, id: str, state: str, seconds: float) -> None:
        spent = self._spent.setdefault(id, {})
        spent[state] = spent.get(state, 0.0) + seconds
