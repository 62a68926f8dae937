"""What a listener of the data plane allows its callers."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["MAX_BODIES", "POLITE", "Limits"]

# What the bodies of all requests that are received or answered may take, in one worker (semantics.md: Streams).
MAX_BODIES = 256 * 1024 * 1024

# Each of them is a socket for two seconds more.
POLITE = 64


class Limits(NamedTuple):
    """What a listener allows.

    Attributes:
        max_body: bytes.
        idle: seconds after which an unused connection is closed.
        max_connections: those above it are told to come back later.
        max_bodies: bytes of all large bodies together; whose makes it more is told to come back later.
        polite: how many above `max_connections` at once are told so; further ones are just closed.
    """

    max_body: int
    idle: float
    max_connections: int
    max_bodies: int = MAX_BODIES
    polite: int = POLITE
