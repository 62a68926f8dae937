"""Watches how deployments stand while a scenario runs: which state each was in when, and why."""

from __future__ import annotations

from penstock.testing.simulate.report import Change
from penstock.testing.simulate.world import World

__all__ = ["Watch"]

# How often it looks of itself; it also does so after every request.
LOOK_SECONDS = 0.25
_OPEN = ("open", "trial")


class Watch:
    """Notes every change of every deployment's state.

    Attributes:
        changes: in the order in which they happened.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._now: dict[str, tuple[str, float]] = {}
        self._spent: dict[str, dict[str, float]] = {}
        self.changes: list[Change] = []

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await self._world.loop.clock.sleep(LOOK_SECONDS)

    def look(self) -> None:
        """Look now."""
        world = self._world
        time, now = world.loop.time(), world.now
        for id, health in world.healths().items():
            standing = health.standing(time)
            was, since = self._now.get(id, ("ready", 0.0))
            if standing.state == was:
                continue
            self._spend(id, was, now - since)
            self._now[id] = (standing.state, now)
            self.changes.append(Change(round(now, 3), id, standing.state, standing.why))

    def seconds(self, id: str) -> tuple[float, float]:
        """How long it has been open or half-open until now, and left alone for another reason."""
        spent = dict(self._spent.get(id, {}))
        state, since = self._now.get(id, ("ready", 0.0))
        spent[state] = spent.get(state, 0.0) + self._world.now - since
        opened = sum(spent.get(state, 0.0) for state in _OPEN)
        return opened, sum(spent.values()) - opened - spent.get("ready", 0.0)

    def _spend(self, id: str, state: str, seconds: float) -> None:
        spent = self._spent.setdefault(id, {})
        spent[state] = spent.get(state, 0.0) + seconds
