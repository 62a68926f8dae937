"""One connection to a provider, an asyncio protocol on `wire/h1_response`: one exchange at a time.

`exchange` sends and waits for the head of a stream or the whole of any other answer, `read` and `flow` give a
stream's bytes as they come, and `release` gives the connection back, or closes it when it was not read to its end:
what a cancelled call left unread must never reach the next. Foreign exceptions end here; callers see `UpstreamError`s
only.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol, cast

from penstock.errors import ProtocolError, Unavailable, UpstreamError, UpstreamTimeout
from penstock.transport.origin import Origin
from penstock.transport.outbox import Outbox
from penstock.transport.pieces import READ_BYTES, InPieces
from penstock.transport.tls import ClientContext
from penstock.transport.turns import Turns
from penstock.wire.h1_response import PARSER_ERRORS, Malformed, ResponseHead, ResponseParser
from penstock.wire.known_head import KnownHead

__all__ = ["Connection", "Keeper"]

KIB = 1024

# Reading stops when this much of a stream waits to be passed on (semantics.md: <= 64 KiB a stream), and the whole
# of any other answer is held, so that is capped. A stream is not held, but one without an end is no answer either.
STREAM_HIGH_WATER = 32 * KIB
MAX_UNARY = 64 * KIB * KIB
MAX_STREAM = 1024 * KIB * KIB

NEVER = float("inf")
# By how much sums of times may be off, in seconds, of which a deadline is one.
ROUNDED = 0.001

# How long a provider may take to close a body whose last word it has said.
FINISHING_SECONDS = 1.0

# A model may think for minutes without a byte, and middle boxes forget a silent connection sooner. A peer that does
# not acknowledge what it was sent, probes among them, is taken for dead.
KEEPALIVE_SECONDS = 30
UNACKNOWLEDGED_MS = 30_000

_OPTIONS = (
    (socket.SOL_SOCKET, "SO_KEEPALIVE", 1),
    (socket.IPPROTO_TCP, "TCP_NODELAY", 1),
    (socket.IPPROTO_TCP, "TCP_KEEPIDLE", KEEPALIVE_SECONDS),
    (socket.IPPROTO_TCP, "TCP_KEEPINTVL", KEEPALIVE_SECONDS // 3),
    (socket.IPPROTO_TCP, "TCP_USER_TIMEOUT", UNACKNOWLEDGED_MS),
)


# The head and the body of one that is whole.
Answer = tuple[ResponseHead, bytes]


class Keeper(Protocol):
    """What a connection needs of its pool.

    Attributes:
        buffer: what is read goes through it; one for all of a loop.
        turns: of that loop.
        outbox: requests leave through it.
        looks: when it will next look for connections that have expired.
    """

    buffer: memoryview
    turns: Turns
    outbox: Outbox
    looks: float

    def now(self) -> float:
        """The monotonic time."""
        ...

    def look_at(self, when: float) -> None:
        """Look for connections that have expired sooner than it would."""
        ...

    def keep(self, connection: Connection, now: float | None = None) -> None:
        """Take it back as idle."""
        ...

    def forget(self, connection: Connection) -> None:
        """Drop every trace of it."""
        ...


class Connection(InPieces):
    """One connection to a provider.

    Attributes:
        parser: the answer so far.
        streaming: the answer came as a stream, to be read as it comes; else its body is taken whole from the parser.
        closed: it carries nothing any more.
        reused: it has carried an exchange before.
        expires: when the wait under way is too long; infinite where nobody waits.
        deadline: when the exchange under way is too long, bytes or no bytes; infinite unless it is set meanwhile.
        address: what it is connected to, "" in this process.
        retires: after when it is not kept for another exchange.
        rests: seconds that it is kept without one.
        counted: it has one of its origin's places.
    """

    __slots__ = (
        "_error",
        "_finishing",
        "_known",
        "_left",
        "_now",
        "_pool",
        "_promise",
        "_put",
        "_silence",
        "_sink",
        "_streamed",
        "_waiter",
        "_whole",
        "address",
        "counted",
        "deadline",
        "expires",
        "origin",
        "parser",
        "rests",
        "retires",
        "reused",
        "streaming",
    )

    def __init__(self, pool: Keeper, origin: Origin) -> None:
        super().__init__(pool.buffer, pool.turns)
        self.origin = origin
        self.parser = ResponseParser()
        self.reused = False
        self.expires = NEVER
        self.deadline = NEVER
        self.address = ""
        self.retires = self.rests = NEVER
        self.counted = False
        self._left = MAX_STREAM
        self._pool = pool
        self._now = pool.now
        self._put = pool.outbox.put
        self._waiter: asyncio.Future[Answer | None] | None = None
        self._known: KnownHead | None = None  # an answer with this head may go past the parser
        self._whole = False  # one did, and is all that came
        self._error: UpstreamError | None = None
        self._finishing = False
        self._silence = 0.0
        self._sink: Callable[[list[bytes]], bool] | None = None
        self._streamed = False
        self.streaming = False

    # --- the caller's side

    def exchange(
        self, payload: bytes, *, stream: bool, timeout: float, now: float | None = None, direct: bool = False
    ) -> asyncio.Future[Answer | None]:
        """Send a request; what is to be awaited is done with the head if the answer is a stream, else with all of it.

        Args:
            payload: the whole request.
            stream: a stream was asked for, so anything but JSON is taken as one.
            timeout: seconds until then.
            now: the time, where the caller has just read it.
            direct: an answer that needs no parsing may be given as what was awaited, past the parser: its head and its
                body.

        Raises:
            Unavailable, UpstreamTimeout, ProtocolError: and the connection must be released.
        """
        self._streamed = stream
        self._known = self.parser.whole if direct and not stream else None
        if self.closed or self._error is not None:
            raise self._error or Unavailable("the provider closed the connection", do="Try again.")
        rewrite = self.origin.rewrite
        if rewrite is not None:
            payload = rewrite(payload)
        expires = self.expires = (self._now() if now is None else now) + timeout
        if expires < self._pool.looks:
            self._pool.look_at(expires)
        waiter = self._waiter = self._promise()
        self._put(self._transport, payload, waiter)  # type: ignore[arg-type]
        return waiter

    async def read(self, timeout: float) -> bytes:
        """The next bytes of a streamed body, b"" at its end.

        Raises:
            Unavailable, UpstreamTimeout, ProtocolError: it broke off, was silent for `timeout` seconds, or is invalid.
        """
        parser = self.parser
        while not parser.pending:
            if parser.complete:
                return b""
            if self._error is not None:
                raise self._error
            if self._paused:
                self._resume()
            await self._wait(timeout)
        data = parser.take()
        if self._paused:
            self._resume()
        return data

    async def flow(self, sink: Callable[[list[bytes]], bool], timeout: float) -> bool:
        """Hand a streamed body to `sink` as it comes, without waking anybody for each piece.

        Args:
            sink: takes the next bytes, in the pieces in which the provider sent them, and must not keep the list;
                returns True to be given no more for now.
            timeout: the longest silence.

        Returns:
            True at the end of the body, False where the sink wants no more: reading has stopped then.

        Raises:
            Unavailable, UpstreamTimeout, ProtocolError: as `read`.
        """
        parser = self.parser
        if parser.pending and sink([parser.take()]):
            return False
        if parser.complete:
            return True
        if self._error is not None:
            raise self._error
        self._sink, self._silence = sink, timeout
        if self._paused:
            self._resume()
        try:
            await self._wait(timeout)
            return parser.complete and self._sink is not None
        finally:
            self._sink = None

    def release(self, now: float | None = None) -> None:
        """Give the connection back; closes it unless the answer was read to its end. Safe more than once.

        Args:
            now: the time, where the caller has just read it.
        """
        transport = self._transport
        if self._whole and not self.closed and self._error is None and transport.get_write_buffer_size() == 0:  # type: ignore[union-attr]
            self._whole = False
            self._pool.keep(self, now)
            return
        waiter = self._waiter
        if waiter is not None and waiter.done():
            self._waiter = None
            self.expires = NEVER
            if not waiter.cancelled():
                waiter.exception()  # who waited may have been cancelled in the same moment, and not look at it
        if self.closed or transport is None:
            self._error = None  # what was raised leads back here
            return
        parser = self.parser
        if (
            parser.complete
            and not parser.surplus
            and parser.keep_alive
            and not parser.pending
            and self._error is None
            and transport.get_write_buffer_size() == 0
        ):
            parser.reset()
            if self._paused:
                self._resume()  # the end may come behind what was too much, in one piece with it
            self.streaming = False
            self.deadline = NEVER
            if self._left != MAX_STREAM:
                self._left = MAX_STREAM
            self._pool.keep(self, now)
        else:
            self.discard()
            self._error = None

    def finish(self) -> None:
        """Give the connection back when the rest of the body has come, of which nobody wants anything.

        A provider that has said its last word mostly closes the body a moment later; waiting for that keeps the
        connection usable, and nobody waits meanwhile.
        """
        if self.parser.complete or self.closed or self._error is not None:
            self.release()
            return
        self._finishing = True
        self.parser.take()
        if self._paused:
            self._resume()
        self.expires = self._now() + FINISHING_SECONDS
        if self.expires < self._pool.looks:
            self._pool.look_at(self.expires)

    def note_session(self) -> None:
        """Remember the TLS session: by the end of a first exchange the server's tickets have come."""
        tls = self.origin.tls
        if isinstance(tls, ClientContext) and self._transport is not None:
            secured: ssl.SSLObject | None = self._transport.get_extra_info("ssl_object")
            if secured is not None:
                tls.note_session(self.origin.host, secured.session)

    def discard(self) -> None:
        """Close at once, dropping what is unsent or unread."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        else:
            self.parser.close()  # it was never connected: nothing else will
        self._pool.forget(self)

    def expire(self) -> None:
        """Called by the pool when `expires` has passed while somebody waits."""
        if self._finishing:
            self.discard()
            return
        error = UpstreamTimeout("the provider was silent for too long", do="Try again, or raise the timeout.")
        error.late = self._pool.now() >= self.deadline - ROUNDED
        self._fail(error)

    def _wait(self, timeout: float) -> asyncio.Future[Answer | None]:
        if self._error is not None:
            raise self._error
        if self.deadline != NEVER:
            timeout = min(timeout, self.deadline - self._now())
        expires = self.expires = self._now() + timeout
        if expires < self._pool.looks:
            self._pool.look_at(expires)
        waiter = self._waiter = self._promise()
        return waiter

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is None or waiter.done():
            return
        error = self._error
        # What had come of a stream before it failed is read first.
        if error is None or (self.streaming and self.parser.pending):
            self._waiter = None
            waiter.set_result(None)
        else:
            waiter.set_exception(error)
        self.expires = NEVER

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None:
            self._error = error
        self._wake()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self.closed and not self.parser.complete:
            self._paused = True
            self._transport.pause_reading()

    # --- the socket's side

    def buffer_updated(self, nbytes: int) -> None:
        """So much has come. A stream that flows is passed on here: what each of its reads takes is what it costs, and
        between two of them nothing stays in the processor's caches, so it is one function."""
        if nbytes == READ_BYTES and self._turns is not None:
            self._turns.note(self)
        sink = self._sink
        if sink is None:
            self.data_received(self._buffer[:nbytes].tobytes())
            return
        parser, data = self.parser, self._buffer[:nbytes]
        pieces = parser.pending
        try:
            if parser.complete:
                parser.surplus = True
            else:
                parser.feed_body(data)
                if parser.complete or parser.unpaid or not pieces:
                    parser.account(nbytes)
        except PARSER_ERRORS as error:
            try:
                parser.judge(error)
            except Malformed as malformed:
                self._fail(_invalid(malformed))
                return
        if pieces:
            full = sink(pieces)
            pieces.clear()
            if full:
                self._sink = None
                if not parser.complete:
                    self._pause()
                self._wake()
                return
            expires = self._now() + self._silence
            self.expires = expires if expires < self.deadline else self.deadline
        self._left -= nbytes
        if parser.complete:
            self._wake()
        elif self._left < 0:
            self._fail(_too_long())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        if self.closed:
            made.abort()  # given up while it was being made
            return
        self._promise = asyncio.get_running_loop().create_future
        plug = transport.get_extra_info("socket")
        if plug is not None and plug.family in (socket.AF_INET, socket.AF_INET6):
            _tune(plug)

    def data_received(self, data: bytes) -> None:
        known, waiter = self._known, self._waiter
        if known is not None:
            self._known = None  # what comes behind the beginning of another is not compared
            body = known.body(data)
            if body is not None and waiter is not None and not waiter.done():
                self.parser.strange = 0
                self._waiter, self._whole, self.expires = None, True, NEVER
                waiter.set_result((known.meaning, body))
                return
        parser = self.parser
        if self._sink is not None:
            _read_again(self, data)
            return
        if self._finishing:
            self._finish_with(data)
            return
        if waiter is None and not self.streaming:
            # Nothing was asked: whatever this is, it answers no request of ours.
            self.discard()
            return
        try:
            parser.feed(data)
        except Malformed as error:
            self._fail(_invalid(error))
            return
        if parser.complete:
            head = parser.head
            if not self.streaming and (self._streamed or head.headers.get(b"content-type", b"")[:5] == b"text/"):
                self.streaming = _is_stream(parser, asked=self._streamed)
            if head.status == 407 and self.origin.rewrite is not None:
                self._fail(_refused_by_proxy())
                return
            if waiter is not None and not waiter.done():
                self._waiter = None
                self.expires = NEVER
                waiter.set_result(None)
        elif parser.head_complete:
            self._body_received(len(data))

    def _body_received(self, size: int) -> None:
        parser = self.parser
        if not self.streaming:
            if parser.pending and _is_stream(parser, asked=self._streamed):
                if parser.status == 407 and self.origin.rewrite is not None:
                    self._fail(_refused_by_proxy())
                    return
                self.streaming = True
                self._wake()
            elif parser.gather() > MAX_UNARY:
                self._fail(ProtocolError(f"the provider's answer is larger than {MAX_UNARY} bytes"))
            return
        self._left -= size
        if self._left < 0:
            self._fail(_too_long())
            return
        if parser.pending:
            self._wake()
            if parser.gather() >= STREAM_HIGH_WATER:
                self._pause()

    def _finish_with(self, data: bytes) -> None:
        parser = self.parser
        try:
            parser.feed(data)
        except Malformed:
            self.discard()
            return
        parser.take()
        if parser.complete:
            self._finishing = False
            self.expires = NEVER
            self.release()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc)
        self.closed = True
        self.parser.close()
        self._pool.forget(self)

    def _end(self, exc: Exception | None) -> None:
        parser = self.parser
        if parser.complete or self._error is not None:
            self._wake()
            return
        if exc is None:
            try:
                parser.eof()
            except Malformed:
                pass
            else:
                self._wake()
                return
        how = "reset" if exc is not None else "closed"
        when = "in the middle of its answer" if parser.head_complete else "before it answered"
        self._fail(Unavailable(f"the provider {how} the connection {when}", do="Try again."))


