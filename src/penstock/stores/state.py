"""Running state, by the identity of what it guards: it outlives the gateways that a reload makes anew.

A gateway asks for each deployment's state when it is made, and finds what the one before it left: no breaker closes
and no permit is forgotten by a reload.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

__all__ = ["Registry"]

T = TypeVar("T")

# Deployments that no configuration names (`provider/anything`) are callers' words: of these only the last so many.
MOST_STRANGERS = 1000


class Registry:
    """The state of everything that is guarded."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], Any] = {}
        self._strangers: dict[tuple[str, str], Any] = {}

    def __repr__(self) -> str:
        return f"<Registry of {len(self._known)}, and {len(self._strangers)} that nobody declared>"

    def __iter__(self) -> Iterator[Any]:
        """Every state there is."""
        yield from self._known.values()
        yield from self._strangers.values()

    def of(self, kind: str, id: str, make: Callable[[str], T], *, declared: bool = True) -> T:
        """The state of that kind of the thing with that id, made at first.

        Args:
            declared: the configuration names it; else only the thousand asked for last are remembered.
        """
        key = (kind, id)
        known = self._known.get(key)
        if known is not None:
            return known  # type: ignore[no-any-return]
        known = self._strangers.pop(key, None)
        if known is None:
            known = make(id)
        if declared:
            self._known[key] = known
        else:
            self._strangers[key] = known
            if len(self._strangers) > MOST_STRANGERS:
                del self._strangers[next(iter(self._strangers))]
        return known
