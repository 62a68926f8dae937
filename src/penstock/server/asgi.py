"""The data plane as an ASGI 3 application: the same gateway, routes, guards and caps behind somebody else's HTTP.

For mounting into an application, and for `serve --http asgi`. Each request's head goes once more through `wire/h1`, so
that what is refused does not hang on which server read it. What a socket would be needed for is the server's: the
deadline for a request's head, the limit of connections, and how a broken stream is cut.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
from collections.abc import Callable, Coroutine, Mapping
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

import penstock
from penstock.clock import Clock, Random, SystemClock, SystemRandom
from penstock.config.load import load_config
from penstock.config.schema import Address, Config
from penstock.errors import PenstockError
from penstock.gateway import Gateway, Shared
from penstock.gateway.own_books import LAST_SECONDS, OwnBooks, open_own_books
from penstock.gateway.own_keys import OwnKeys, open_own_keys
from penstock.gateway.own_watch import begin_watch
from penstock.gateway.steward import Steward
from penstock.lines import encode_lines
from penstock.metrics import Metrics
from penstock.records import Record
from penstock.server.asgi_exchange import AsgiExchange, Receive, Scope, Send
from penstock.server.guards import Guards
from penstock.server.own import own_questions
from penstock.server.protocol import BODY_SECONDS
from penstock.server.request_log import open_log
from penstock.server.routes import Routes
from penstock.stores.log import LogWriter
from penstock.stores.pressure import Pressure
from penstock.stores.state import Registry
from penstock.wire.h1 import HttpRequest, Refused, RequestParser

__all__ = ["AsgiApp", "asgi_app"]

# How the body is framed, and what holds for one connection only, was the server's to read.
_OF_THE_CONNECTION = frozenset(
    b"connection content-length expect keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)


def asgi_app(config: str | os.PathLike[str] | Mapping[str, object] | None = None) -> AsgiApp:
    """An application for any ASGI server, or to mount: `app.mount("/llm", asgi_app("penstock.yaml"))`.

    With `auth: open` only callers on this machine are answered, by loopback's names or `server: {hosts: [...]}`; with
    keys, under any name. A framework that does not pass `lifespan` on to what is mounted should await `aclose` itself.

    Nothing is written to the disk, unless the config has `state: sqlite:///FILE`: then the ledger is kept there, by one
    process alone, and keys, limits and budgets that are there hold too. To change them while it runs takes
    `penstock serve`.

    Args:
        config: a file's path, a mapping, or None for the default without a file.

    Raises:
        ConfigError: it is wrong.
        TypeError: it is none of these.
    """
    if config is None or isinstance(config, Mapping):
        loaded = load_config(config, os.environ, kept=False)
    elif isinstance(config, str | os.PathLike):
        # By way of the root, which loads the YAML parser at this moment and not before.
        loaded = penstock.open_config(Path(config), os.environ, kept=False)
    else:
        raise TypeError(f"a config is a path, a mapping or None, not {type(config).__name__}")
    if loaded.auth == "required":
        # Whoever mounts it decides where it listens; then a key is what protects, as on every address but loopback.
        anywhere = msgspec.structs.replace(loaded.server, listen=Address("0.0.0.0", 0))
        loaded = msgspec.structs.replace(loaded, server=anywhere)
    return AsgiApp(loaded)


class AsgiApp:
    """The application. It opens at its first request or at the server's start, on the loop that runs then.

    Args:
        config: `server.listen` says which Host headers are good.
        gateway: None makes one, with the request log and the books that the configuration asks for.
        inline: as `Database` has it.
    """

    def __init__(
        self,
        config: Config,
        clock: Clock | None = None,
        random: Random | None = None,
        gateway: Gateway | None = None,
        *,
        inline: bool = False,
    ) -> None:
        self._inline = inline
        self._config = config
        self._clock = clock or SystemClock()
        self._random = random or SystemRandom()
        self._pressure = Pressure()
        self._gateway = gateway
        self._routes: Routes | None = None
        self._books: OwnBooks | None = None
        self._steward: Steward | None = None
        self._keys: OwnKeys | None = None
        # A gateway that was handed in is watched by whoever did.
        self._unwatched = False
        self._writer: LogWriter[Record] | None = None
        self._close_log: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        return f"<AsgiApp {self._config.source}>"

    @property
    def routes(self) -> Routes:
        """What answers; opens the application.

        Raises:
            ConfigError: the log file or a CA file cannot be used.
        """
        if self._routes is None:
            if self._gateway is None:
                self._gateway = self._make_gateway()
            self._routes = Routes(self._gateway, Guards(self._config.server))
        return self._routes

    @property
    def gateway(self) -> Gateway:
        """The engine; opens the application. Raises ConfigError as `routes`."""
        _ = self.routes
        assert self._gateway is not None
        return self._gateway

    async def aclose(self) -> None:
        """Close the connections to providers, the books and the log; a request afterwards opens it anew."""
        if self._routes is not None:
            self._routes.close()
        gateway, self._gateway, self._routes = self._gateway, None, None
        books, self._books = self._books, None
        steward, self._steward = self._steward, None
        keys, self._keys = self._keys, None
        self._unwatched = False
        try:
            if gateway is not None:
                await gateway.aclose()
            if steward is not None and books is None:
                await steward.aclose(LAST_SECONDS)
        finally:
            try:
                if keys is not None:
                    await keys.aclose()
                if books is not None and gateway is not None:
                    await books.aclose(gateway)
            finally:
                if self._writer is not None:
                    self._writer.flush()
                    self._writer = None
                self._close_log()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "lifespan":
            await self._lifespan(receive, send)
        else:
            await receive()
            await send({"type": "websocket.close", "code": 1003})

    async def _open(self) -> None:
        """Make the gateway, and have its books ready. Raises PenstockError: their store cannot be written now."""
        _ = self.routes
        books = self._books
        if books is not None and not books.ready:
            await books.open()
        if self._keys is not None and not self._keys.ready:
            await self._keys.open()
        gateway = self._gateway
        if self._unwatched and gateway is not None and self._books is books:
            self._unwatched = False
            self._steward = begin_watch(gateway, books, self._random, self._pressure)

    def _make_gateway(self) -> Gateway:
        metrics, random = Metrics(), self._random
        self._pressure = Pressure()
        books = open_own_books(self._config, self._clock, random, inline=self._inline)
        shared = None
        try:
            if books is not None:
                self._keys = open_own_keys(self._config, books.books.database, self._clock, random)
                shared = self._share(books)
            held = books.config if books is not None else self._config
            gateway = Gateway(held, self._clock, random, self._open_log(metrics), metrics, shared)
        except BaseException:
            if books is not None:
                books.abandon()
            raise
        self._books = books
        self._unwatched = True
        return gateway

    def _share(self, books: OwnBooks) -> Shared:
        return Shared(
            Registry(),
            purse=books.purse,
            journal=books.journal,
            questions=own_questions(books.books.database, self._live, self._clock),
            keys=self._keys.link if self._keys is not None else None,
            pressure=self._pressure,
        )

    def _open_log(self, metrics: Metrics) -> Callable[[Record], None] | None:
        if self._config.log.to == "none":
            return None
        sink, self._close_log = open_log(self._config.log.to)
        writer = LogWriter(encode_lines, sink, self._clock, lambda lines: metrics.log_dropped.inc((), lines))
        self._writer = writer
        return writer.add

    def _live(self) -> AbstractSet[Record]:
        return self._gateway.live if self._gateway is not None else frozenset()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._open()
                except Exception as error:  # noqa: BLE001 -- told to the server, which ends with it
                    await self.aclose()
                    await send({"type": "lifespan.startup.failed", "message": str(error)})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self.aclose()
                await send({"type": "lifespan.shutdown.complete"})
                return

    # --- one request

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        routes, out = self.routes, AsgiExchange(scope)
        work: Coroutine[Any, Any, None] | None = None
        try:
            self._admit(scope)
            request = _head_of(scope)
            body = await self._body(scope, receive, request.path)
            if body is None:
                return
            request.body = body
            try:
                await self._open()
            except PenstockError as error:
                raise Refused(503, error.message, request.path) from error
        except Refused as refused:
            out.keep_alive = False
            routes.refuse(refused, out)
        else:
            work = routes.handle(request, out)
        if work is None:
            out.close()
            await out.deliver(send, self._clock)
        else:
            await self._answer(work, out, receive, send)

    async def _answer(self, work: Coroutine[Any, Any, None], out: AsgiExchange, receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        working = loop.create_task(work)
        working.add_done_callback(lambda _: out.close())
        leaving = loop.create_task(_cancel_when_left(receive, working))
        try:
            await out.deliver(send, self._clock)
        except TimeoutError:
            pass  # it does not read: returning without the end of an answer has the server cut it
        finally:
            working.cancel()
            leaving.cancel()
            await asyncio.wait((working, leaving))
        for task in (working, leaving):
            if not task.cancelled():
                task.result()

    def _admit(self, scope: Scope) -> None:
        """`auth: open` is for this machine, whatever the server listens on."""
        client = scope.get("client")
        if not self.gateway.auth_open or not client:
            return
        try:
            near = ipaddress.ip_address(client[0]).is_loopback
        except ValueError:
            return  # a Unix socket's or a test's
        if not near:
            raise Refused(403, "without keys (auth: open) only callers on the same machine are answered")

    async def _body(self, scope: Scope, receive: Receive, path: bytes) -> bytes | None:
        """All of it; None where the caller left. Raises Refused."""
        most, body = self._config.server.max_body, bytearray()
        too_large = Refused(413, f"the body is larger than {most} bytes", path)
        for name, value in scope["headers"]:
            if name.lower() == b"content-length" and value.isdigit() and int(value[:20]) > most:
                raise too_large
        try:
            async with self._clock.timeout(BODY_SECONDS):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise too_large
                    if not message.get("more_body", False):
                        return bytes(body)
        except TimeoutError:
            raise Refused(408, "the request took too long to arrive", path) from None


async def _cancel_when_left(receive: Receive, working: asyncio.Task[None]) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    working.cancel()


def _head_of(scope: Scope) -> HttpRequest:
    """The request without its body, read from a head written anew: one parser for every way in. Raises Refused."""
    target = _path(scope)
    if scope.get("query_string"):
        target += b"?" + scope["query_string"]
    old = scope.get("http_version") == "1.0"
    lines = [b"%b %b HTTP/%b" % (scope["method"].encode("latin-1"), target, b"1.0" if old else b"1.1")]
    for name, value in scope["headers"]:
        if b"\r" in name + value or b"\n" in name + value:
            raise Refused(400, "a header has a line end in it")
        if name.lower() not in _OF_THE_CONNECTION:
            lines.append(b"%b: %b" % (name, value))
    parser = RequestParser()
    try:
        parser.feed(b"\r\n".join([*lines, b"", b""]))
        (request,) = parser.ready
    except ValueError:
        raise Refused(400, "the request's head is not valid HTTP") from None
    finally:
        parser.close()
    return request


def _path(scope: Scope) -> bytes:
    """The path below where the application is mounted, as sent."""
    path = scope.get("raw_path") or quote(scope["path"], safe="/%:@!$&'()*+,;=~").encode()
    path = path.partition(b"?")[0]
    mount = quote(scope.get("root_path", "").rstrip("/"), safe="/:@!$&'()*+,;=~").encode()
    if mount and path.startswith(mount) and path[len(mount) : len(mount) + 1] in (b"", b"/"):
        return bytes(path[len(mount) :]) or b"/"
    return bytes(path)
