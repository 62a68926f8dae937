"""The life of a gateway process: bind, serve, drain, end.

The data plane listens before the control plane is even imported, so that the first answer does not wait for it.
SIGTERM or Ctrl-C: `/readyz` says 503, nothing new is accepted, what runs may end within `drain`, then exit; a second
signal cuts at once.
"""

from __future__ import annotations

import asyncio
import socket

from penstock.clock import Clock
from penstock.errors import ConfigError
from penstock.gateway import Gateway
from penstock.server.guards import Guards
from penstock.server.protocol import Listener
from penstock.server.routes import Routes

__all__ = ["DataPlane"]

BACKLOG = 1024


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
        self.routes = Routes(gateway, Guards(self.host))
        self.listener = Listener(self.routes.handle, self.routes.refuse, clock, server.max_body, server.idle)
        self._server: asyncio.AbstractServer | None = None

    async def open(self) -> None:
        """Bind and accept.

        Raises:
            ConfigError: the address is taken or not this machine's.
        """
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self.listener.connection, self.host, self.port, backlog=BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {self.host}:{self.port}: {error.strerror or error}",
                do="Stop what uses the port, or choose another with --port.",
            ) from error
        if self.port == 0:
            self.port = _port_of(self._server)

    async def drain(self, seconds: float) -> None:
        """Refuse new requests, let open ones end, cut what is left after `seconds`, and stop listening."""
        self.routes.ready = False
        try:
            async with self._clock.timeout(seconds):
                await self.listener.calm()
                self._stop_listening()
                await self.listener.flushed()
        except TimeoutError:
            pass
        finally:
            self._stop_listening()
            await self.listener.cut()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()

    def count_connections(self) -> None:
        """Refresh the gauges that are read, not counted."""
        metrics = self.gateway.metrics
        metrics.connections.set(len(self.listener.connections))
        metrics.upstream_connections.set(self.gateway.upstream_connections)


def _port_of(server: asyncio.AbstractServer) -> int:
    sockets: list[socket.socket] = getattr(server, "sockets", [])
    port: int = sockets[0].getsockname()[1]
    return port
