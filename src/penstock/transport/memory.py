"""The in-memory wire: two asyncio transports joined back to back, on any asyncio loop.

The simulated provider answers over it inside the caller's own process, and `network` builds whole simulated
networks on it. Here, and in `network`, `loop.call_soon` and `call_later` are called directly, for these files
are the network itself and not users of a clock.
"""

from __future__ import annotations

import asyncio
import errno
import itertools
from collections import deque
from contextvars import Context, copy_context
from typing import Any, cast
from weakref import WeakSet

from penstock.transport.pieces import InPieces

__all__ = ["CAPACITY", "Address", "Lane", "MemoryTransport", "open_transports", "pipe", "reset_error", "start"]

Address = tuple[str, int]

CAPACITY = 64 * 1024
"""Bytes of one direction that the wire holds, as a kernel's socket buffers do; what is above waits in the writer."""
_READ = 256 * 1024  # the most one data_received gets, as in asyncio's own transports
_HIGH = 64 * 1024  # asyncio's default for pause_writing

_OPEN, _CLOSING, _LOST, _GONE = range(4)  # _LOST: connection_lost is on its way; _GONE: it was called
_NOBODY = asyncio.Protocol()  # listens once an end is gone, so that the end keeps nobody alive

_transports: WeakSet[MemoryTransport] = WeakSet()
_serial = itertools.count()


def reset_error() -> ConnectionResetError:
    """What an end is told when the other one aborted, or was written to after it had closed."""
    return ConnectionResetError(errno.ECONNRESET, "connection reset by peer")


class Lane:
    """One direction of a connection: what its sender has written and its receiver has not read.

    Bytes come first, then a reset or the end of the stream; all of it waits while the receiver does not read.
    """

    __slots__ = ("capacity", "chunks", "fin", "loop", "receiver", "rst", "scheduled", "sender", "size")

    sender: MemoryTransport
    receiver: MemoryTransport

    def __init__(self, loop: asyncio.AbstractEventLoop, capacity: int = CAPACITY) -> None:
        self.loop = loop
        self.capacity = capacity
        self.chunks: deque[bytes | memoryview] = deque()
        self.size = 0
        self.fin = False
        self.rst = False
        self.scheduled = False

    def push(self, data: bytes) -> None:
        """Take bytes from the sender."""
        self.chunks.append(data)
        self.size += len(data)
        self.wake()

    def end(self) -> None:
        """The sender will send no more."""
        self.fin = True
        self.wake()

    def refuse(self) -> None:
        """Break the connection for the receiver, after the bytes that are already under way."""
        self.rst = True
        self.wake()

    def reset(self) -> None:
        """Break the connection for the receiver and forget the bytes that are under way."""
        self.chunks.clear()
        self.size = 0
        self.refuse()

    def wake(self) -> None:
        """Deliver at the loop's next turn, in the receiver's own context as a socket's reader would."""
        if not self.scheduled:
            self.scheduled = True
            self.loop.call_soon(self.run, context=self.receiver.context)

    def run(self) -> None:
        """Deliver once: one piece of data, the end, or the reset."""
        self.scheduled = False
        receiver = self.receiver
        if receiver.state == _GONE:
            self._bounce(receiver)
            return
        if not receiver.is_reading():
            return
        try:
            self.deliver(receiver)
        except Exception as error:  # noqa: BLE001 - a protocol may raise anything; the handler and it are told
            report = {"message": "a protocol's callback failed", "exception": error, "transport": receiver}
            self.loop.call_exception_handler({**report, "protocol": receiver.get_protocol()})
            receiver.fail(error)
        self.sender.sent()
        if (self.chunks or self.fin or self.rst) and receiver.is_reading():
            self.wake()

    def deliver(self, receiver: MemoryTransport) -> None:
        """Hand the next thing over; raises whatever the receiver's protocol raises."""
        protocol = receiver.get_protocol()
        if self.chunks:
            data = self.take()
            self.size -= len(data)
            protocol.data_received(data)
        elif self.rst:
            receiver.fail(reset_error())
        elif self.fin:
            self.fin = False
            if not protocol.eof_received():
                receiver.close()

    def take(self) -> bytes:
        """The next piece of data."""
        return self.pull(_READ)

    def pull(self, limit: int) -> bytes:
        """At most `limit` bytes off the front, neighbours joined. Views, so that tearing a big chunk copies it once."""
        chunks = self.chunks
        first = chunks.popleft()
        if len(first) > limit:
            view = memoryview(first)
            chunks.appendleft(view[limit:])
            return bytes(view[:limit])
        if not chunks:
            return bytes(first)
        parts, size = [first], len(first)
        while chunks and size + len(chunks[0]) <= limit:
            size += len(chunks[0])
            parts.append(chunks.popleft())
        return b"".join(parts)

    def spill(self) -> bool:
        """Drop what is unread, for there is nobody to read it; whether there was anything."""
        if not self.chunks:
            return False
        self.chunks.clear()
        self.size = 0
        self.sender.sent()
        return True

    def _bounce(self, receiver: MemoryTransport) -> None:
        # Data for a closed socket is answered by a reset (RFC 9293, section 3.10.7.1), which the sender finds
        # behind what it has still to read; one that does not read learns it from its own write.
        if self.spill():
            if self.sender.is_reading():
                receiver.outgoing.refuse()
            else:
                self.sender.fail(reset_error())


