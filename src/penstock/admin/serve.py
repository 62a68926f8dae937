"""The control plane's listener: uvicorn on the running loop, without its logging, signals or trust in proxies.

Its h11 side, not httptools: the parser is strict and a request's head bounded, and here speed is no matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Generator, Mapping
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from penstock.admin.app import ControlPlane, Shown
from penstock.admin.credential import FILE, Credential, load_admin_key
from penstock.admin.door import FILE_OWNER, Door
from penstock.admin.overview import Overview
from penstock.admin.principals import KnownPrincipals
from penstock.admin.register import Done
from penstock.admin.tries import Tries, Unanswered
from penstock.clock import SystemClock, Timer
from penstock.config.guards import is_loopback
from penstock.config.schema import Address
from penstock.errors import ConfigError
from penstock.stores.audit import Who
from penstock.stores.sqlite import StoreFailed

__all__ = ["AdminServer", "Connection", "Shown", "open_admin", "settings"]

log = logging.getLogger("penstock.admin")

BACKLOG = 64
MOST_CONNECTIONS = 64
# How old the Date header may be.
TICK_SECONDS = 1.0
# An absolute deadline for receiving, however slowly the bytes drip (security.md 19); uvicorn has none.
RECEIVE_SECONDS = 10.0
CLOSE_SECONDS = 2

# Whoever tried keys that were none.
NOBODY = Who("nobody", "none")

_CLOCK = SystemClock()


async def open_admin(
    overview: Overview, env: Mapping[str, str], folder: Path, shown: Shown | None = None
) -> AdminServer:
    """The control plane over an overview, listening at the configuration's admin address.

    Args:
        folder: where the state lies, and the file of the admin key with it.
        shown: as ControlPlane's.

    Raises:
        ConfigError: the admin key or the address cannot be used.
    """
    key = load_admin_key(env, folder)
    if key.warning:
        log.warning(key.warning)
    register = shown.register if shown is not None else None
    principals = KnownPrincipals(overview, register.directory, _CLOCK) if register is not None else None

    async def noticed() -> None:
        if register is not None:
            with contextlib.suppress(StoreFailed):
                await register.audit.add(FILE_OWNER.who, Done("admin.reset", FILE))

    async def tried(found: Unanswered) -> None:
        if register is not None:
            with contextlib.suppress(StoreFailed):
                await register.audit.add(NOBODY, Done("door.closed", found.address))

    door = Door(Credential(key.secret, key.path), principals, noticed, Tries(_CLOCK, tried))
    plane = ControlPlane(overview, door, _CLOCK, shown)
    server = AdminServer(plane.app, overview.config.server.admin, key.secret.source)
    await server.open()
    return server


class Connection(H11Protocol):
    """A connection that closes where a request's head does not arrive in time."""

    _deadline: Timer | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        if self._waits:
            self._begin()
        super().data_received(data)
        if not self._waits:
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()
        super().connection_lost(exc)

    @property
    def _waits(self) -> bool:
        """Whether the next thing to come is a request, or the rest of one that was answered already."""
        return self.cycle is None or self.cycle.response_complete

    def _begin(self) -> None:
        if self._deadline is None:
            self._deadline = _CLOCK.call_later(RECEIVE_SECONDS, self.transport.abort)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class _Server(uvicorn.Server):
    """Turns once a second, and at once when it is to end; uvicorn's own turns ten times a second to look whether it is.

    The process that answers requests is not to be woken for that: between two reads of a stream all else it has to do
    costs three times what it would, since it drives what the next read needs from the caches.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._ending = asyncio.Event()

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # a tick whose number is a multiple of ten renews the Date header
            with contextlib.suppress(TimeoutError):
                async with _CLOCK.timeout(TICK_SECONDS):
                    await self._ending.wait()

    def end(self) -> None:
        """Let open requests end, then stop."""
        self.should_exit = True
        self._ending.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # signals are `serve`'s, which drains the data plane first


class AdminServer:
    """Serves an application at an address of this machine.

    Args:
        credential_source: where the admin key came from, for whoever announces the server.

    Attributes:
        port: the port bound, once open.
    """

    def __init__(self, app: ASGIApp, address: Address, credential_source: str = "") -> None:
        self.host = address.host
        self.port = address.port
        self.credential_source = credential_source
        self._server = _Server(settings(app))
        self._task: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://{Address(self.host, self.port)}"

    async def open(self) -> None:
        """Bind and accept.

        Raises:
            ConfigError: the address is taken, is not this machine's, or can be reached from others without TLS.
        """
        if not is_loopback(self.host):
            raise ConfigError(
                f"the admin address {self.host} can be reached from other machines and has no TLS",
                do="Listen on 127.0.0.1 and reach it through a tunnel.",
            )
        listener = self._bind()
        self.port = listener.getsockname()[1]
        self._server.config.load()
        self._task = asyncio.get_running_loop().create_task(self._server.serve([listener]), name="admin")

    def _bind(self) -> socket.socket:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {Address(self.host, self.port)}: {error.strerror or error}",
                do="Stop what uses the port, or choose another with --admin-port.",
            ) from error

    async def aclose(self) -> None:
        """Stop accepting, let open requests end within 2 s, close; further calls do nothing."""
        task, self._task = self._task, None
        if task is not None:
            self._server.end()
            await task


def settings(app: ASGIApp) -> uvicorn.Config:
    """How uvicorn serves the control plane."""
    return uvicorn.Config(
        app,
        http=Connection,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",  # without handlers of its own: a bug's traceback, and no line per stranger's bad request
        access_log=False,
        workers=1,  # else uvicorn reads WEB_CONCURRENCY
        proxy_headers=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=CLOSE_SECONDS,
    )
