"""Links that are slow, tear bytes apart or break: one simulated connection and the settings it follows.

All chance comes from one Random and all time from the loop's own clock, so that under SimLoop a seed fixes every
byte's moment. Like `memory`, this file is the network and may call the loop directly.
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from random import Random
from typing import Literal

from penstock.transport.memory import CAPACITY, Lane, MemoryTransport, reset_error

__all__ = ["Connection", "Failure", "Faults", "Link", "Medium", "Post", "draw_faults"]

Post = Callable[..., asyncio.Handle]

Failure = Literal["reset", "vanish"]
"""What becomes of an operation that fails: an error that is told at once, or nothing any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How one direction behaves. Seconds and bytes.

    Attributes:
        latency: from write to delivery, for every chunk; `jitter` adds up to so much. Order is kept.
        chunking: `whole` as written, `bytes` one at a time, `random` torn and joined at any place.
        bandwidth: bytes a second, or None without a limit.
        capacity: bytes the wire holds before the writer's own buffer fills.
        reset_after: break the connection once so many bytes were delivered.
        reset_chance: break it instead of delivering a chunk, with this probability.
        vanish_after: once so many bytes were delivered, swallow all that follows in both directions, without an end.
        vanish_chance: the same instead of delivering a chunk.
    """

    latency: float = 0.0
    jitter: float = 0.0
    chunking: Literal["whole", "bytes", "random"] = "whole"
    bandwidth: float | None = None
    capacity: int = CAPACITY
    reset_after: int | None = None
    reset_chance: float = 0.0
    vanish_after: int | None = None
    vanish_chance: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """How connections to a listener behave.

    Attributes:
        up: from the connecting side to the listener; `down`: back.
        refuse_chance: probability that a connect is refused.
        connect_delay: seconds a connect takes beside the latency of both directions; infinite: it never ends.
    """

    up: Link = field(default_factory=Link)
    down: Link = field(default_factory=Link)
    refuse_chance: float = 0.0
    connect_delay: float = 0.0


def draw_faults(random: Random, *, breaking: bool = False) -> Faults:
    """Plausible settings by chance: any latency and chunking, and with `breaking` resets, silence and refusals too."""

    def happens(probability: float) -> bool:
        return breaking and random.random() < probability

    def link() -> Link:
        return Link(
            latency=random.choice((0.0, 0.001, 0.05)),
            jitter=random.choice((0.0, 0.01)),
            chunking=random.choice(("whole", "random", "random", "bytes")),
            capacity=random.choice((1, 4096, CAPACITY)),
            reset_after=random.randrange(4096) if happens(0.15) else None,
            reset_chance=random.choice((0.0, 0.0, 0.05)) if breaking else 0.0,
            vanish_after=random.randrange(4096) if happens(0.1) else None,
        )

    refuse = random.choice((0.0, 0.0, 0.2)) if breaking else 0.0
    return Faults(up=link(), down=link(), refuse_chance=refuse, connect_delay=random.choice((0.0, 0.1)))


class _Signal(Enum):
    END = b"end"
    RESET = b"reset"


class _State(Enum):
    UP = "up"
    DARK = "dark"
    BROKEN = "broken"


class Medium:
    """What all connections of a network share: the loop, chance, and the record of what was delivered.

    Args:
        post: schedules a delivery as `loop.call_soon` does.

    Attributes:
        failing: asked before every "resolve", "connect", "send" and "receive" whether, and how, this one fails; None
            fails none.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random, post: Post) -> None:
        self.loop = loop
        self.random = random
        self.post = post
        self.failing: Callable[[str], Failure | None] | None = None
        self._digest = hashlib.blake2b(digest_size=16)

    def chance(self, probability: float) -> bool:
        """Whether it happens this time. Asks the Random only where both answers are possible."""
        return probability > 0 and self.random.random() < probability

    def fails(self, operation: str) -> Failure | None:
        """Whether this operation fails, and how."""
        return self.failing(operation) if self.failing is not None else None

    def observe(self, lane: int, data: bytes) -> None:
        """Note a delivery for the digest."""
        self._digest.update(struct.pack("<dqq", self.loop.time(), lane, len(data)) + data)

    def digest(self) -> str:
        """A hash of all deliveries so far, with their times: equal runs have equal digests."""
        return self._digest.hexdigest()


