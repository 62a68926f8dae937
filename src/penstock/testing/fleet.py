"""A whole gateway on a SimLoop: a supervisor and several workers, each with an address of its own, in virtual time.

All of it is the real thing: the centre and its channels, the posts that workers hold, their data planes. Only the
network below is simulated, and a worker is a task and not a process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from penstock.clock import Clock
from penstock.config.schema import Config
from penstock.gateway import Gateway
from penstock.gateway.books import Books
from penstock.server.supervisor import InProcess, Supervisor
from penstock.server.worker import Worker
from penstock.stores.centre import MemoryChannel, memory_pair
from penstock.stores.directory import Directory
from penstock.testing.clock import SeededRandom
from penstock.testing.simloop import SimLoop
from penstock.transport.memory import Address
from penstock.transport.network import ListeningSocket

__all__ = ["Fleet", "FleetWorker"]

PORT = 8484


class FleetWorker(InProcess):
    """A worker of a fleet: one that can die as a process does.

    Attributes:
        number: of the post it holds.
        log: the log lines it has written, in batches.
        dead: it was killed.
    """

    def __init__(self, number: int, here: MemoryChannel, make: Callable[[FleetWorker], Worker]) -> None:
        self.number = number
        self.log: list[bytes] = []
        self.dead = False
        self.worker = make(self)
        super().__init__(here, self.worker)

    @property
    def gateways(self) -> list[Gateway]:
        """Those it has: the one in use last, before it those that still answer what began before a reload."""
        return self.worker.gateways

    def write(self, data: bytes) -> None:
        """Where its log lines go; a dead one writes none."""
        if not self.dead:
            self.log.append(data)

    def kill(self) -> None:
        """End it as SIGKILL does: it says nothing more, and its connections break."""
        self.dead = True
        self.channel.close()
        journal = self.worker.gateways[-1].shared.journal if self.worker.gateways else None
        if journal is not None:
            journal.end()
        if self.worker.plane is not None:
            for connection in list(self.worker.plane.listener.connections):
                connection.abort()
        super().kill()


class Fleet:
    """A supervisor and its workers: `async with Fleet(loop, config) as fleet: ...` serves, and cuts at the end.

    Args:
        workers: how many.
        seed: of the workers' own chance.
        clock: the whole fleet's time; the loop's by default.
        books: what is kept of what workers spend; made for virtual time (`inline`).

    Attributes:
        addresses: where each worker listens. Behind a kernel's one address it would choose.
        hired: all workers there were, in the order in which they were hired.
        directory: whose keys are good besides the declared ones; to be set before it serves.
        supervisor: the real one: `adopt` reloads, `renew` replaces every worker, `announce_drain` ends.
    """

    def __init__(
        self,
        loop: SimLoop,
        config: Config,
        workers: int = 2,
        *,
        seed: int = 0,
        clock: Clock | None = None,
        books: Books | None = None,
    ) -> None:
        self.addresses: list[Address] = [(f"10.128.0.{number + 1}", PORT) for number in range(workers)]
        self.hired: list[FleetWorker] = []
        self._loop = loop
        self._seed = seed
        self.directory: Directory | None = None
        self._clock = clock if clock is not None else loop.clock
        held: Any = [[ListeningSocket(address)] for address in self.addresses]
        self.supervisor = Supervisor(config, held, self._clock, self._hire, SeededRandom(seed), books)

    async def _hire(self, number: int, sockets: Sequence[Any]) -> FleetWorker:
        here, there = memory_pair(self._loop.call_soon)
        random = SeededRandom(1_000_003 * self._seed + len(self.hired))

        def make(hired: FleetWorker) -> Worker:
            return Worker(there, self._clock, random, sockets, lambda _: (hired.write, _nothing))

        hired = FleetWorker(number, here, make)
        self.hired.append(hired)
        return hired

    @property
    def log(self) -> bytes:
        """The log lines of all workers so far."""
        return b"".join(batch for one in self.hired for batch in one.log)

    def holder(self, number: int) -> FleetWorker:
        """The worker that was hired last for a post."""
        return next(one for one in reversed(self.hired) if one.number == number)

    async def __aenter__(self) -> Self:
        if self.directory is not None:
            await self.supervisor.keep(self.directory)
        await self.supervisor.begin()
        await self.supervisor.serving()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.supervisor.aclose()


def _nothing() -> None:
    pass
