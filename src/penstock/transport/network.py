"""A simulated network: listeners by address, and connects that take time, are refused, or end in a `Connection`.

`penstock.testing.SimLoop` puts asyncio's own `create_connection` and `create_server` on it. Like `memory`, this
file is the network and may call the loop directly.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import math
import socket
import zlib
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from random import Random
from typing import Any, cast

from penstock.transport.link import Connection, Failure, Faults, Medium, Post
from penstock.transport.memory import Address, MemoryTransport, start
from penstock.transport.pieces import InPieces

__all__ = ["Listener", "ListeningSocket", "Network"]

_ANY = ("0.0.0.0", "::")  # addresses a listener may bind for all hosts
_MACHINE = "10.255.0.1"  # where connections to hosts other than this one come from
ProtocolFactory = Callable[[], asyncio.BaseProtocol]


class ListeningSocket:
    """What `Server.sockets` holds, and what a server may be given to accept on, as `create_server(sock=...)`.

    Several servers may be given one, as with a socket that was duplicated: who listens last accepts.
    """

    def __init__(self, address: Address) -> None:
        self._address = address

    def getsockname(self) -> Address:
        return self._address

    def close(self) -> None:
        """Nothing is held."""


class Listener(asyncio.AbstractServer):
    """A server on the network, as `loop.create_server` returns it."""

    def __init__(self, network: Network, factory: ProtocolFactory, address: Address) -> None:
        self._network = network
        self._closed = network.loop.create_future()
        self.factory = factory
        self.address = address
        self.context = copy_context()

    @property
    def sockets(self) -> tuple[ListeningSocket, ...]:
        """One socket while it listens, none afterwards."""
        return (ListeningSocket(self.address),) if self.is_serving() else ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._network.loop

    def is_serving(self) -> bool:
        return self._network.listeners.get(self.address) is self

    async def start_serving(self) -> None:
        if not self._closed.done():
            self._network.listeners[self.address] = self

    async def serve_forever(self) -> None:
        await self.start_serving()
        try:
            await asyncio.shield(self._closed)
        finally:
            self.close()

    def close(self) -> None:
        if self.is_serving():
            del self._network.listeners[self.address]
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)


@dataclass(frozen=True, slots=True)
class _Dial:
    """A connect under way."""

    factory: ProtocolFactory
    address: Address
    faults: Faults
    context: Context
    waiter: asyncio.Future[tuple[MemoryTransport, asyncio.BaseProtocol]]


class Network:
    """Hosts that can be reached over in-memory connections.

    Args:
        loop: any asyncio loop; its clock is the network's.
        random: the only source of chance.
        faults: how every connection behaves; `faults_at[(host, port)]` overrides it for one listener.
        post: schedules a delivery (`call_soon` of the loop by default; SimLoop shuffles deliveries of one moment).

    Attributes:
        names: what names resolve to where that is not one made-up address; an empty list fails.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, random: Random, faults: Faults | None = None, post: Post | None = None
    ) -> None:
        self.loop = loop
        self.faults = faults or Faults()
        self.faults_at: dict[Address, Faults] = {}
        self._medium = Medium(loop, random, post or loop.call_soon)
        self.listeners: dict[Address, Listener] = {}
        self.names: dict[str, list[str]] = {}
        self._connections: list[Connection] = []
        self._dialled = 0
        self._next_port = 49152

    @property
    def connections(self) -> list[Connection]:
        """Those that are open at one end at least, oldest first."""
        self._connections = [connection for connection in self._connections if connection.is_open]
        return list(self._connections)

    def fail_by(self, failing: Callable[[str], Failure | None]) -> None:
        """Have every "resolve", "connect", "send" and "receive" ask whether, and how, it fails."""
        self._medium.failing = failing

    def digest(self) -> str:
        """A hash of all deliveries so far, with their times: equal runs have equal digests."""
        return self._medium.digest()

    def resolve(self, host: str | None) -> str:
        """The address of a name: itself for an address, 127.0.0.1 for localhost or none, else made from the name."""
        if not host or host == "localhost":
            return "127.0.0.1"
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            return str(ipaddress.ip_address(0x0A000000 | zlib.crc32(host.lower().encode()) & 0x7FFFFF))

    def addresses(self, host: str | None) -> list[str]:
        """All addresses of a name: those in `names`, else the one of `resolve`.

        Raises:
            OSError: `names` has the name with no address, or the question fails.
        """
        if self._medium.fails("resolve"):
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        found = self.names.get(host or "")
        if found is None:
            return [self.resolve(host)]
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return list(found)

    def listen(self, factory: ProtocolFactory, host: str | None, port: int, *, shared: bool = False) -> Listener:
        """Make a listener (it accepts after `start_serving`). Port 0 takes a free one; no host means all.

        Args:
            shared: take the address over from whoever listens there.

        Raises:
            OSError: the address is in use (EADDRINUSE).
        """
        address = (self.resolve(host) if host else _ANY[0], port or self._next_port)
        self._next_port += not port
        if address in self.listeners and not shared:
            raise OSError(errno.EADDRINUSE, f"address {address[0]}:{address[1]} is in use")
        return Listener(self, factory, address)

    async def connect(
        self, factory: ProtocolFactory, host: str | None, port: int
    ) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        """Open a connection; returns its transport and protocol, which has had `connection_made`.

        Raises:
            ConnectionRefusedError: nobody listens there, or chance has it so.
        """
        address = (self.resolve(host), port)
        faults = self.faults_at.get((host or "", port)) or self._faults(address)
        dial = _Dial(factory, address, faults, copy_context(), self.loop.create_future())
        timer = self._schedule(dial)
        try:
            return await dial.waiter
        except asyncio.CancelledError:
            # The connection may have been made in the very moment in which its caller was cancelled.
            if dial.waiter.done() and not dial.waiter.cancelled() and not dial.waiter.exception():
                dial.waiter.result()[0].abort()
            if timer is not None:
                timer.cancel()
            raise

    def _faults(self, address: Address) -> Faults:
        """Those of the listener at an address, by whichever of its names they were set."""
        for (host, port), faults in self.faults_at.items():
            if port == address[1] and address[0] in (host, self.resolve(host)):
                return faults
        return self.faults

    def _schedule(self, dial: _Dial) -> asyncio.Handle | None:
        failure = self._medium.fails("connect")
        if failure is not None:
            return self._medium.post(self._refuse, dial) if failure == "reset" else None
        faults = dial.faults
        jitter = faults.up.jitter + faults.down.jitter
        delay = faults.connect_delay + faults.up.latency + faults.down.latency
        delay += jitter * self._medium.random.random() if jitter else 0.0
        if delay == 0:
            return self._medium.post(self._answer, dial)
        return self.loop.call_later(delay, self._answer, dial) if delay < math.inf else None

    def _refuse(self, dial: _Dial) -> None:
        if not dial.waiter.done():
            host, port = dial.address
            dial.waiter.set_exception(ConnectionRefusedError(errno.ECONNREFUSED, f"{host}:{port} refused to connect"))

    def _answer(self, dial: _Dial) -> None:
        if dial.waiter.done():
            return  # the caller gave up
        host, port = dial.address
        listener = next((self.listeners[a, port] for a in (host, *_ANY) if (a, port) in self.listeners), None)
        if listener is None or self._medium.chance(dial.faults.refuse_chance):
            self._refuse(dial)
            return
        try:
            dial.waiter.set_result(self._join(dial, listener))
        except Exception as error:  # noqa: BLE001 - a protocol's factory may raise anything; connect() raises it
            dial.waiter.set_exception(error)

    def _join(self, dial: _Dial, listener: Listener) -> tuple[MemoryTransport, asyncio.BaseProtocol]:
        self._dialled += 1
        connection = Connection(self._medium, dial.faults, self._dialled)
        server_context = listener.context.copy()
        server = _protocol(server_context, listener.factory)
        client = _protocol(dial.context, dial.factory)
        host = dial.address[0]
        here = (host if ipaddress.ip_address(host).is_loopback else _MACHINE, 1024 + self._dialled)
        extra: dict[str, Any] = {"sockname": here, "peername": dial.address}
        connection.client = MemoryTransport(client, connection.up, connection.down, dial.context, extra)
        extra = {"sockname": dial.address, "peername": here}
        connection.server = MemoryTransport(server, connection.down, connection.up, server_context, extra)
        start(connection.client, connection.server)
        self._connections = [*self.connections, connection]
        return connection.client, client


def _protocol(context: Context, factory: ProtocolFactory) -> asyncio.Protocol:
    protocol = context.run(factory)
    if not isinstance(protocol, asyncio.Protocol | InPieces):
        raise TypeError(f"the network needs an asyncio.Protocol, not {type(protocol).__name__}")
    return cast(asyncio.Protocol, protocol)  # which has all that is called here
