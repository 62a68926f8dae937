"""How many calls run at a deployment at a time (semantics.md: Concurrency)."""

from __future__ import annotations

import msgspec

__all__ = ["GateRules"]


class GateRules(msgspec.Struct, frozen=True):
    """How many calls may run at a time.

    Attributes:
        most: the most that are ever let in, None: as many as come until the provider says that it is too much.
        queue: how many may wait.
    """

    most: int | None = None
    queue: int = 1000
