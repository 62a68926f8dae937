"""The same gateway on real sockets and uvloop, in this process, for what the simulated network has not got."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import uvloop

from penstock.clock import SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.lines import encode_lines
from penstock.records import Record
from penstock.server.data_plane import DataPlane
from penstock.testing import ScriptedUpstream, SimulatedServer
from tests.stage import Caller

__all__ = ["Real", "on_uvloop"]

T = TypeVar("T")
SECONDS = 20.0


def on_uvloop(main: Callable[[], Awaitable[T]], seconds: float = SECONDS) -> T:
    """What `main()` returns within so many seconds, run on the loop that `serve` runs on; no error may reach the loop's
    handler."""
    errors: list[dict[str, Any]] = []

    async def body() -> T:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
        async with asyncio.timeout(seconds):
            return await main()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        result = runner.run(body())
    assert not errors, errors
    return result


class Real:
    """A gateway on a free port of loopback, before a provider that it reaches by `up` and `ant`.

    Args:
        server: what `server:` says beside the address.
        upstream: the provider; a simulated one by default.
        providers: further ones.
        more: of the configuration; by default what becomes of one attempt is looked at, and nothing is tried again.

    Attributes:
        records: of the requests that are over.
    """

    def __init__(
        self,
        server: Mapping[str, Any] | None = None,
        upstream: SimulatedServer | ScriptedUpstream | None = None,
        providers: Mapping[str, Any] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        self._more = more if more is not None else {"defaults": {"retry": "off", "breaker": "off"}}
        self._providers = providers or {}
        self.upstream = upstream if upstream is not None else SimulatedServer()
        self.records: list[Record] = []
        self._server = {"listen": "127.0.0.1:0", **(server or {})}
        self.gateway: Gateway
        self.plane: DataPlane

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return "127.0.0.1", self.plane.port

    async def caller(self, tls: ssl.SSLContext | None = None) -> Caller:
        """A connection to it."""
        return Caller(*await asyncio.open_connection(*self.address, ssl=tls))

    async def until(self, reached: Callable[[], object]) -> None:
        """Wait until it is so."""
        while not reached():
            await SystemClock().sleep(0.002)

    async def __aenter__(self) -> Self:
        await self.upstream.__aenter__()
        base = self.upstream.base_url
        providers = {
            "up": {"kind": "openai", "base_url": base, "api_key": "none"},
            "ant": {"kind": "anthropic", "base_url": base.removesuffix("/v1"), "api_key": "none"},
            **self._providers,
        }
        config = load_config({"auth": "open", "server": self._server, "providers": providers, **self._more}, {})
        clock = SystemClock()
        self.gateway = Gateway(config, clock, SystemRandom(), self._note)
        self.plane = DataPlane(self.gateway, clock)
        await self.plane.open()
        return self

    def _note(self, record: Record) -> None:
        encode_lines([record])  # it must be one that can be written
        self.records.append(record)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.plane.drain(0)
        await self.gateway.aclose()
        await self.upstream.__aexit__(kind, error, trace)
