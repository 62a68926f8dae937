"""Time, chance and ids: the only doors to them.

Everything else takes a `Clock` and a `Random`, so that a whole gateway can run under a seed in virtual time.
`Clock.monotonic` is the loop's time base; `asyncio.timeout` and `call_later` appear only here.
"""

from __future__ import annotations

import asyncio
import os
import random
import struct
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from math import floor
from typing import Protocol

__all__ = ["Clock", "Ids", "Random", "SystemClock", "SystemRandom", "Timer", "uuid7"]


class Timer(Protocol):
    """A scheduled callback."""

    def cancel(self) -> None:
        """Forget it; does nothing once it has run."""


class Clock(Protocol):
    """Time in seconds. Methods other than `monotonic` and `wall` need a running loop."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps; only differences mean anything."""
        ...

    def wall(self) -> float:
        """Seconds since the Unix epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Cancel the block after so many seconds and raise TimeoutError; None never does."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Run a plain function after so many seconds."""
        ...


class SystemClock:
    """The machine's clock and the running asyncio loop."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)


class Random(Protocol):
    """Chance. Not for secrets: keys come from `secrets`."""

    def random(self) -> float:
        """A float in [0, 1)."""
        ...

    def getrandbits(self, k: int, /) -> int:
        """An integer of k random bits."""
        ...


class SystemRandom(random.Random):
    """A Mersenne twister seeded by the OS, and seeded again in a forked child (ids must not repeat there)."""

    def __init__(self) -> None:
        super().__init__(os.urandom(32))
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=lambda: self.seed(os.urandom(32)))


def uuid7(clock: Clock, random: Random) -> str:
    """A UUIDv7 as text (RFC 9562, section 5.7): 48 bits of Unix milliseconds, 74 of chance."""
    millis = int(clock.wall() * 1000)
    return _stamp(millis) + _tail(random.getrandbits(74))


def _stamp(millis: int) -> str:
    digits = f"{millis & 0xFFFF_FFFF_FFFF:012x}"
    return f"{digits[:8]}-{digits[8:]}-7"


def _tail(bits: int) -> str:
    return f"{bits >> 62 & 0xFFF:03x}-{0x8000 | bits >> 48 & 0x3FFF:04x}-{bits & 0xFFFF_FFFF_FFFF:012x}"


class Ids:
    """Makes UUIDv7s as `uuid7` does, cheaper by drawing the chance of many at once.

    Attributes:
        millis: the Unix time that `stamp` says; `stamp`: what an id of that time begins with.
        tails: what ids end with, each of one alone.
    """

    _BATCH = 64

    def __init__(self, clock: Clock, random: Random) -> None:
        self._clock = clock
        self._random = random
        self.millis = -1
        self.stamp = ""
        self.tails: list[str] = []

    def new(self) -> str:
        """One more id."""
        millis = floor(self._clock.wall() * 1000)
        if millis != self.millis or not self.tails:
            self.renew(millis)
        return self.stamp + self.tails.pop()

    def renew(self, millis: int) -> None:
        """That is the time now, and there is a tail: whoever needs an id at each request puts it together itself."""
        if millis != self.millis:
            self.millis = millis
            self.stamp = _stamp(millis)
        if not self.tails:
            self._draw()

    def _draw(self) -> None:
        # One number's digits for all of them: formatting each on its own costs more than the rest of a request's id.
        bits = self._random.getrandbits(80 * self._BATCH) & _CHANCE | _VARIANT
        texts = b"-".join(_PARTS.unpack(b"%0*x" % (20 * self._BATCH, bits))).decode()
        self.tails = [texts[at : at + 21] for at in range(0, 22 * self._BATCH, 22)]


# Of each id's twenty digits, one of them too many, what is chance, and the two bits `10` that are not.
_CHANCE = int(("fff3" + "f" * 16) * Ids._BATCH, 16)
_VARIANT = int(("0008" + "0" * 16) * Ids._BATCH, 16)
_PARTS = struct.Struct("3s4s12sx" * Ids._BATCH)