class MemoryTransport(asyncio.Transport):
    """One end of an in-memory connection; it keeps asyncio's promises for a TCP transport.

    `abort()` shows at the other end as ConnectionResetError, `close()` as the end of the stream after all bytes.
    `get_extra_info` knows `peername` and `sockname`.
    """

    __slots__ = (
        "__weakref__",
        "_eof",
        "_high",
        "_incoming",
        "_loop",
        "_low",
        "_protocol",
        "_read_paused",
        "_write_paused",
        "context",
        "outgoing",
        "serial",
        "state",
    )

    def __init__(
        self, protocol: asyncio.Protocol, outgoing: Lane, incoming: Lane, context: Context, extra: dict[str, Any]
    ) -> None:
        super().__init__(extra)
        self.serial = next(_serial)
        self.context = context
        self.outgoing = outgoing
        self._incoming = incoming
        self._loop = outgoing.loop
        self._protocol = protocol
        self.state = _OPEN
        self._eof = self._read_paused = self._write_paused = False
        self._high, self._low = _HIGH, _HIGH // 4
        outgoing.sender = incoming.receiver = self
        _transports.add(self)

    def __repr__(self) -> str:
        here, there = (":".join(map(str, self.get_extra_info(name, ("?",)))) for name in ("sockname", "peername"))
        state = ("open", "closing", "closing", "closed")[self.state]
        paused = ", reading paused" if self._read_paused else ""
        return f"<MemoryTransport {here} -> {there} {state}, {self.outgoing.size} bytes unread{paused}>"

    def get_protocol(self) -> asyncio.Protocol:
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        if not isinstance(protocol, asyncio.Protocol | InPieces):
            raise TypeError(f"an in-memory transport needs an asyncio.Protocol, not {type(protocol).__name__}")
        self._protocol = cast(asyncio.Protocol, protocol)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if type(data) is not bytes:
            if not isinstance(data, bytes | bytearray | memoryview):
                raise TypeError(f"data must be bytes-like, not {type(data).__name__}")
            data = bytes(data)
        if self._eof:
            raise RuntimeError("write() after write_eof()")
        if self.state or not data:
            return
        lane = self.outgoing
        lane.push(data)
        if lane.size > lane.capacity + self._high and not self._write_paused:
            self._write_paused = True
            self._protocol.pause_writing()

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self.state and not self._eof:
            self._eof = True
            self.outgoing.end()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        if high is None:
            high = _HIGH if low is None else 4 * low
        if low is None:
            low = high // 4
        if not high >= low >= 0:
            raise ValueError(f"high ({high}) must be >= low ({low}) must be >= 0")
        self._high, self._low = high, low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return max(0, self.outgoing.size - self.outgoing.capacity)

    def is_reading(self) -> bool:
        return not self._read_paused and not self.state

    def pause_reading(self) -> None:
        self._read_paused = True

    def resume_reading(self) -> None:
        self._read_paused = False
        self._incoming.wake()

    def is_closing(self) -> bool:
        return self.state != _OPEN

    def close(self) -> None:
        if not self.state:
            self.state = _CLOSING
            self.sent()

    def abort(self) -> None:
        self.fail(None)

    def fail(self, error: Exception | None) -> None:
        """Close now: what is unread at the other end is lost, both protocols' connection_lost follows."""
        if self.state < _LOST:
            self.outgoing.reset()
            self.state = _LOST
            self._loop.call_soon(self._lose, error, context=self.context)

    def sent(self) -> None:
        """Bytes have left: let the protocol write on, or end a close() that waited for them."""
        if self._write_paused and self.get_write_buffer_size() <= self._low:
            self._loop.call_soon(self._resume, context=self.context)
        if self.state == _CLOSING and not self.get_write_buffer_size():
            self.state = _LOST
            self._loop.call_soon(self._lose, None, context=self.context)

    def _resume(self) -> None:
        # Asked again: the protocol may have written more between the call and its turn.
        if self._write_paused and self.get_write_buffer_size() <= self._low:
            self._write_paused = False
            self._protocol.resume_writing()

    def _lose(self, error: Exception | None) -> None:
        self.state = _GONE
        _transports.discard(self)
        if self._incoming.spill():
            self.outgoing.refuse()  # as Linux does where a socket is closed with bytes unread in it
        elif not self._eof:
            self.outgoing.end()
        protocol, self._protocol = self._protocol, _NOBODY
        protocol.connection_lost(error)


def open_transports(loop: asyncio.AbstractEventLoop) -> list[MemoryTransport]:
    """The loop's in-memory transports whose connection_lost has not been called, oldest first."""
    return sorted((end for end in _transports if end.outgoing.loop is loop), key=lambda end: end.serial)


def pipe(
    loop: asyncio.AbstractEventLoop,
    client_protocol: asyncio.BaseProtocol,
    server_protocol: asyncio.Protocol,
    *,
    client_address: Address = ("127.0.0.1", 1),
    server_address: Address = ("127.0.0.1", 0),
) -> tuple[MemoryTransport, MemoryTransport]:
    """Connect two protocols; both have had `connection_made` when this returns (the server first).

    Call it from the loop's thread. The server's callbacks run in an empty context: it is another program.

    Returns:
        The client's transport and the server's.

    Raises:
        whatever a `connection_made` raises.
    """
    up, down = Lane(loop), Lane(loop)
    client = MemoryTransport(
        cast(asyncio.Protocol, client_protocol),
        up,
        down,
        copy_context(),
        {"sockname": client_address, "peername": server_address},
    )
    server = MemoryTransport(
        server_protocol, down, up, Context(), {"sockname": server_address, "peername": client_address}
    )
    start(client, server)
    return client, server


def start(client: MemoryTransport, server: MemoryTransport) -> None:
    """Call both `connection_made`, the server's first; if one raises, abort both ends and raise it."""
    try:
        for end in (server, client):
            end.context.run(end.get_protocol().connection_made, end)
    except BaseException:
        client.abort()
        server.abort()
        raise