class _FaultyLane(Lane):
    """A lane on which things take time (`flight`), are torn, break off or vanish."""

    __slots__ = ("connection", "delivered", "flight", "free_at", "last", "link", "number", "timer")

    def __init__(self, connection: Connection, link: Link, number: int) -> None:
        super().__init__(connection.medium.loop, link.capacity)
        self.connection = connection
        self.link = link
        self.number = number
        self.delivered = 0
        self.flight: deque[tuple[float, bytes | _Signal]] = deque()
        self.free_at = 0.0  # when the link has sent what it was given
        self.last = 0.0  # when the latest of it arrives
        self.timer: asyncio.TimerHandle | None = None

    def wake(self) -> None:
        if not self.scheduled:
            self.scheduled = True
            self.connection.medium.post(self.run, context=self.receiver.context)

    def push(self, data: bytes) -> None:
        self.connection.fail("send")
        if self.connection.state is _State.BROKEN:
            self.sender.fail(reset_error())
        else:
            self.size += len(data)
            self._depart(data)

    def end(self) -> None:
        self._depart(_Signal.END)

    def refuse(self) -> None:
        self._depart(_Signal.RESET)

    def reset(self) -> None:
        self.cut()
        self.size = 0
        self.refuse()

    def cut(self) -> None:
        """Forget what is under way; the sender goes on believing that it was sent."""
        self.chunks.clear()
        self.flight.clear()
        self.fin = False
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None

    def deliver(self, receiver: MemoryTransport) -> None:
        if not self.chunks and (self.fin or self.rst):
            self.connection.medium.observe(self.number, _Signal.RESET.value if self.rst else _Signal.END.value)
        elif self.connection.fail("receive"):
            return
        super().deliver(receiver)
        self._wear()

    def take(self) -> bytes:
        link, random = self.link, self.connection.medium.random
        limit = CAPACITY
        if link.chunking == "bytes":
            limit = 1
        elif link.chunking == "random":
            limit = 1 + int(random.random() * random.choice((1, 16, 2 * len(self.chunks[0]))))
        for most in (link.reset_after, link.vanish_after):
            if most is not None:
                limit = min(limit, max(1, most - self.delivered))
        data = self.pull(limit)
        self.delivered += len(data)
        self.connection.medium.observe(self.number, data)
        return data

    def _depart(self, item: bytes | _Signal) -> None:
        if self.connection.state is not _State.UP:
            return
        now, link = self.loop.time(), self.link
        if link.bandwidth and isinstance(item, bytes):
            self.free_at = max(now, self.free_at) + len(item) / link.bandwidth
        delay = link.latency + (link.jitter * self.connection.medium.random.random() if link.jitter else 0.0)
        self.last = max(self.last, max(now, self.free_at) + delay)
        if self.last <= now and not self.flight:
            self._arrive(item)
            return
        self.flight.append((self.last, item))
        if self.timer is None:
            self.timer = self.loop.call_at(self.last, self._land)

    def _land(self) -> None:
        self.timer = None
        while self.flight and self.flight[0][0] <= self.loop.time():
            self._arrive(self.flight.popleft()[1])
        if self.flight:
            self.timer = self.loop.call_at(self.flight[0][0], self._land)

    def _arrive(self, item: bytes | _Signal) -> None:
        if item is _Signal.END:
            self.fin = True
        elif item is _Signal.RESET:
            self.rst = True
        elif isinstance(item, bytes):
            self.chunks.append(item)
            self._strike()
        self.wake()

    def _strike(self) -> None:
        chance, link = self.connection.medium.chance, self.link
        if chance(link.reset_chance):
            self.connection.reset()
        elif chance(link.vanish_chance):
            self.connection.vanish()
        elif not self.delivered:
            self._wear()

    def _wear(self) -> None:
        link = self.link
        if link.reset_after is not None and self.delivered >= link.reset_after:
            self.connection.reset()
        elif link.vanish_after is not None and self.delivered >= link.vanish_after:
            self.connection.vanish()


class Connection:
    """Two ends and what lies between; tests may break it at a moment of their choice.

    Attributes:
        client: the connecting end's transport; `server`: the listener's.
    """

    client: MemoryTransport
    server: MemoryTransport

    def __init__(self, medium: Medium, faults: Faults, number: int) -> None:
        self.medium = medium
        self.state = _State.UP
        self.up = _FaultyLane(self, faults.up, 2 * number)
        self.down = _FaultyLane(self, faults.down, 2 * number + 1)

    def __repr__(self) -> str:
        return f"<Connection {self.state.value} {self.client!r} {self.server!r}>"

    @property
    def is_open(self) -> bool:
        """Whether one of its ends is not closed yet."""
        return not (self.client.is_closing() and self.server.is_closing())

    def fail(self, operation: str) -> bool:
        """Break it where this operation is one that fails; returns whether it did."""
        failure = self.medium.fails(operation) if self.state is _State.UP else None
        if failure == "reset":
            self.reset()
        elif failure == "vanish":
            self.vanish()
        return failure is not None

    def reset(self) -> None:
        """Break it: bytes under way are lost and both ends get ConnectionResetError (a paused reader when it reads)."""
        if self.state is _State.UP:
            self.state = _State.BROKEN
            for lane in (self.up, self.down):
                lane.cut()
                lane.size = 0
                lane.rst = True
                lane.wake()
                lane.sender.sent()

    def vanish(self) -> None:
        """Let each end become silent for the other: bytes are swallowed and nobody is told, as when a machine dies.

        What was swallowed stays in the writer's buffer, unacknowledged: it fills, and then writing pauses for good.
        """
        if self.state is _State.UP:
            self.state = _State.DARK
            self.up.cut()
            self.down.cut()
