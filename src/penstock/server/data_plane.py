"""The life of a gateway process: bind, serve, drain, end.

The data plane listens before the control plane is even imported, so that the first answer does not wait for it.
SIGTERM or Ctrl-C: `/readyz` says 503, nothing new is accepted, what runs may end within `drain`, then exit; a second
signal cuts at once.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from penstock.clock import Clock
from penstock.config.schema import Server
from penstock.errors import ConfigError
from penstock.gateway import Gateway
from penstock.server.certificate import Certificate
from penstock.server.guards import Guards
from penstock.server.handshakes import Handshakes, places_for
from penstock.server.listeners import ears_on, hold_listeners
from penstock.server.protocol import Limits, Listener
from penstock.server.routes import Routes
from penstock.server.sockets import polite_for, prepare, room_for

__all__ = ["DataPlane"]

BACKLOG = 1024

# A caller that says nothing at the end of TLS is not waited for.
SHUTDOWN_SECONDS = 2.0


class DataPlane:
    """The HTTP data plane over a gateway, on the running loop.

    Attributes:
        port: the port bound, once open.
        listener, routes: what its connections share.
    """

    def __init__(self, gateway: Gateway, clock: Clock) -> None:
        server = gateway.config.server
        self.gateway = gateway
        self._clock = clock
        self.host = server.listen.host
        self.port = server.listen.port
        self.routes = Routes(gateway, Guards(server))
        self.listener = Listener(self.routes.handle, self.routes.refuse, clock, limits_of(server))
        self.listener.doubt = self.routes.doubt
        self._certificate: Certificate | None = None
        self._servers: list[asyncio.AbstractServer | Handshakes] = []

    @property
    def url(self) -> str:
        """Where callers on this machine reach it."""
        host = "127.0.0.1" if self.host == "0.0.0.0" else "::1" if self.host == "::" else self.host
        scheme = "https" if self.gateway.config.server.tls is not None else "http"
        return f"{scheme}://{f'[{host}]' if ':' in host else host}:{self.port}"

    async def open(self, sockets: Sequence[socket.socket] = ()) -> None:
        """Accept: on `sockets`, which listen already and are closed with this; without any on the configured address.

        Raises:
            ConfigError: the address is taken or not this machine's; the certificate cannot be used.
        """
        options = self._tls()
        if options:
            self._begin_tls(
                sockets or (await hold_listeners(self.gateway.config.server.listen, 1, self._clock))[0], options
            )
            return
        places: list[dict[str, Any]] = [{"sock": ear} for each in sockets for ear in ears_on(each)]
        places = places or [{"host": self.host, "port": self.port}]
        try:
            for place in places:
                self._servers.append(await self._listen(place))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}",
                do="Stop what uses the port, or choose another with --port.",
            ) from error
        if self.port == 0:
            self.port = _port_of(self._servers[0])

    def _begin_tls(self, sockets: Sequence[socket.socket], options: dict[str, Any]) -> None:
        listener = self.listener
        places = places_for(listener.limits.max_connections)
        server = Handshakes(listener.connection, sockets, options, places, self._clock)
        prepare(server)
        self._servers.append(server)
        self.port = self.port or _port_of(server)

    async def _listen(self, options: dict[str, Any]) -> asyncio.AbstractServer:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(self.listener.connection, backlog=BACKLOG, **options)
        prepare(server)
        return server

    def adopt(self, gateway: Gateway, generation: int = 0) -> None:
        """Have requests from now on answered by another gateway; those being answered keep theirs.

        Args:
            generation: its configuration's, which `/readyz` tells; 0 where there is none.
        """
        server = gateway.config.server
        routes = Routes(gateway, Guards(server))
        routes.ready, routes.generation = self.routes.ready, generation
        self.routes.close()
        self.gateway, self.routes = gateway, routes
        listener = self.listener
        listener.handle, listener.refuse, listener.doubt = routes.handle, routes.refuse, routes.doubt
        listener.limits = limits_of(server)
        if self._certificate is not None and server.tls is not None:
            self._certificate.use(server.tls.cert, server.tls.key)

    def _tls(self) -> dict[str, Any]:
        tls = self.gateway.config.server.tls
        if tls is None:
            return {}
        self._certificate = Certificate(tls.cert, tls.key, self._clock)
        self._certificate.watch()
        return {
            "ssl": self._certificate.context,
            "ssl_shutdown_timeout": SHUTDOWN_SECONDS,
        }

    async def hand_over(self, seconds: float) -> None:
        """Stop listening, as somebody else does on the same sockets, and serve on whoever is connected: one more answer
        each, within `seconds`."""
        self.stop_listening()
        try:
            async with self._clock.timeout(seconds):
                await self.listener.handed_over()
        except TimeoutError:
            await self._say_end(seconds)
        finally:
            await self.listener.cut()

    async def drain(self, seconds: float) -> None:
        """Let open requests end, refuse further ones, cut what is left after `seconds`, and stop listening."""
        self.routes.ready = False
        try:
            async with self._clock.timeout(seconds):
                await self.listener.calm()
                self.stop_listening()
                await self.listener.flushed()
        except TimeoutError:
            await self._say_end(seconds)
        finally:
            self.stop_listening()
            await self.listener.cut()
            self.routes.close()

    async def _say_end(self, patience: float) -> None:
        """Whoever was waited for until now hears that the wait is over; where nobody is waited for there is no time."""
        self.stop_listening()
        if patience > 0:
            await self.listener.say_end()

    def stop_listening(self) -> None:
        """Accept no further connections; those that stand go on."""
        if self._certificate is not None:
            self._certificate.close()
        for server in self._servers:
            server.close()

    def count_connections(self) -> None:
        """Refresh the gauges that are read, not counted."""
        metrics = self.gateway.metrics
        metrics.connections.set(len(self.listener.connections))
        metrics.upstream_connections.set(self.gateway.upstream_connections)
        metrics.upstream_busy.set(self.gateway.upstream_busy)
        metrics.calls_waiting.set(self.gateway.calls_waiting)


def limits_of(server: Server) -> Limits:
    """What a listener with those settings allows."""
    return Limits(server.max_body, server.idle, server.max_connections or room_for(), polite=polite_for())


def _port_of(server: asyncio.AbstractServer | Handshakes) -> int:
    sockets: list[socket.socket] = getattr(server, "sockets", [])
    port: int = sockets[0].getsockname()[1]
    return port
