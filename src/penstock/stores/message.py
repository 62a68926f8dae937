"""What a message between a worker and the centre is made of."""

from __future__ import annotations

import msgspec

__all__ = ["Message"]


class Message(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """What passes between a worker and the centre."""
