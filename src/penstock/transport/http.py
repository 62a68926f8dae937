"""The connection pool towards providers: one asyncio protocol on `wire/h1`, kept alive per origin.

A `Connection` carries one exchange at a time. `Pool.take` and `connect` hand one out, `exchange` sends and waits for
the head of a stream or the whole of any other answer, `read` and `flow` give a stream's bytes as they come, and
`release` gives the connection back, or closes it when it was not read to its end: what a cancelled call left unread
must never reach the next. Foreign exceptions end here; callers see `UpstreamError`s only.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from penstock.clock import Clock, Timer
from penstock.errors import ProtocolError, Unavailable, UpstreamError, UpstreamTimeout
from penstock.transport import memory
from penstock.wire.h1 import Malformed, ResponseParser

__all__ = ["Connection", "Origin", "Pool"]

KIB = 1024

# Reading stops when this much of a stream waits to be passed on (semantics.md: <= 64 KiB a stream), and the whole
# of any other answer is held, so that is capped.
STREAM_HIGH_WATER = 32 * KIB
MAX_UNARY = 64 * KIB * KIB

# Below what common servers keep an idle connection for, so that it is us who close it: a request sent while the
# other side closes is lost. uvicorn, which most local model servers run on, gives up after 5 s; hosted services
# behind TLS keep 60 s and more.
IDLE_PLAIN = 4.0
IDLE_TLS = 50.0

NEVER = float("inf")

# How long a provider may take to close a body whose last word it has said.
FINISHING_SECONDS = 1.0


class Origin:
    """Where a provider lives. Pools are per origin object.

    Args:
        host, port: where to connect.
        tls: the context to use, None for plain TCP.
        in_process: instead of a socket, makes the protocol of a server in this process.
    """

    __slots__ = ("host", "in_process", "port", "tls")

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        in_process: Callable[[], asyncio.Protocol] | None = None,
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.in_process = in_process

    def __repr__(self) -> str:
        return f"<Origin {'https' if self.tls else 'http'}://{self.host}:{self.port}>"


class Connection(asyncio.Protocol):
    """One connection to a provider.

    Attributes:
        parser: the answer so far.
        streaming: the answer came as a stream, to be read as it comes; else its body is taken whole from the parser.
        closed: it carries nothing any more.
        reused: it has carried an exchange before.
        expires: when the wait under way is too long; infinite where nobody waits.
    """

    __slots__ = (
        "_error",
        "_finishing",
        "_paused",
        "_pool",
        "_silence",
        "_sink",
        "_streamed",
        "_transport",
        "_waiter",
        "closed",
        "expires",
        "origin",
        "parser",
        "reused",
        "streaming",
    )

    def __init__(self, pool: Pool, origin: Origin) -> None:
        self.origin = origin
        self.parser = ResponseParser()
        self.closed = False
        self.reused = False
        self.expires = NEVER
        self._pool = pool
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: UpstreamError | None = None
        self._finishing = False
        self._paused = False
        self._silence = 0.0
        self._sink: Callable[[bytes], bool] | None = None
        self._streamed = False
        self.streaming = False

    # --- the caller's side

    async def exchange(self, payload: bytes, *, stream: bool, timeout: float) -> None:
        """Send a request and wait: for the head if the answer is a stream, for all of it otherwise.

        Args:
            payload: the whole request.
            stream: a stream was asked for, so anything but JSON is taken as one.
            timeout: seconds until then.

        Raises:
            Unavailable, UpstreamTimeout, ProtocolError: and the connection must be released.
        """
        self._streamed = stream
        self.streaming = False
        assert self._transport is not None
        if self.closed:
            raise self._error or Unavailable("the provider closed the connection", do="Try again.")
        if self._error is not None:
            raise self._error
        waiter = self._waiter = self._pool.watch(self, timeout)
        self._transport.write(payload)
        try:
            await waiter
        finally:
            self._waiter = None
            self.expires = NEVER
        # What had come of a stream before it failed is read first.
        if self._error is not None and not (self.streaming and self.parser.pending):
            raise self._error

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

    async def flow(self, sink: Callable[[bytes], bool], timeout: float) -> bool:
        """Hand a streamed body to `sink` as it comes, without waking anybody for each piece.

        Args:
            sink: takes the next bytes; returns True to be given no more for now.
            timeout: the longest silence.

        Returns:
            True at the end of the body, False where the sink wants no more: reading has stopped then.

        Raises:
            Unavailable, UpstreamTimeout, ProtocolError: as `read`.
        """
        parser = self.parser
        if parser.pending and sink(parser.take()):
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
        finally:
            self._sink = None
        return False

    def release(self, now: float | None = None) -> None:
        """Give the connection back; closes it unless the answer was read to its end. Safe more than once.

        Args:
            now: the time, where the caller has just read it.
        """
        transport = self._transport
        if self.closed or transport is None:
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
            self.streaming = False
            self._pool.keep(self, now)
        else:
            self.discard()

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
        self._pool.watch(self, FINISHING_SECONDS)

    def discard(self) -> None:
        """Close at once, dropping what is unsent or unread."""
        self.closed = True
        if self._transport is not None:
            self._transport.abort()
        self._pool.forget(self)

    def expire(self) -> None:
        """Called by the pool when `expires` has passed while somebody waits."""
        if self._finishing:
            self.discard()
            return
        self._fail(UpstreamTimeout("the provider was silent for too long", do="Try again, or raise the timeout."))

    async def _wait(self, timeout: float) -> None:
        if self._error is not None:
            raise self._error
        waiter = self._waiter = self._pool.watch(self, timeout)
        try:
            await waiter
        finally:
            self._waiter = None
            self.expires = NEVER
        if self._error is not None and not self.parser.pending:
            raise self._error

    def _wake(self) -> None:
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _fail(self, error: UpstreamError) -> None:
        if self._error is None:
            self._error = error
        self._wake()

    def _pause(self) -> None:
        if not self._paused and self._transport is not None and not self.closed:
            self._paused = True
            self._transport.pause_reading()

    def _resume(self) -> None:
        self._paused = False
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()

    # --- the socket's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        parser = self.parser
        if self._finishing:
            self._finish_with(data)
            return
        if self._waiter is None and not self.streaming:
            # Nothing was asked: whatever this is, it answers no request of ours.
            self.discard()
            return
        try:
            parser.feed(data)
        except Malformed as error:
            self._fail(ProtocolError(f"the provider's answer is {error}", do="Check base_url and the provider."))
            return
        if parser.complete:
            if not self.streaming and (self._streamed or parser.headers.get(b"content-type", b"")[:5] == b"text/"):
                self.streaming = self._is_stream()
            waiter = self._waiter
            if waiter is not None and not waiter.done():
                waiter.set_result(None)
        elif parser.head_complete:
            self._body_received()

    def _body_received(self) -> None:
        parser = self.parser
        if not self.streaming:
            if parser.pending and self._is_stream():
                self.streaming = True
                self._wake()
            elif parser.gather() > MAX_UNARY:
                self._fail(ProtocolError(f"the provider's answer is larger than {MAX_UNARY} bytes"))
            return
        if parser.pending:
            sink = self._sink
            if sink is not None:
                self.expires = self._pool.now() + self._silence
                if sink(parser.take()):
                    self._sink = None
                    self._pause()
                    self._wake()
                return
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

    def _is_stream(self) -> bool:
        """By the first byte where a stream was asked for: servers put errors under a streaming content type, and
        streams under others. No line of a stream begins with what JSON and HTML begin with."""
        parser = self.parser
        kind = parser.headers.get(b"content-type", b"")
        if not self._streamed or parser.status != 200:
            return kind.startswith(b"text/event-stream")
        first = parser.first_byte()
        if first:
            return first not in b"{[<"
        return kind.startswith(b"text/event-stream")

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


class Pool:
    """Connections to every provider of one gateway, on one loop.

    Attributes:
        opened: connections opened since the start, by TCP (or in process).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now = clock.monotonic
        self._idle: dict[Origin, dict[Connection, float]] = {}
        self._all: dict[Connection, None] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self.opened = 0

    def __repr__(self) -> str:
        idle = sum(len(connections) for connections in self._idle.values())
        return f"<Pool {len(self._all)} open, {idle} idle>"

    @property
    def open(self) -> int:
        """Connections open now."""
        return len(self._all)

    @property
    def busy(self) -> int:
        """Connections open and not idle."""
        return len(self._all) - sum(len(connections) for connections in self._idle.values())

    def take(self, origin: Origin) -> Connection | None:
        """The connection that was idle for the shortest time, None if there is none."""
        idle = self._idle.get(origin)
        if not idle:
            return None
        connection, _ = idle.popitem()
        connection.reused = True
        return connection

    async def connect(self, origin: Origin, timeout: float) -> Connection:
        """A new connection.

        Raises:
            Unavailable: it cannot be reached (nothing was sent).
            UpstreamTimeout: not within `timeout` seconds.
        """
        loop = self._loop = asyncio.get_running_loop()
        connection = Connection(self, origin)
        # Registered first: a connection made for a caller that is cancelled at this await must be found and closed.
        self._all[connection] = None
        try:
            if origin.in_process is not None:
                memory.pipe(loop, connection, origin.in_process())
            else:
                async with self._clock.timeout(timeout):
                    await loop.create_connection(
                        lambda: connection,
                        origin.host,
                        origin.port,
                        ssl=origin.tls,
                        server_hostname=origin.host if origin.tls else None,
                    )
        except TimeoutError:
            connection.discard()
            raise UpstreamTimeout(f"no connection to the provider within {timeout:g} s", do="Try again.") from None
        except (OSError, ssl.SSLError) as error:
            connection.discard()
            raise Unavailable(
                f"no connection to the provider: {_reason(error)}", do="Check its base_url and that it is up."
            ) from error
        except BaseException:
            connection.discard()
            raise
        self.opened += 1
        return connection

    def keep(self, connection: Connection, now: float | None = None) -> None:
        """Take a connection back as idle."""
        origin = connection.origin
        idle = self._idle.get(origin)
        if idle is None:
            idle = self._idle[origin] = {}
        expires = (self.now() if now is None else now) + (IDLE_PLAIN if origin.tls is None else IDLE_TLS)
        idle[connection] = expires
        if self._timer is None or expires < self._timer_at:
            self._schedule(expires)

    def forget(self, connection: Connection) -> None:
        """Drop every trace of a closed connection."""
        self._all.pop(connection, None)
        idle = self._idle.get(connection.origin)
        if idle is not None:
            idle.pop(connection, None)
            if not idle:
                del self._idle[connection.origin]

    def watch(self, connection: Connection, timeout: float) -> asyncio.Future[None]:
        """A future for the connection to complete; it is expired if that takes longer than `timeout` seconds.

        One timer serves all connections: it stands at the earliest expiry, and most exchanges end long before.
        """
        expires = connection.expires = self.now() + timeout
        if self._timer is None or expires < self._timer_at:
            self._schedule(expires)
        loop = self._loop
        if loop is None:
            loop = self._loop = asyncio.get_running_loop()
        return loop.create_future()

    def _schedule(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._clock.call_later(max(0.0, at - self._clock.monotonic()), self._sweep)

    def _sweep(self) -> None:
        self._timer = None
        now = self._clock.monotonic()
        upcoming = NEVER
        for connection in list(self._all):
            if connection.expires <= now:
                connection.expires = NEVER
                connection.expire()
            elif connection.expires < upcoming:
                upcoming = connection.expires
        for connections in list(self._idle.values()):
            for connection, expires in list(connections.items()):
                if expires <= now:
                    connection.discard()
                else:
                    upcoming = min(upcoming, expires)
        if upcoming != NEVER:
            self._schedule(upcoming)

    async def aclose(self) -> None:
        """Close every connection, busy ones too."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for connection in list(self._all):
            connection.discard()


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is not valid: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"the TLS handshake failed ({error.reason})"
    return error.strerror or type(error).__name__