def _read_again(connection: Connection, data: bytes) -> None:
    """Give it what came of a stream that flows from a transport that has no buffers, as others do."""
    for at in range(0, len(data), READ_BYTES):
        piece = data[at : at + READ_BYTES]
        connection._buffer[: len(piece)] = piece
        connection.buffer_updated(len(piece))


def _refused_by_proxy() -> Unavailable:
    """A 407 is not the provider's answer, and nobody's but the operator's business."""
    return Unavailable("the proxy wants other credentials than its URL has", do="Check the proxy's URL.")


def _invalid(error: Malformed) -> ProtocolError:
    return ProtocolError(f"the provider's answer is {error}", do="Check base_url and the provider.")


def _too_long() -> ProtocolError:
    return ProtocolError(f"the provider's stream is larger than {MAX_STREAM} bytes")


def _tune(plug: Any) -> None:
    for level, name, value in _OPTIONS:
        with suppress(OSError):  # a kernel without the option serves all the same
            if (option := getattr(socket, name, None)) is not None:
                plug.setsockopt(level, option, value)


def _is_stream(parser: ResponseParser, *, asked: bool) -> bool:
    """By the first byte where a stream was asked for: servers put errors under a streaming content type, and
    streams under others. No line of a stream begins with what JSON and HTML begin with."""
    kind = parser.headers.get(b"content-type", b"")
    if not asked or parser.status != 200:
        return kind.startswith(b"text/event-stream")
    first = parser.first_byte()
    if first:
        return first not in b"{[<"
    return kind.startswith(b"text/event-stream")
