"""The data plane's HTTP/1.1 server: a thin asyncio protocol over `wire/h1`.

One request at a time per connection, in order, by one task, which is cancelled when the caller leaves. The socket is
never paused, since a paused reader does not see the caller leave: what comes behind a request that waits its turn is
held unread up to `MAX_HELD` bytes, and beyond that thrown away and the connection closed once what is whole was
answered (RFC 9112, section 9.3.2: the caller repeats the rest). An end of file after a whole request means that it
has left.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from collections.abc import Callable, Coroutine
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import msgspec

from penstock.clock import Clock
from penstock.layers.record import STOPPED
from penstock.records import quick
from penstock.server.exchange import Exchange
from penstock.server.forwarded import plain_address
from penstock.server.limits import Limits
from penstock.server.sweep import Found, Sweep
from penstock.transport.outbox import Outbox
from penstock.wire.h1 import CONTINUE, LAST_CHUNK, Head, HttpRequest, Refused, RequestParser, awaited_by, status_line
from penstock.wire.known_head import KnownHead

__all__ = ["Limits", "Listener", "ServerConnection", "SocketExchange"]

log = logging.getLogger("penstock.server")

KIB = 1024

# What a caller that reads slowly may leave unsent here before reading from the provider stops.
WRITE_HIGH_WATER = 32 * KIB

# Deadlines for receiving, from a request's first byte and however slowly the rest drips (security.md 19). A body must
# keep an average: a small one from `BODY_GRACE` on, and from `BODY_SECONDS` on one that only a large body needs.
HEAD_SECONDS = 10.0
BODY_GRACE = 15.0
BODY_SECONDS = 60.0
LEAST_RATE = 1 * KIB
LARGE_RATE = 64 * KIB
# For the word that nothing more comes to leave; a worker without its supervisor has hardly more.
FAREWELL_SECONDS = 0.4
# A caller that leaves its answer unread must take so much of it in so many seconds, or is cut (semantics.md: Streams).
STALL_SECONDS = 30.0
LEAST_TAKEN = 24 * KIB
# How long the rest of a refused request is read and thrown away.
LINGER_SECONDS = 2.0

# Bodies below this, which come in one or two reads, are not counted.
LEAST_COUNTED = 256 * KIB

# What a caller may pipeline behind a request that waits its turn.
MAX_HELD = 64 * KIB
# Fed in pieces so small that few requests end in one.
_SLICE = 256
# Requests answered without waiting, such as refusals, before other connections have their turn.
_AT_ONCE = 16

# For SO_LINGER: close without an answer, and so by a reset.
_FORGET = struct.pack("ii", 1, 0)

OK = status_line(200)
_CLOSE = b"connection: close\r\n"
_KEEP = b"connection: keep-alive\r\n"
_CHUNKED = b"transfer-encoding: chunked\r\n"
# Of what was not valid enough to have one.
_NO_HEAD = Head(b"", b"", "1.1", {})
# From this part of the room on all that are late are cut at once.
CROWDED = 0.8

# After a hand-over an idle connection is kept for so long: httpx, which the vendors' SDKs use, takes none from its pool
# that has been idle for 5 s (`keepalive_expiry`), so that its owner is not about to send on it.
PATIENT_SECONDS = 6.0
# Who is in the middle of a TLS handshake then is not among the connections yet, and must not notice either.
CONNECTING_SECONDS = 1.0

# How often it is logged that there is no room for more connections.
FULL_SECONDS = 60.0

# Answers at once and returns None, or returns what will; that must call `Exchange.close` at its end.
Handler = Callable[[HttpRequest, "Exchange"], Coroutine[Any, Any, None] | None]
Refuse = Callable[[Refused, "Exchange"], None]
# By its head, and the address at the other end.
Doubt = Callable[[Head, str | None], Refused | None]


class Listener:
    """What all connections of one data plane share: the handler, the limits and the sweep that enforces them.

    Args:
        handle: answers one request through its exchange.
        refuse: answers what is not valid HTTP, and whom there is no room for.

    Attributes:
        doubt: says of a large body that has only begun to come why the rest of it is not read, if there is a reason.
        now: the clock's monotonic time, without the way there.
        date: the Date header's line (RFC 9110, section 6.6.1), made anew every second while there are connections.
        bodies: bytes of the large bodies that are held.
        outbox: whole answers leave through it.
    """

    def __init__(self, handle: Handler, refuse: Refuse, clock: Clock, limits: Limits) -> None:
        self.handle = handle
        self.refuse = refuse
        self.doubt: Doubt | None = None
        self.clock = clock
        self.now = clock.monotonic
        self.limits = limits
        self.draining = False
        self.ending = False
        self._patient = False
        self._told_full = -FULL_SECONDS
        self.connections: dict[ServerConnection, None] = {}
        self.bodies = 0
        self._outside = 0
        self._sweep = Sweep(clock, self.connections, self._crowded, self._note_date)
        self._changed: asyncio.Future[None] | None = None
        self.date = b""
        self.outbox = Outbox()

    def connection(self, refused: Refused | None = None) -> ServerConnection:
        """A protocol for one more connection, or for one that is answered so, whatever it asks."""
        return ServerConnection(self, refused)

    @property
    def busy(self) -> int:
        """Connections with a request being answered."""
        return sum(1 for connection in self.connections if connection.busy)

    def opened(self, connection: ServerConnection) -> int:
        """A connection stands; returns how many there are now above the limit."""
        self.connections[connection] = None
        self._sweep.begin()
        # Those that are being refused take nobody's place.
        if len(self.connections) - self._outside <= self.limits.max_connections:
            return 0
        self._outside += 1
        connection.outside = True
        if self.clock.monotonic() - self._told_full >= FULL_SECONDS:
            self._told_full = self.clock.monotonic()
            log.warning("all %d connections are in use: further ones are refused", self.limits.max_connections)
        return self._outside

    def closed(self, connection: ServerConnection) -> None:
        """A connection is gone, its task done."""
        if connection in self.connections:
            del self.connections[connection]
            self._outside -= connection.outside
        self.settle()

    def hold(self, connection: ServerConnection, size: int) -> bool:
        """The body of a connection's request has so many bytes now, 0 once it is held no longer; whether there is room
        for it."""
        self.bodies += size - connection.counted
        connection.counted = size
        return self.bodies <= self.limits.max_bodies

    def take_in(self, connection: ServerConnection, parser: RequestParser) -> Refused | None:
        """A large body comes: why the rest of it is not read, where its caller may send none or there is no room."""
        head, refused = awaited_by(parser), None
        if not connection.counted and self.doubt is not None and head is not None:
            refused = self.doubt(head, connection.peer)
        if refused is None and not self.hold(connection, parser.received):
            refused = Refused(503, "too many large bodies are held")
        if refused is not None:
            parser.drop()
        return refused

    async def calm(self) -> None:
        """Begin to drain: close what is idle, and wait until no request is being answered.

        New connections are still answered meanwhile (by handlers that know of the drain), so that a readiness probe
        sees a 503 and not a refusal that might be anything.
        """
        self.draining, self._patient = True, False
        for connection in list(self.connections):
            connection.close_unless_busy(receiving=True)
        await self._until(lambda: not self.busy)

    async def handed_over(self) -> None:
        """Begin to drain for a successor that accepts already, and wait until no connection is left.

        What callers ask meanwhile is answered, as the last on its connection. Those that were promised a connection
        that goes on lose it only once they have not used it for so long that they hardly will.
        """
        self.draining = self._patient = True
        await self.clock.sleep(CONNECTING_SECONDS)
        await self._until(lambda: not self.connections)

    def closes_idle(self, waited: float) -> bool:
        """Whether a connection that has been idle for so many seconds is to be closed."""
        if self._patient:
            return waited > min(PATIENT_SECONDS, self.limits.idle)
        return self.draining or waited > self.limits.idle

    async def flushed(self) -> None:
        """Close every connection that answers nothing, and wait until what was written has left."""
        for connection in list(self.connections):
            connection.close_unless_busy(receiving=False)
        await self._until(lambda: not self.connections)

    async def say_end(self) -> None:
        """Have whoever is still being answered told that nothing more comes, and wait a moment until that has left."""
        self.ending = True
        for connection in list(self.connections):
            _stop(connection)
        try:
            async with self.clock.timeout(FAREWELL_SECONDS):
                await self._until(lambda: not self.connections)
        except TimeoutError:
            pass

    async def cut(self) -> None:
        """Close what is left at once."""
        tasks = [connection.task for connection in self.connections if connection.task is not None]
        for connection in list(self.connections):
            connection.abort()
        if tasks:
            await asyncio.wait(tasks)
        self._sweep.end()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._changed = asyncio.get_running_loop().create_future()
            await self._changed

    def settle(self) -> None:
        """A request was answered or a connection is gone: tell the drain, if one waits."""
        if self._changed is not None and not self._changed.done():
            self._changed.set_result(None)

    def _crowded(self) -> bool:
        return self.draining or len(self.connections) > CROWDED * self.limits.max_connections

    def _note_date(self) -> None:
        self.date = b"date: %b\r\n" % formatdate(self.clock.wall(), usegmt=True).encode()


class ServerConnection(asyncio.Protocol):
    """One caller's connection.

    Attributes:
        task: what answers its requests, one after the other; None until the first.
        busy: whether a request is being answered.
        counted: bytes of its body among the listener's `bodies`.
        outside: there was no room for it.
        peer: the address at its other end.
        resumed: done once the caller has read enough for more to be written; None while it may be.
    """

    __slots__ = (
        "_held", "_known", "_lingers", "_listener", "_loop", "_parser", "_refused", "_since", "_stalled_at",
        "_transport", "_unsent", "_wake", "_work", "busy", "counted", "outside", "peer", "resumed", "task",
    )  # fmt: skip

    def __init__(self, listener: Listener, refused: Refused | None = None) -> None:
        self.task: asyncio.Task[None] | None = None
        self.busy = False
        self.peer: str | None = None
        self._work: Coroutine[Any, Any, None] | None = None
        # Done with what its task does next, None for nothing more.
        self._wake: asyncio.Future[Coroutine[Any, Any, None] | None] | None = None
        self._listener = listener
        self._parser = RequestParser(listener.limits.max_body)
        self._transport: asyncio.Transport | None = None
        self._refused = refused
        self.resumed: asyncio.Future[None] | None = None
        self._held = b""
        self._since = listener.clock.monotonic()
        self._stalled_at = 0.0
        self._unsent = 0
        self.counted = 0
        self.outside = False
        self._lingers = False
        # While it rests between two requests, the head that the next one mostly has.
        self._known: KnownHead | None = None

    # --- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        self._loop = asyncio.get_running_loop()
        self.peer = plain_address((transport.get_extra_info("peername") or (None,))[0])
        transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)  # type: ignore[attr-defined]
        excess = self._listener.opened(self)
        if excess > self._listener.limits.polite:
            transport.abort()  # type: ignore[attr-defined]
        elif excess > 0:
            self._refused = Refused(503, "all connections are in use")
        if self._refused is not None:
            self._next()

    def data_received(self, data: bytes) -> None:
        known = self._known
        if known is not None:
            self._known = None
            body = known.body(data)
            if body is not None:
                self._serve(HttpRequest(known.meaning, body))
                return
        parser = self._parser
        if self._refused is not None:
            return  # the answer to what was refused is on its way; the rest is not read
        if parser.ready:
            self._hold(data)
            return
        was_idle = parser.idle
        try:
            parser.feed(data)
        except Refused as refused:
            self._refused = refused
        if not parser.idle and parser.received > LEAST_COUNTED and self._refused is None:
            self._refused = self._listener.take_in(self, parser)
        if self.busy:
            return
        if not parser.idle:
            if was_idle:
                self._since = self._listener.clock.monotonic()
            if parser.wants_continue and self._refused is None and self._transport is not None:
                parser.wants_continue = False
                self.write(CONTINUE)
        self._next()

    def eof_received(self) -> None:
        self._listener.outbox.flush()
        if self._transport is not None and (self.busy or not self._parser.idle):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._parser.close()
        self._refused = None  # its traceback leads back here
        if self.counted and not self.busy:
            self._listener.hold(self, 0)
        self.resume_writing()
        wake = self._wake
        if self.task is None:
            self._listener.closed(self)
        elif wake is not None and not wake.done():
            wake.set_result(None)
        else:
            self.task.cancel()

    def pause_writing(self) -> None:
        self._stalled_at = self._listener.clock.monotonic()
        if self._transport is not None:
            self._unsent = self._transport.get_write_buffer_size()
        self.resumed = self._loop.create_future()
        self._known = None  # its answer may have left after it was done, and the next request is to wait

    def resume_writing(self) -> None:
        self._stalled_at = 0.0
        resumed, self.resumed = self.resumed, None
        if resumed is not None and not resumed.done():
            resumed.set_result(None)
        if not self.busy and self._parser.ready:
            self._next()

    # --- one request after the other

    def _next(self) -> None:
        parser, listener = self._parser, self._listener
        for _ in range(_AT_ONCE):
            transport = self._transport
            if transport is None or self.busy or self._lingers or transport.is_closing():
                return
            if not parser.ready:
                if self._refused is not None:
                    listener.refuse(self._refused, SocketExchange(self, listener, self.peer, keep_alive=False))
                    self._linger(transport)
                elif listener.draining and parser.idle and listener.closes_idle(0.0):
                    self._close()
                return
            if self.resumed is not None:
                return  # a caller that does not take its answers gets no further ones
            request = parser.ready.popleft()
            if self._held and not parser.ready:
                self._release()
            if self._serve(request):
                return
        if parser.ready or self._refused is not None:
            self._loop.call_soon(self._next)

    def _serve(self, request: HttpRequest) -> bool:
        """Have a request answered; returns whether that takes a while."""
        listener, head = self._listener, request.head
        going_on = head.keep_alive and not listener.draining
        exchange = SocketExchange(self, listener, self.peer, going_on, head)
        work = listener.handle(request, exchange)
        if work is None:
            exchange.close(go_on=False)
            return False
        self.busy = True
        wake = self._wake
        if wake is not None:
            wake.set_result(work)
            return True
        self._work = work
        if self.task is None:
            self.task = self._loop.create_task(self._answer())
            self.task.add_done_callback(self._ended)
        return True

    def _hold(self, data: bytes) -> None:
        """Keep what came behind a request that waits its turn, or nothing more once it is too much."""
        if len(self._held) + len(data) <= MAX_HELD:
            self._held += data
            return
        self._held = b""
        self._refused = Refused(400, "too many requests pipelined on one connection")
        self._parser.ready[-1].head.keep_alive = False  # so that nothing is answered after it, this refusal neither

    def _release(self) -> None:
        """Parse on in what was held, until one more request is whole."""
        parser, held, at = self._parser, self._held, 0
        try:
            while at < len(held) and not parser.ready:
                parser.feed(held[at : at + _SLICE])
                at += _SLICE
        except Refused as refused:
            self._refused = refused
            at = len(held)
        self._held = held[at:]

    async def _answer(self) -> None:
        """The connection's one task: making one for each request would cost more than most layers do."""
        create_future = self._loop.create_future
        work, self._work = self._work, None
        while work is not None:  # else the caller has left
            await work
            work = self._work
            if work is not None:
                self._work = None
            else:
                self._wake = wake = create_future()
                work = await wake
                self._wake = None

    def _ended(self, _: object) -> None:
        work, wake = self._work, self._wake
        self._work = self._wake = None
        if wake is not None and wake.done() and not wake.cancelled():
            work = wake.result()
        if work is not None:
            work.close()  # it was to begin when the caller left
        self.busy = False
        self.task = None  # what it was cancelled by leads back here: so that both are gone at once
        if self.counted:
            self._listener.hold(self, 0)
        if self._transport is not None:
            # What was said last still leaves.
            (self._close if self._listener.ending else self.abort)()
        self._listener.closed(self)

    def _linger(self, transport: asyncio.Transport) -> None:
        # Closing with bytes unread resets the connection, and the answer would be lost on its way: so say that
        # nothing more comes, and read on for a moment (RFC 9112, section 9.6). TLS has no way to say it.
        self._since = self._listener.clock.monotonic()
        self._lingers = True
        self._listener.outbox.flush()
        if transport.can_write_eof():
            transport.write_eof()

    # --- limits

    def close_unless_busy(self, *, receiving: bool) -> None:
        """Close unless a request is being answered, or `receiving` and one has begun to come in; what was written
        still leaves."""
        parser = self._parser
        if not self.busy and self._transport is not None and not (receiving and (parser.ready or not parser.idle)):
            self._close()

    def _close(self) -> None:
        """Close once what was written has left."""
        self._listener.outbox.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close at once; the task is cancelled."""
        if self._transport is not None:
            self._listener.outbox.flush()
            self._transport.abort()
        if self.task is not None:
            self.task.cancel()

    def enforce(self, now: float, *, spare: bool = False) -> Found:
        """Close what waits for longer than it may, but only say so of what is late or stuck where that is spared."""
        transport, parser = self._transport, self._parser
        if transport is None:
            return Found.WELL
        waited = now - self._since
        if self._stalled_at or transport.is_closing():
            if self._is_stuck(transport, now):
                if not spare:
                    _reset(transport)
                return Found.STUCK
        elif self.busy:
            return Found.WELL
        elif self._lingers:
            if waited > LINGER_SECONDS:
                transport.abort()
        elif parser.idle:
            if self._listener.closes_idle(waited):
                self._close()
        elif _is_late(parser, waited):
            if not spare:
                self._refused = Refused(408, "the request took too long to arrive")
                self._next()
            return Found.LATE
        elif parser.wants_continue:
            # Its head came while another request was being answered.
            parser.wants_continue = False
            self.write(CONTINUE)
        return Found.WELL

    def _is_stuck(self, transport: asyncio.Transport, now: float) -> bool:
        """Whether what is unsent leaves too slowly."""
        unsent = transport.get_write_buffer_size()
        if not self._stalled_at or unsent + LEAST_TAKEN <= self._unsent:
            self._stalled_at, self._unsent = now, unsent
        return now - self._stalled_at > STALL_SECONDS

    # --- what an exchange writes through

    def write(self, data: bytes) -> bool:
        """Queue bytes; does nothing once the caller is gone. Returns whether writing should wait for `resumed`."""
        self._listener.outbox.flush()
        if self._transport is not None:
            self._transport.write(data)
        return self.resumed is not None


def _stop(connection: ServerConnection) -> None:
    """End what is being answered, saying so, and close."""
    if connection.task is not None and connection.busy:
        connection.task.cancel(STOPPED)
    else:
        connection.close_unless_busy(receiving=False)


def _reset(transport: asyncio.Transport) -> None:
    """Close at once, and have the kernel forget what it holds: it would go on offering it to one that does not read."""
    plug = transport.get_extra_info("socket")
    if plug is not None:
        with suppress(OSError):
            plug.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _FORGET)
    transport.abort()


def _is_late(parser: RequestParser, waited: float) -> bool:
    """Whether a request that began to arrive `waited` seconds ago takes too long."""
    if parser.in_head:
        return waited > HEAD_SECONDS
    rate = LEAST_RATE if waited <= BODY_SECONDS else LARGE_RATE
    return waited > BODY_GRACE and parser.received < rate * waited


@quick
class SocketExchange(msgspec.Struct, eq=False):
    """An `Exchange` that is answered on its caller's connection. Made by C, as one is made for each request.

    Attributes:
        head: the request's.
    """

    _connection: ServerConnection
    _listener: Listener
    peer: str | None
    keep_alive: bool
    head: Head = _NO_HEAD
    started: bool = False
    ended: bool = False
    written: int = 0
    extra: bytes = b""

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """As `Exchange` says, in one write."""
        self.started = self.ended = True
        self.written = size = len(body)
        listener, transport = self._listener, self._connection._transport  # as `push`
        if transport is None:
            return
        if self.extra:
            headers += self.extra
        if not (self.keep_alive and self.head.plain):
            headers += self._told()
            if self.head.method == b"HEAD":
                body = b""
        opening = OK if status == 200 else status_line(status)
        data = b"%b%b%bcontent-length: %d\r\n\r\n%b" % (opening, headers, listener.date, size, body)
        if status == 200:
            listener.outbox.put(transport, data)
        else:  # a refusal is not to wait for those who are answered
            self._connection.write(data)

    def send_nothing(self, headers: bytes) -> None:
        """As `Exchange` says."""
        self.started = self.ended = True
        self._connection.write(
            b"".join((status_line(204), headers, self.extra, self._listener.date, self._told(), b"\r\n"))
        )

    def start(self, status: int, headers: bytes, first: bytes = b"") -> None:
        """As `Exchange` says."""
        chunked = self.head.chunks
        if not chunked:
            self.keep_alive = False
        self.started = True
        head = b"%b%b%b%b%b%b\r\n" % (
            status_line(status),
            headers,
            self.extra,
            self._listener.date,
            b"" if self.keep_alive else _CLOSE,
            _CHUNKED if chunked else b"",
        )
        if first:
            self.written += len(first)
            head += b"%x\r\n%b\r\n" % (len(first), first) if chunked else first
        self._connection.write(head)

    def push(self, data: bytes) -> bool:
        """As `Exchange` says."""
        size, connection = len(data), self._connection
        self.written += size
        transport = connection._transport  # as `write` does, without a call for each read of a stream
        if transport is not None:
            transport.write(b"%x\r\n%b\r\n" % (size, data) if self.head.chunks else data)
        return connection.resumed is not None

    @property
    def stalled(self) -> bool:
        """As `Exchange` says."""
        return self._connection.resumed is not None

    async def drain(self) -> None:
        """As `Exchange` says."""
        resumed = self._connection.resumed
        if resumed is not None:
            await resumed

    def finish(self, last: bytes = b"") -> None:
        """As `Exchange` says."""
        self.ended = True
        self.written += len(last)
        if self.head.chunks:
            last = b"%x\r\n%b\r\n%b" % (len(last), last, LAST_CHUNK) if last else LAST_CHUNK
        self._connection.write(last)

    def close(self, *, go_on: bool = True) -> None:
        """As `Exchange` says: on to the connection's next request (where `go_on`), or close it."""
        connection, listener = self._connection, self._listener
        connection.busy = False
        if connection.counted:
            listener.hold(connection, 0)
        transport, parser, refused = connection._transport, connection._parser, connection._refused
        if listener.draining:
            listener.settle()
        if transport is None:
            return
        now = listener.now
        connection._since = now()
        if not self.ended:
            listener.outbox.flush()
            transport.abort()
        elif not self.keep_alive:
            if refused is None:
                connection._close()
            else:
                connection._linger(transport)
        elif parser.ready or refused is not None or listener.draining:
            if go_on:
                connection._next()
        elif parser.idle and connection.resumed is None:
            connection._known = parser.known

    def _told(self) -> bytes:
        """What is said of whether the connection goes on: HTTP/1.0 does not unless told (RFC 9112, section 9.3)."""
        return _CLOSE if not self.keep_alive else _KEEP if self.head.version != "1.1" else b""
