"""Which deployments and credentials there are, for the authority over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.stores.breaker import Position
from penstock.stores.condition import Condition, Credential, Subject

__all__ = ["MOST_STRANGERS", "Register"]

# Of deployments that no configuration names only so many are remembered, those heard of last: more than all workers
# of a machine remember (`stores/state.py`).
MOST_STRANGERS = 10_000


class Register:
    """Every deployment's condition, by its id.

    Args:
        chance: draws from [0, 1).
        moved: told where which deployment's breaker goes.
    """

    def __init__(self, chance: Callable[[], float], moved: Callable[[str, Position], object]) -> None:
        self._chance = chance
        self._moved = moved
        self._conditions: dict[str, Condition] = {}
        self._strangers: dict[str, None] = {}
        self._credentials: dict[str, Credential] = {}

    def __len__(self) -> int:
        return len(self._conditions)

    def __iter__(self) -> Iterator[Condition]:
        return iter(self._conditions.values())

    def get(self, id: str) -> Condition | None:
        """The deployment with that id; a stranger that is heard of stays longer."""
        if id in self._strangers:
            self._remember(id)
        return self._conditions.get(id)

    def enter(self, id: str, credential: str, *, declared: bool) -> Condition:
        """The deployment with that id, made at first, asked with that credential from now on."""
        condition = self._conditions.get(id)
        new = condition is None
        lent = self._credentials.get(credential)
        if lent is None:
            lent = self._credentials[credential] = Credential(credential)
        if condition is None:
            condition = Condition(id, lent, self._chance, lambda position: self._moved(id, position))
            self._conditions[id] = condition
        condition.credential = lent
        if declared:
            self._strangers.pop(id, None)
        elif new or id in self._strangers:
            self._remember(id)
        return condition

    def is_stranger(self, id: str) -> bool:
        """Whether no configuration names it."""
        return id in self._strangers

    def named(self, name: str) -> list[Condition]:
        """The deployment with that id, or all that differ from it by their credential alone."""
        return [each for id, each in self._conditions.items() if id == name or id.startswith(f"{name}#")]

    def subjects(self) -> Iterator[Subject]:
        """Everything that has an outlook."""
        yield from self._credentials.values()
        yield from self._conditions.values()

    def _remember(self, id: str) -> None:
        self._strangers.pop(id, None)
        self._strangers[id] = None
        if len(self._strangers) > MOST_STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest], self._conditions[oldest]
