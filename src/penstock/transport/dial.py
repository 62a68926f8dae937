"""Opening a connection: name to addresses, the addresses raced, through a proxy and into TLS where that is the way."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from functools import partial
from typing import Any, TypeAlias, cast

from penstock.clock import Clock
from penstock.transport.connection import Connection
from penstock.transport.dns import Door, Resolver
from penstock.transport.origin import Origin
from penstock.transport.proxy import Proxy
from penstock.transport.reasons import ProxyRefusal, proxy_out_of_reach
from penstock.wire.h1_response import Malformed, ResponseParser

__all__ = ["Dialler"]

KIB = 1024

# RFC 8305, section 5: how long one address may be tried alone.
STAGGER_SECONDS = 0.25

MAX_PROXY_HEAD = 16 * KIB

Make: TypeAlias = "Callable[[], Connection]"
Attempt: TypeAlias = "Callable[[], Coroutine[Any, Any, Connection]]"


class NotAdmitted(OSError):
    """An address that must not be connected to."""

    def __init__(self) -> None:
        super().__init__(0, "its address is not one of the public network")


class Dialler:
    """Opens connections to origins.

    Args:
        gone: as `Resolver`'s.
        admits: which addresses may be connected to; None: any. A name that has one that may not leads nowhere.
    """

    def __init__(
        self,
        clock: Clock,
        gone: Callable[[Door, frozenset[str]], None],
        admits: Callable[[str], bool] | None = None,
    ) -> None:
        self._clock = clock
        self._admits = admits
        self._resolver = Resolver(clock, gone)

    def close(self) -> None:
        """Stop asking for names."""
        self._resolver.close()

    async def dial(self, origin: Origin, make: Make) -> Connection:
        """A connection to the origin with one of `make`'s protocols on it. Those that lost are discarded.

        Raises:
            OSError: of the address that failed first; ProxyRefusal where it is the proxy that failed.
        """
        door = origin.door
        try:
            addresses = await self._resolver.addresses(door)
        except OSError as error:
            if origin.proxy is None:
                raise
            raise proxy_out_of_reach(error) from error
        if self._admits is not None and not all(map(self._admits, addresses)):
            raise NotAdmitted()
        attempt = partial(_attempt if _is_straight(origin) else _tunnel, origin, make)
        try:
            if len(addresses) == 1:
                return await attempt(addresses[0])
            client = await _first(self._clock, [partial(attempt, address) for address in addresses])
        except BaseException:
            self._resolver.doubt(door)
            raise
        self._resolver.prefer(door, client.address)
        return client


def _is_straight(origin: Origin) -> bool:
    return origin.proxy is None or origin.rewrite is not None


async def _first(clock: Clock, attempts: Iterable[Attempt]) -> Connection:
    """The first that stands; each is begun when the one before has failed or taken too long (RFC 8305, section 5)."""
    loop = asyncio.get_running_loop()
    waiting = deque(attempts)
    running: list[asyncio.Task[Connection]] = []
    error: BaseException | None = None
    try:
        while waiting or running:
            if waiting:
                running.append(loop.create_task(waiting.popleft()()))
            await _any_done(clock, running, STAGGER_SECONDS if waiting else None)
            for task in [task for task in running if task.done()]:
                running.remove(task)
                failure = task.exception()
                if failure is None:
                    return task.result()
                error = error or failure
    finally:
        for task in running:
            _abandon(task)
    assert error is not None
    raise error


async def _any_done(clock: Clock, tasks: list[asyncio.Task[Connection]], seconds: float | None) -> None:
    try:
        async with clock.timeout(seconds):
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        pass


def _abandon(task: asyncio.Task[Connection]) -> None:
    if not task.done():
        task.cancel()
    elif not task.cancelled() and task.exception() is None:
        task.result().discard()  # it stood in the same moment as another


async def _attempt(origin: Origin, make: Make, address: str) -> Connection:
    """Straight to the origin, or to a proxy that is sent the requests themselves."""
    proxy = origin.proxy
    tls, name, port = origin.tls, origin.host, origin.port
    if proxy is not None:
        tls, name, port = proxy.tls, proxy.host, proxy.port
    client = make()
    client.address = address
    try:
        await asyncio.get_running_loop().create_connection(
            lambda: client,
            address,
            port,
            ssl=tls,
            server_hostname=name if tls else None,
        )
    except BaseException as error:
        client.discard()
        if proxy is not None and isinstance(error, OSError):
            raise proxy_out_of_reach(error) from error
        raise
    return client


async def _tunnel(origin: Origin, make: Make, address: str) -> Connection:
    proxy, tls = origin.proxy, origin.tls
    assert proxy is not None
    assert tls is not None
    loop = asyncio.get_running_loop()
    asking = _Asking(loop.create_future())
    client = make()
    client.address = address
    try:
        transport = await _reach(proxy, asking, address)
        transport.write(proxy.connect_request(origin.host, origin.port))
        await asking.answered
        inner = await _start_tls(loop, transport, client, tls, origin.host)
        client.connection_made(inner)
    except BaseException:
        asking.abort()
        client.discard()
        raise
    return client


async def _reach(proxy: Proxy, asking: _Asking, address: str) -> asyncio.Transport:
    loop, name = asyncio.get_running_loop(), proxy.host if proxy.tls else None
    try:
        made = await loop.create_connection(lambda: asking, address, proxy.port, ssl=proxy.tls, server_hostname=name)
    except OSError as error:
        raise proxy_out_of_reach(error) from error
    return made[0]


async def _start_tls(
    loop: asyncio.AbstractEventLoop, transport: Any, client: Connection, tls: ssl.SSLContext, name: str
) -> asyncio.Transport:
    try:
        inner = await loop.start_tls(transport, client, tls, server_hostname=name)
    except TypeError as error:
        # asyncio's own mistake (CPython 3.11.7): TLS that fails within a proxy's TLS is not aborted as it should be.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise
    if inner is None:
        raise ConnectionResetError(0, "the proxy closed the tunnel")
    return inner


class _Asking(asyncio.Protocol):
    """A connection to a proxy until the tunnel stands.

    Args:
        answered: completed when the proxy has agreed; fails with OSError where it does not.
    """

    def __init__(self, answered: asyncio.Future[None]) -> None:
        self.answered = answered
        self._parser = ResponseParser(MAX_PROXY_HEAD)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self.answered.done():
            return
        try:
            parser.feed(data)
        except Malformed:
            self._refuse("the proxy's answer is not valid HTTP/1.1")
            return
        if not parser.head_complete:
            return
        if parser.status == 407:
            self._refuse("the proxy wants other credentials than its URL has")
        elif not 200 <= parser.status < 300:
            self._refuse(f"the proxy does not open a tunnel (status {parser.status})")
        elif parser.pending or parser.surplus:
            # The provider speaks second: whatever this is, it did not come through the tunnel.
            self._refuse("the proxy sent bytes of its own into the tunnel")
        else:
            self.answered.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._refuse("the proxy closed the connection")
        self._parser.close()

    def abort(self) -> None:
        """Close at once; safe when the transport serves another protocol by now."""
        if self._transport is not None:
            self._transport.abort()
        if not self.answered.cancel() and not self.answered.cancelled():
            self.answered.exception()  # told, so that asyncio does not log it

    def _refuse(self, why: str) -> None:
        if not self.answered.done():
            self.answered.set_exception(ProxyRefusal(why))
