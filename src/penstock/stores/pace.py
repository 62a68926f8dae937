"""How fast and how busy a deployment is."""

from __future__ import annotations

__all__ = ["Pace"]


class Pace:
    """Of one deployment, as this process sees it."""

    __slots__ = ("id", "in_flight")

    def __init__(self, id: str) -> None:
        self.id = id
        self.in_flight = 0
