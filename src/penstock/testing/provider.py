"""Providers to test against, on loopback: `SimulatedServer` answers like one, `ScriptedUpstream` byte for byte as told.

Both are async context managers, work on any asyncio loop (SimLoop too), and also hand out protocols for
in-memory pipes by `connection()`.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Self, TypeAlias, cast

from penstock.clock import Clock, SystemClock
from penstock.providers.simulated import SimulatedProvider
from penstock.providers.simulated.play import CLOSE, RESET, Act, Player, Step
from penstock.wire.h1 import HttpRequest, Refused, RequestParser

__all__ = ["EOF", "RESET", "Action", "ScriptedUpstream", "SimulatedServer"]

EOF = CLOSE
"""Close the connection after the bytes before it."""

Action: TypeAlias = "tuple[float, bytes | Act]"
"""Seconds to wait, then bytes to send, or RESET or EOF as the last."""


class _Loopback:
    """A server on a free port of this machine, for the length of an `async with`.

    Attributes:
        port: the port it got.
        base_url: what to give to OpenAI's or Anthropic's client as its base URL (of a path only the end matters).
    """

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._server: asyncio.AbstractServer | None = None
        self.port = 0

    @property
    def base_url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}/v1"

    def connection(self) -> asyncio.Protocol:
        """A protocol for one connection."""
        raise NotImplementedError

    def drop(self) -> None:
        """Abort every open connection."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.connection, "127.0.0.1", 0, ssl=self._tls)
        self._server = server
        self.port = server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        self.drop()
        await self._server.wait_closed()


class SimulatedServer(_Loopback):
    """A simulated provider on a port: `async with SimulatedServer() as sim: OpenAI(base_url=sim.base_url, ...)`.

    It speaks OpenAI's API and Anthropic's on the same port.

    Args:
        provider: with a clock, seed, fault script or key of its own; one with the machine's clock by default.
        tls: serve https with it.
    """

    def __init__(self, provider: SimulatedProvider | None = None, *, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls)
        self.provider = provider if provider is not None else SimulatedProvider(SystemClock())

    def connection(self) -> asyncio.Protocol:
        return self.provider.connection()

    def drop(self) -> None:
        self.provider.close()


class ScriptedUpstream(_Loopback):
    """Answers each request with exact bytes at exact times, and remembers what it was sent.

    Args:
        replies: one list of actions for each request, in the order they arrive on all connections; the last one
            is also for every request after it. Bytes alone stand for `[(0, bytes)]`.
        clock: for the waits.
        tls: serve https with it.

    Attributes:
        requests: what arrived, whole and parsed.
        received: the raw bytes of each connection, oldest first.
        disconnects: times (`Clock.monotonic`) at which the peer closed while a reply was not at its end.
    """

    def __init__(
        self, *replies: Sequence[Action] | bytes, clock: Clock | None = None, tls: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(tls)
        if not replies:
            raise ValueError("a ScriptedUpstream needs at least one reply")
        self.clock = clock if clock is not None else SystemClock()
        self.requests: list[HttpRequest] = []
        self.received: list[bytearray] = []
        self.disconnects: list[float] = []
        self.open: dict[asyncio.Transport, None] = {}
        self._replies = [[(0.0, reply)] if isinstance(reply, bytes) else list(reply) for reply in replies]

    def connection(self) -> asyncio.Protocol:
        return _ScriptedConnection(self)

    def drop(self) -> None:
        for transport in tuple(self.open):
            transport.abort()

    def take(self, request: HttpRequest) -> Iterator[Step]:
        """Note a request and give the steps of its reply."""
        self.requests.append(request)
        reply: Iterable[Action] = self._replies[min(len(self.requests), len(self._replies)) - 1]
        for delay, action in reply:
            if delay:
                yield float(delay)
            yield action


class _ScriptedConnection(asyncio.Protocol):
    """One connection to a ScriptedUpstream; requests are answered in order."""

    def __init__(self, upstream: ScriptedUpstream) -> None:
        self._upstream = upstream
        self._parser = RequestParser()
        self._received = bytearray()
        self._transport: asyncio.Transport | None = None
        self._player: Player | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._upstream.open[self._transport] = None
        self._upstream.received.append(self._received)

    def data_received(self, data: bytes) -> None:
        self._received += data
        try:
            self._parser.feed(data)
        except Refused:
            return  # the bytes are kept; whoever sent them gets no answer
        if self._player is None:
            self._next(None)

    def pause_writing(self) -> None:
        self._paused = True
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._player is not None:
            self._player.resume()

    def eof_received(self) -> None:
        if self._player is not None and self._transport is not None:
            self._transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        if self._player is not None:
            self._player.stop()
            self._upstream.disconnects.append(self._upstream.clock.monotonic())
        self._player = None
        if self._transport is not None:
            self._upstream.open.pop(self._transport, None)
        self._transport = None
        self._parser.close()

    def _next(self, act: Act | None) -> None:
        self._player = None
        if act is not None or self._transport is None or not self._parser.ready:
            return
        steps = self._upstream.take(self._parser.ready.popleft())
        self._player = Player(self._transport, self._upstream.clock, steps, self._next)
        if self._paused:
            self._player.pause()
        self._player.run()
