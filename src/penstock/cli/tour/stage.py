"""The demo's gateway, on the usual ports or on free ones, and somebody who calls it over HTTP."""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from penstock.admin.credential import VARIABLE
from penstock.admin.serve import AdminServer, open_admin
from penstock.clock import SystemClock, SystemRandom
from penstock.config.guards import with_addresses
from penstock.config.load import load_config
from penstock.config.schema import Address, Config
from penstock.errors import ConfigError
from penstock.gateway import Gateway
from penstock.providers.simulated import SimulatedProvider
from penstock.records import Record
from penstock.server.data_plane import DataPlane
from penstock.testing.provider import SimulatedServer
from penstock.transport.http import Connection, Origin, Pool
from penstock.wire.sse import Framer, parse

__all__ = ["BUDGET", "Answer", "Stage"]

# For `capped`.
BUDGET = "0.001 USD/day"
# Only what runs inside Penstock: a demo must cost nothing, whatever keys are in the environment.
WRITTEN = {
    "auth": "open",
    "models": {
        "fast": {"targets": ["sim/small"]},
        "smart": {"targets": ["sim/large"]},
        # Nobody who watches waits 20 s for a breaker to try again.
        "steady": {"targets": ["east/small", "west/small"], "breaker": {"open": "1s", "max_open": "1s"}},
        "capped": {"targets": ["west/small"]},
    },
    "budgets": [{"scope": "model", "match": "capped", "limit": BUDGET}],
    "prices": {"east/*": {"input": 1, "output": 4}, "west/*": {"input": 1, "output": 4}},
    "default_model": "fast",
}
WAIT_SECONDS = 30.0
DRAIN_SECONDS = 2.0


class Answer(NamedTuple):
    """What came back: `seconds` is how long it took, `body` decoded JSON."""

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float


class Stage:
    """An open gateway.

    Args:
        log: takes each request's record when it is over.

    Attributes:
        url: where callers reach it.
        clock: the machine's.
        east, west: two providers of its own on ports of this machine, which can be made to fail.
    """

    def __init__(self, log: Callable[[Record], None]) -> None:
        self._log = log
        self.clock = SystemClock()
        self._servers = contextlib.AsyncExitStack()
        self.east, self.west = SimulatedProvider(self.clock, keep=0), SimulatedProvider(self.clock, keep=0)
        self._pool = Pool(self.clock)
        self._gateway: Gateway | None = None
        self._plane: DataPlane | None = None
        self._admin: AdminServer | None = None
        self._origin = Origin("127.0.0.1", 0)
        self.url = ""

    async def open(self) -> None:
        """Listen: at the usual address, or at a free port where something else has it."""
        config = load_config(WRITTEN | {"providers": await self._open_providers()}, {})
        try:
            await self._open(config)
        except ConfigError as error:
            if not _is_taken(error):
                raise
            await self._open(with_addresses(config, Address("127.0.0.1", 0)))

    async def _open_providers(self) -> dict[str, Any]:
        """What the configuration says of all providers, those on ports of this machine included."""
        providers: dict[str, Any] = {"sim": {}}
        for name, provider in (("east", self.east), ("west", self.west)):
            server = await self._servers.enter_async_context(SimulatedServer(provider))
            providers[name] = {"kind": "vllm", "base_url": server.base_url}
        return providers

    async def _open(self, config: Config) -> None:
        gateway = Gateway(config, self.clock, SystemRandom(), self._log)
        plane = DataPlane(gateway, self.clock)
        await plane.open()
        self._gateway, self._plane, self.url = gateway, plane, plane.url
        self._origin = Origin("127.0.0.1", plane.port)

    async def open_control(self) -> str:
        """Open the control plane too; its address. What needs its key stays closed: nobody is told it."""
        assert self._gateway is not None
        env, nowhere = {VARIABLE: secrets.token_urlsafe(24)}, Path("/")
        try:
            self._admin = await open_admin(self._gateway, env, nowhere)
        except ConfigError as error:
            if not _is_taken(error):
                raise
            gateway = self._gateway
            gateway.config = with_addresses(gateway.config, admin=Address("127.0.0.1", 0))
            self._admin = await open_admin(gateway, env, nowhere)
        return self._admin.url

    async def aclose(self) -> None:
        """Let open requests end within 2 s, and close everything."""
        await self._pool.aclose()
        if self._plane is not None:
            await self._plane.drain(DRAIN_SECONDS)
        if self._gateway is not None:
            await self._gateway.aclose()
        if self._admin is not None:
            await self._admin.aclose()
        await self._servers.aclose()

    def state(self, deployment: str) -> str:
        """How a deployment stands, as `penstock deployments list` says it."""
        assert self._gateway is not None
        return self._gateway.health.account(deployment, self.clock.monotonic()).standing.state

    # --- calling it

    async def ask(self, path: str, body: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Answer:
        """One call and its whole answer."""
        started = self.clock.monotonic()
        connection = await self._send(path, body, headers or {}, stream=False)
        try:
            data, parser = connection.parser.take(), connection.parser
            told = {name.decode(): value.decode("latin-1") for name, value in parser.headers.items()}
            return Answer(parser.status, told, json.loads(data), self.clock.monotonic() - started)
        finally:
            connection.release()

    async def stream(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str]
    ) -> AsyncIterator[tuple[float, Any]]:
        """One call and the events of its answer, decoded, each with the seconds since it was sent."""
        started = self.clock.monotonic()
        connection = await self._send(path, body, headers, stream=True)
        framer = Framer()
        try:
            while data := await connection.read(WAIT_SECONDS):
                for block in framer.feed(data):
                    payload = parse(block).data
                    if payload and payload.startswith(b"{"):
                        yield self.clock.monotonic() - started, json.loads(payload)
        finally:
            connection.release()

    async def _send(
        self, path: str, body: Mapping[str, Any], headers: Mapping[str, str], *, stream: bool
    ) -> Connection:
        data = json.dumps(body).encode()
        fields = {"host": f"127.0.0.1:{self._origin.port}", "content-type": "application/json", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        payload = f"POST {path} HTTP/1.1\r\n{head}content-length: {len(data)}\r\n\r\n".encode() + data
        connection = self._pool.take(self._origin) or await self._pool.connect(self._origin, WAIT_SECONDS)
        try:
            await connection.exchange(payload, stream=stream, timeout=WAIT_SECONDS)
        except BaseException:
            connection.release()
            raise
        return connection


def _is_taken(error: ConfigError) -> bool:
    return isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.EADDRINUSE
