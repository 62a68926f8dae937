"""Where a provider's answer comes from, frame by frame: whole, or as a stream that is watched while it passes."""

from __future__ import annotations

from collections.abc import Callable

from penstock.call import Frame
from penstock.errors import ProtocolError, StreamInterrupted, Unavailable, UpstreamError
from penstock.events import Event
from penstock.providers.deployment import Timeouts
from penstock.records import Attempt, Record
from penstock.transport.http import Connection
from penstock.wire.dialect import StreamReader

__all__ = ["StreamedAnswer", "WholeAnswer"]

# What may be held back while waiting for a stream's first output; beyond that it commits (house.md: Commit point).
MAX_HELD_BYTES = 64 * 1024

# A provider that has said its last word but leaves the body open is given this long to close it, so that the
# connection can be used again; nobody waits for more.
CLOSING_SECONDS = 1.0


class WholeAnswer:
    """The source of a unary answer: its one frame."""

    __slots__ = ("_frame",)

    def __init__(self, frame: Frame) -> None:
        self._frame: Frame | None = frame

    async def read(self) -> Frame | None:
        """The frame, then None."""
        frame, self._frame = self._frame, None
        return frame

    async def aclose(self) -> None:
        """Nothing is held: the connection went back when the body was whole."""
        self._frame = None


class StreamedAnswer:
    """The source of a streamed answer: what was held, then what comes, then the dialect's own end.

    Args:
        record: its last attempt is this one; closing fills in what the stream amounted to.
    """

    __slots__ = ("_attempt", "_connection", "_decode", "_held", "_idle", "_over", "_reader", "_record", "_settled")

    def __init__(
        self,
        connection: Connection,
        reader: StreamReader,
        decode: Callable[[bytes], list[Event]],
        record: Record,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self._decode = decode
        self._record = record
        self._attempt: Attempt = record.attempts[-1]
        self._held = b""
        self._idle = 0.0
        self._over = False
        self._settled = False

    async def hold(self, timeouts: Timeouts) -> None:
        """Read up to the first output and keep what came.

        Raises:
            UpstreamError: the stream failed before any.
        """
        self._idle = timeouts.idle
        reader = self._reader
        held: list[bytes] = []
        size = 0
        while not reader.output and size <= MAX_HELD_BYTES:
            data = await self._connection.read(timeouts.output)
            piece = reader.feed(data) if data else reader.end()
            if reader.error is not None and not reader.output:
                raise reader.error
            held.append(piece)
            size += len(piece)
            if not data:
                self._over = True
                break
        self._held = b"".join(held)

    async def read(self) -> Frame | None:
        """The next whole events; the last frame may be an error event. None at the end."""
        if self._held:
            data, self._held = self._held, b""
            return Frame(data, self._decode)
        reader = self._reader
        while not self._over:
            try:
                data = await self._connection.read(CLOSING_SECONDS if reader.done else self._idle)
            except UpstreamError as error:
                self._over = True
                piece = reader.end(_in_the_stream(error))
            else:
                piece = reader.feed(data) if data else reader.end()
                if not data:
                    self._over = True
                elif isinstance(reader.error, ProtocolError):
                    self._over = True
                    piece += reader.end()
            if piece:
                return Frame(piece, self._decode)
        return None

    async def aclose(self) -> None:
        """Give the connection back, or close it if the stream was not read to its end; close the attempt."""
        if self._settled:
            return
        self._settled = True
        self._connection.release()
        reader, record, attempt = self._reader, self._record, self._attempt
        record.usage, record.response_model, record.finish_reason = reader.usage, reader.model, reader.finish_reason
        record.dropped_events = reader.dropped
        if reader.error is not None:
            attempt.outcome = record.stream_error = reader.error.code
        elif not self._over:
            attempt.outcome = "cancelled"
        else:
            attempt.outcome = "ok"


def _in_the_stream(error: UpstreamError) -> UpstreamError:
    """What a broken connection means once the caller has begun to read: its answer is unfinished."""
    if isinstance(error, Unavailable):
        return StreamInterrupted(error.message, do="What came so far is unfinished; send the request again.")
    return error
