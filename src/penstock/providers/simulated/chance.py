"""Chance from a seed: the same request to the same provider gives the same answer, on any Python version.

`Dice` is SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014). It satisfies
`penstock.clock.Random`. Not for secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["Dice", "mixed", "seed_of"]

T = TypeVar("T")

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_GAMMA = 0x9E37_79B9_7F4A_7C15
_LETTERS = (b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" * 5)[:256]


def seed_of(*parts: bytes | int) -> int:
    """64 bits that depend on every part and on their order."""
    digest = hashlib.blake2b(digest_size=8)
    for part in parts:
        data = part if isinstance(part, bytes) else b"%d" % part
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return int.from_bytes(digest.digest(), "big")


def mixed(seed: int, number: int) -> int:
    """A seed of its own for each number: cheaper than `seed_of`, for seeds made from seeds."""
    return Dice(seed ^ (number * _GAMMA)).getrandbits(64)


class Dice:
    """A stream of chance from a 64-bit seed."""

    __slots__ = ("_state",)

    def __init__(self, seed: int) -> None:
        self._state = seed & _MASK

    def _next(self) -> int:
        self._state = state = (self._state + _GAMMA) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58_476D_1CE4_E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D0_49BB_1331_11EB) & _MASK
        return state ^ (state >> 31)

    def random(self) -> float:
        """A float in [0, 1)."""
        return (self._next() >> 11) * 2.0**-53

    def getrandbits(self, k: int, /) -> int:
        """An integer of k random bits."""
        bits = 0
        for _ in range(0, k, 64):
            bits = (bits << 64) | self._next()
        return bits >> (-k % 64)

    def below(self, limit: int) -> int:
        """An integer from 0 up to, not including, `limit`."""
        return self._next() % limit

    def between(self, low: int, high: int) -> int:
        """An integer from `low` to `high`, both possible."""
        return low + self._next() % (high - low + 1)

    def choice(self, items: Sequence[T]) -> T:
        """One of `items`."""
        return items[self._next() % len(items)]

    def name(self, length: int) -> str:
        """Letters and digits, as in a provider's ids."""
        return self.getrandbits(8 * length).to_bytes(length, "big").translate(_LETTERS).decode("ascii")
