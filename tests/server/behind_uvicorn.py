"""The data plane behind uvicorn on a SimLoop: the ASGI application in the place of our own HTTP server."""

from __future__ import annotations

import asyncio
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from penstock.gateway import Gateway
from penstock.server.asgi import AsgiApp
from penstock.server.routes import Routes
from penstock.testing import SimClock

__all__ = ["BehindUvicorn"]

KEEP_ALIVE = 5


class BehindUvicorn:
    """Stands where a `DataPlane` does."""

    def __init__(self, gateway: Gateway, clock: SimClock) -> None:
        server = gateway.config.server
        self.gateway = gateway
        self._clock = clock
        self.host, self.port = server.listen.host, server.listen.port
        self.app = AsgiApp(gateway.config, clock, gateway=gateway)
        self.config = uvicorn.Config(
            self.app,
            http=H11Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE,
        )
        self.state = ServerState()
        self._server: asyncio.AbstractServer | None = None

    @property
    def routes(self) -> Routes:
        return self.app.routes

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self.config.load()

        def connection() -> asyncio.Protocol:
            made: Any = H11Protocol(config=self.config, server_state=self.state, app_state={}, _loop=loop)
            return made  # type: ignore[no-any-return]

        self._server = await loop.create_server(connection, self.host, self.port)

    async def drain(self, seconds: float) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self.state.connections):
            made: Any = connection
            made.shutdown()
            if not seconds:
                made.transport.abort()
        if self.state.tasks:
            await asyncio.wait(self.state.tasks)
        self.routes.close()
        if not seconds:
            await self._clock.sleep(KEEP_ALIVE + 1)  # its timers outlive its connections
