"""The data plane's HTTP/1.1 server: a thin asyncio protocol over `wire/h1`.

One request at a time per connection, in order; each is answered by one task, which is cancelled when the caller
leaves. The socket is never paused once a body is in, since a paused reader does not see the caller leave; and an
end of file after a whole request means that it has left.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from email.utils import formatdate
from typing import Any

from penstock.clock import Clock, Timer
from penstock.wire.h1 import CONTINUE, LAST_CHUNK, HttpRequest, Refused, RequestParser, status_line

__all__ = ["Exchange", "Listener", "ServerConnection"]

KIB = 1024

# What a caller that reads slowly may leave unsent here before reading from the provider stops.
WRITE_HIGH_WATER = 32 * KIB

# An absolute deadline for receiving, however slowly the bytes drip (security.md 19).
HEAD_SECONDS = 10.0
BODY_SECONDS = 60.0
# How long a caller may leave its answer unread before it is cut (semantics.md: Streams).
STALL_SECONDS = 30.0
# How long the rest of a refused request is read and thrown away.
LINGER_SECONDS = 2.0

_CLOSE = b"connection: close\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
SWEEP_SECONDS = 1.0

# Answers at once and returns None, or returns what will; that must call `Exchange.close` at its end.
Handler = Callable[[HttpRequest, "Exchange"], Coroutine[Any, Any, None] | None]
Refuse = Callable[[Refused, "Exchange"], None]


class Listener:
    """What all connections of one data plane share: the handler, the limits and the sweep that enforces them.

    Args:
        handle: answers one request through its exchange.
        refuse: answers what is not valid HTTP.
        max_body: bytes.
        idle: seconds after which an unused connection is closed.
    """

    def __init__(self, handle: Handler, refuse: Refuse, clock: Clock, max_body: int, idle: float) -> None:
        self.handle = handle
        self.refuse = refuse
        self.clock = clock
        self.max_body = max_body
        self.idle = idle
        self.draining = False
        self.connections: dict[ServerConnection, None] = {}
        self._timer: Timer | None = None
        self._changed: asyncio.Future[None] | None = None
        self._date = b""
        self._date_at = -1

    def connection(self) -> ServerConnection:
        """A protocol for one more connection."""
        return ServerConnection(self)

    def date(self) -> bytes:
        """The Date header's line (RFC 9110, section 6.6.1), made once a second."""
        now = int(self.clock.wall())
        if now != self._date_at:
            self._date_at = now
            self._date = b"date: %b\r\n" % formatdate(now, usegmt=True).encode()
        return self._date

    @property
    def busy(self) -> int:
        """Connections with a request being answered."""
        return sum(1 for connection in self.connections if connection.busy)

    def opened(self, connection: ServerConnection) -> None:
        """A connection stands."""
        self.connections[connection] = None
        if self._timer is None:
            self._timer = self.clock.call_later(SWEEP_SECONDS, self._sweep)

    def closed(self, connection: ServerConnection) -> None:
        """A connection is gone, its task done."""
        self.connections.pop(connection, None)
        self.settle()

    async def calm(self) -> None:
        """Begin to drain: close what is idle, and wait until no request is being answered.

        New connections are still answered meanwhile (by handlers that know of the drain), so that a readiness probe
        sees a 503 and not a refusal that might be anything.
        """
        self.draining = True
        for connection in list(self.connections):
            connection.close_if_idle()
        await self._until(lambda: not self.busy)

    async def flushed(self) -> None:
        """Close every connection that answers nothing, and wait until what was written has left."""
        for connection in list(self.connections):
            connection.close_if_free()
        await self._until(lambda: not self.connections)

    async def cut(self) -> None:
        """Close what is left at once."""
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        for connection in list(self.connections):
            connection.abort()
        if tasks:
            await asyncio.wait(tasks)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    def settle(self) -> None:
        """A request was answered or a connection is gone: tell the drain, if one waits."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _sweep(self) -> None:
        self._timer = None
        now = self.clock.monotonic()
        for connection in list(self.connections):
            connection.enforce(now)
        if self.connections:
            self._timer = self.clock.call_later(SWEEP_SECONDS, self._sweep)


class ServerConnection(asyncio.Protocol):
    """One caller's connection.

    Attributes:
        task: what answers its requests, one after the other; None until the first.
        busy: whether a request is being answered.
    """

    __slots__ = (
        "_lingers", "_listener", "_loop", "_parser", "_refused", "_resumed", "_since", "_stalled_at", "_transport",
        "_wake", "_work", "busy", "task",
    )  # fmt: skip

    def __init__(self, listener: Listener) -> None:
        self.task: asyncio.Task[None] | None = None
        self.busy = False
        self._work: Coroutine[Any, Any, None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._listener = listener
        self._parser = RequestParser(listener.max_body)
        self._transport: asyncio.Transport | None = None
        self._refused: Refused | None = None
        self._resumed: asyncio.Future[None] | None = None
        self._since = listener.clock.monotonic()
        self._stalled_at = 0.0
        self._lingers = False

    # --- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._loop = asyncio.get_running_loop()
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[attr-defined]
        self._listener.opened(self)

    def data_received(self, data: bytes) -> None:
        parser = self._parser
        if self._refused is not None:
            return  # the answer to what was refused is on its way; the rest is not read
        was_idle = parser.idle
        try:
            parser.feed(data)
        except Refused as refused:
            self._refused = refused
        if self.busy:
            return
        if not parser.idle:
            if was_idle:
                self._since = self._listener.clock.monotonic()
            if parser.wants_continue and self._refused is None and self._transport is not None:
                parser.wants_continue = False
                self._transport.write(CONTINUE)
        self._next()

    def eof_received(self) -> None:
        if self._transport is not None and (self.busy or not self._parser.idle):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser.close()
        self.resume_writing()
        if self.task is None:
            self._listener.closed(self)
        else:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._stalled_at = self._listener.clock.monotonic()
        self._resumed = self._loop.create_future()

    def resume_writing(self) -> None:
        self._stalled_at = 0.0
        resumed, self._resumed = self._resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)

    # --- one request after the other

    def _next(self) -> None:
        transport, parser = self._transport, self._parser
        if transport is None or transport.is_closing():
            return
        if parser.ready:
            listener, request = self._listener, parser.ready.popleft()
            exchange = Exchange(self, listener, request)
            work = listener.handle(request, exchange)
            if work is None:
                self.answered(exchange)
            else:
                self._begin(work)
        elif self._refused is not None:
            self._listener.refuse(self._refused, Exchange(self, self._listener))
            self._linger(transport)
        elif self._listener.draining and parser.idle:
            transport.close()

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self.busy = True
        if self.task is None:
            self.task = self._loop.create_task(self._answer(work))
            self.task.add_done_callback(self._ended)
            return
        self._work = work
        wake, self._wake = self._wake, None
        if wake is not None:
            wake.set_result(None)

    async def _answer(self, work: Coroutine[Any, Any, None]) -> None:
        """The connection's one task: making one for each request would cost more than most layers do."""
        while True:
            await work
            if self._work is None:
                self._wake = wake = self._loop.create_future()
                await wake
            assert self._work is not None
            work, self._work = self._work, None

    def _ended(self, _: object) -> None:
        work, self._work = self._work, None
        if work is not None:
            work.close()  # it was to begin when the caller left
        self.busy = False
        if self._transport is not None:
            self._transport.abort()
        self._listener.closed(self)

    def _linger(self, transport: asyncio.Transport) -> None:
        # Closing with bytes unread resets the connection, and the refusal would be lost on its way: so say that
        # nothing more comes, and read on for a moment (RFC 9112, section 9.6).
        self._since = self._listener.clock.monotonic()
        self._lingers = True
        if transport.can_write_eof():
            transport.write_eof()
        else:
            transport.close()

    def answered(self, exchange: Exchange) -> None:
        """The answer is written, or will never be: on to the next request, or close."""
        self.busy = False
        transport, listener = self._transport, self._listener
        if listener.draining:
            listener.settle()
        if transport is None:
            return
        self._since = listener.clock.monotonic()
        if not exchange.ended:
            transport.abort()
        elif not exchange.keep_alive:
            transport.close()
        elif self._parser.ready or self._refused is not None or listener.draining:
            self._next()

    # --- limits

    def close_if_idle(self) -> None:
        """Close unless a request is being received or answered."""
        if not self.busy and self._transport is not None and self._parser.idle:
            self._transport.close()

    def close_if_free(self) -> None:
        """Close unless a request is being answered; what was written still leaves."""
        if not self.busy and self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; the task is cancelled."""
        if self._transport is not None:
            self._transport.abort()
        if self.task is not None:
            self.task.cancel()

    def enforce(self, now: float) -> None:
        """Close what waits for longer than it may."""
        if self._transport is None:
            return
        if self._stalled_at and now - self._stalled_at > STALL_SECONDS:
            self._transport.abort()
        elif not self.busy:
            waited = now - self._since
            if self._lingers:
                if waited > LINGER_SECONDS:
                    self._transport.abort()
            elif self._parser.idle:
                if waited > self._listener.idle:
                    self._transport.close()
            elif waited > (HEAD_SECONDS if self._parser.in_head else BODY_SECONDS):
                self._refused = Refused(408, "the request took too long to arrive")
                self._next()

    # --- what an exchange writes through

    def write(self, data: bytes) -> bool:
        """Queue bytes; does nothing once the caller is gone. Returns `stalled`."""
        if self._transport is not None:
            self._transport.write(data)
        return self._resumed is not None

    @property
    def stalled(self) -> bool:
        """Whether the caller has left so much unread that writing should wait."""
        return self._resumed is not None

    async def drain(self) -> None:
        """Wait until the caller has read enough."""
        if self._resumed is not None:
            await self._resumed


class Exchange:
    """How one request is answered: `send` for a whole answer, or `start`, `push` and `drain`, `finish` for a stream.

    Attributes:
        keep_alive: whether the connection goes on after this answer.
        ended: a whole answer was written; without it the connection is cut.
        written: bytes of body.
    """

    # Defaults stand on the class: this is made once a request, and most leave them.
    started = False
    ended = False
    written = 0
    _chunked = True
    _bodyless = False

    def __init__(self, connection: ServerConnection, listener: Listener, request: HttpRequest | None = None) -> None:
        self._connection = connection
        self._listener = listener
        if request is None:
            self.keep_alive = False
            return
        head = request.head
        self.keep_alive = head.keep_alive and not listener.draining
        if head.version != "1.1":
            self._chunked = False  # HTTP/1.0 knows no chunks: a stream to it ends with the connection
        if head.method == b"HEAD":
            self._bodyless = True

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer in one write; `headers` are lines as `encode_headers` makes them."""
        self.started = self.ended = True
        self.written = len(body)
        self._connection.write(
            b"%b%b%b%bcontent-length: %d\r\n\r\n%b"
            % (
                status_line(status),
                headers,
                self._listener.date(),
                b"" if self.keep_alive else _CLOSE,
                len(body),
                b"" if self._bodyless else body,
            )
        )

    def start(self, status: int, headers: bytes, first: bytes = b"") -> None:
        """The head of a stream, with its first bytes."""
        if not self._chunked:
            self.keep_alive = False
        self.started = True
        head = b"%b%b%b%b%b\r\n" % (
            status_line(status),
            headers,
            self._listener.date(),
            b"" if self.keep_alive else _CLOSE,
            _CHUNKED if self._chunked else b"",
        )
        self._connection.write(head + self._framed(first) if first else head)

    def push(self, data: bytes) -> bool:
        """More of a stream, without waiting; returns whether `drain` must be awaited before the next."""
        size = len(data)
        self.written += size
        return self._connection.write(b"%x\r\n%b\r\n" % (size, data) if self._chunked else data)

    @property
    def stalled(self) -> bool:
        """Whether `drain` must be awaited before more is pushed."""
        return self._connection.stalled

    async def drain(self) -> None:
        """Wait until the caller has read enough."""
        await self._connection.drain()

    def finish(self) -> None:
        """The clean end of a stream."""
        if self._chunked:
            self._connection.write(LAST_CHUNK)
        self.ended = True

    def close(self) -> None:
        """Nothing more will be written: what answers calls this at its end, whatever happened."""
        self._connection.answered(self)

    def _framed(self, data: bytes) -> bytes:
        self.written += len(data)
        return b"%x\r\n%b\r\n" % (len(data), data) if self._chunked else data
