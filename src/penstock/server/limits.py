"""What a listener of the data plane allows its callers."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MAX_BODIES", "Limits"]

# What the bodies of all requests that are received or answered may take, in one worker (semantics.md: Streams).
MAX_BODIES = 256 * 1024 * 1024


class Limits(NamedTuple):
    """What a listener allows.

    Attributes:
        max_body: bytes.
        idle: seconds after which an unused connection is closed.
        max_connections: those above it are told to come back later.
        max_bodies: bytes of all large bodies together; whose makes it more is told to come back later.
    """

    max_body: int
    idle: float
    max_connections: int
    max_bodies: int = MAX_BODIES
