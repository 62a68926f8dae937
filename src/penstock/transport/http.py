"""The connection pool towards providers: connections are kept alive per origin, and no origin gets too many.

`Pool.take` and `connect` hand a `Connection` out; it comes back by its own `release`. Where all of an origin's
connections are busy, calls wait for one in the order in which they came.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from penstock.clock import Clock, Timer
from penstock.errors import UpstreamTimeout
from penstock.transport import memory
from penstock.transport.connection import NEVER, Connection
from penstock.transport.dial import Dialler
from penstock.transport.dns import Door
from penstock.transport.origin import Origin
from penstock.transport.outbox import Outbox
from penstock.transport.pieces import READ_BYTES
from penstock.transport.places import Permits, Places, no_place
from penstock.transport.reasons import unavailable
from penstock.transport.turns import Turns

__all__ = ["Connection", "Origin", "Pool"]

# Below what common servers keep an idle connection for, so that it is us who close it: a request sent while the
# other side closes is lost. uvicorn, which most local model servers run on, gives up after 5 s; hosted services
# behind TLS keep 60 s and more.
IDLE_PLAIN = 4.0
IDLE_TLS = 50.0

# A busy connection would otherwise stay for ever where the name led when it was opened. Those opened together must
# not end together: each lives up to twice as long, by its number.
LIFE_SECONDS = 300.0
LIVES = 16


class Pool:
    """Connections to every provider of one gateway, on one loop.

    Args:
        permits: what a connection needs besides a place, where other pools share an origin's limit.
        admits: which addresses may be connected to; None: any.

    Attributes:
        opened: connections opened since the start, by TCP (or in process).
        looks: when it will next look for connections that have expired.
    """

    def __init__(
        self, clock: Clock, permits: Permits | None = None, admits: Callable[[str], bool] | None = None
    ) -> None:
        self._clock = clock
        self.now = clock.monotonic
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._all: dict[Connection, None] = {}
        self._places = Places(self.keep, self._close_idle, permits)
        self._waiting = self._places.queues
        self._dialler = Dialler(clock, self._gone, admits)
        self._timer: Timer | None = None
        self.looks = NEVER
        self.opened = 0
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.turns = Turns()
        self.outbox = Outbox()

    def __repr__(self) -> str:
        idle = sum(len(connections) for connections in self._idle.values())
        return f"<Pool {len(self._all)} open, {idle} idle>"

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._all)

    @property
    def busy(self) -> int:
        """Connections open and not idle."""
        return len(self._all) - sum(len(connections) for connections in self._idle.values())

    def take(self, origin: Origin) -> Connection | None:
        """The connection that was idle for the shortest time, None if there is none."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        return idle.popitem()[0]

    async def connect(self, origin: Origin, timeout: float) -> Connection:
        """A new connection, or one that another call gives back while this one waits for a place.

        Raises:
            Unavailable: it cannot be reached (nothing was sent).
            UpstreamTimeout: not within `timeout` seconds.
            Overloaded: the origin has all the connections it may have, and as many calls wait or `timeout` is over.
        """
        if origin.in_process is not None:
            return self._join(asyncio.get_running_loop(), origin)
        queued = True
        try:
            async with self._clock.timeout(timeout):
                given = await self._places.take(origin)
                queued = False
                return given if given is not None else await self._open(origin)
        except TimeoutError:
            if queued:
                raise no_place(origin) from None
            raise UpstreamTimeout(f"no connection to the provider within {timeout:g} s", do="Try again.") from None
        except OSError as error:
            raise unavailable(error) from error

    def _join(self, loop: asyncio.AbstractEventLoop, origin: Origin) -> Connection:
        assert origin.in_process is not None
        connection = self._make(origin)
        try:
            memory.pipe(loop, connection, origin.in_process())
        except BaseException:
            connection.discard()
            raise
        self.opened += 1
        return connection

    def _make(self, origin: Origin) -> Connection:
        # Registered first: a connection made for a caller that is cancelled at this await must be found and closed.
        connection = Connection(self, origin)
        connection.rests = IDLE_PLAIN if origin.tls is None else IDLE_TLS
        self._all[connection] = None
        return connection

    async def _open(self, origin: Origin) -> Connection:
        """A new connection, in a place this call has."""
        try:
            connection = await self._dialler.dial(origin, lambda: self._make(origin))
        except BaseException:
            self._places.leave(origin)
            raise
        if connection.closed:  # already
            self._places.leave(origin)
        connection.counted = not connection.closed
        connection.retires = self.now() + LIFE_SECONDS * (1 + self.opened % LIVES / LIVES)
        self.opened += 1
        return connection

    def _close_idle(self, guard: str, count: int) -> None:
        """Close up to so many that are idle, those that have been for the longest time first."""
        idle = [one for origin, held in self._idle.items() if origin.guard == guard for one in held]
        for connection in idle[:count]:
            connection.discard()

    def _gone(self, door: Door, addresses: frozenset[str]) -> None:
        """A name has moved: what is connected to its old addresses is kept no longer."""
        for connection in [one for one in self._all if one.address in addresses and one.origin.door == door]:
            connection.retires = 0.0
            if connection in self._idle.get(connection.origin, ()):
                connection.discard()

    # --- connections that come back

    def keep(self, connection: Connection, now: float | None = None) -> None:
        """Take a connection back: for whoever waits for one, else as idle."""
        if now is None:
            now = self.now()
        if now >= connection.retires:
            connection.discard()
            return
        origin = connection.origin
        if not connection.reused:
            connection.reused = True
            connection.note_session()
        if self._waiting:
            if self._places.must_yield(origin):
                connection.discard()
                return
            turn = self._places.next_turn(origin)
            if turn is not None:
                turn.set_result(connection)
                return
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = {}
        expires = idle[connection] = now + connection.rests
        if expires < self.looks:
            self.look_at(expires)

    def forget(self, connection: Connection) -> None:
        """Drop every trace of a closed connection."""
        self._all.pop(connection, None)
        idle = self._idle.get(connection.origin)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[connection.origin]
        if connection.counted:
            connection.counted = False
            self._places.leave(connection.origin)

    def look_at(self, when: float) -> None:
        """Look for connections that have expired, sooner than at `looks`.

        One timer serves all connections: it stands at the earliest expiry, and most exchanges end long before.
        """
        if self._timer is not None:
            self._timer.cancel()
        self.looks = when
        self._timer = self._clock.call_later(max(0.0, when - self._clock.monotonic()), self._sweep)

    def _sweep(self) -> None:
        self._timer, self.looks = None, NEVER
        now = self._clock.monotonic()
        upcoming = NEVER
        for connection in list(self._all):
            if connection.expires <= now:
                connection.expires = NEVER
                connection.expire()
            elif connection.expires < upcoming:
                upcoming = connection.expires
        for connections in list(self._idle.values()):
            for connection, expires in list(connections.items()):
                if expires <= now:
                    connection.discard()
                else:
                    upcoming = min(upcoming, expires)
        if upcoming != NEVER:
            self.look_at(upcoming)

    async def aclose(self) -> None:
        """Close every connection, busy ones too."""
        self._dialler.close()
        self._places.close()
        if self._timer is not None:
            self._timer.cancel()
            self._timer, self.looks = None, NEVER
        for connection in list(self._all):
            connection.discard()
