"""A provider's streamed answer, frame by frame, watched while it passes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from penstock.call import Frame
from penstock.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    PenstockError,
    ProtocolError,
    StreamInterrupted,
    Unavailable,
    UpstreamError,
    UpstreamTimeout,
)
from penstock.events import Event
from penstock.messages import Request
from penstock.providers.deployment import Deployment
from penstock.records import Attempt, kept
from penstock.transport.http import Connection
from penstock.usage import BYTES_A_TOKEN, Usage
from penstock.wire.dialect import StreamReader

__all__ = ["StreamedAnswer"]

# What may be held back while waiting for a stream's first output; beyond that it commits (house.md: Commit point).
MAX_HELD_BYTES = 64 * 1024

# Bytes that a token has at most, but for a few in a vocabulary.
LONGEST_TOKEN = 16

# A provider that has said its last word but leaves the body open is given this long to close it.
CLOSING_SECONDS = 1.0


class StreamedAnswer:
    """The source of a streamed answer: what was held, then what comes, then the dialect's own end.

    Args:
        request: its attempt is this one; closing fills in what the stream amounted to.
        deployment: whose answer it is.
    """

    __slots__ = (
        "_attempt",
        "_connection",
        "_cut",
        "_cut_at",
        "_deployment",
        "_held",
        "_idle",
        "_left",
        "_over",
        "_reader",
        "_record",
        "_settled",
        "_unread",
        "_wait",
        "_wishes",
        "alike",
        "decode",
    )

    def __init__(
        self,
        connection: Connection,
        reader: StreamReader,
        decode: Callable[[bytes], list[Event]],
        request: Request,
        deployment: Deployment,
    ) -> None:
        self._connection = connection
        self._reader = reader
        self.decode = decode
        self.alike = reader.alike
        self._record = request.record
        self._deployment = deployment
        self._attempt: Attempt = request.attempt
        self._wait, self._idle = request.wait, request.idle
        self._wishes = request.caller.wishes
        self._held = b""
        # What no budget pays for is cut off. A token is hardly ever longer than this, so nothing else is.
        self._cut_at, self._left = request.cut_at, request.cut_at * LONGEST_TOKEN
        self._cut: PenstockError | None = None
        self._over = False
        self._settled = False
        self._unread = False  # the caller has left so much unread that it is waited for

    def begin(self) -> bool:
        """Take what has come; whether the first output is in it, as it mostly is. Else `hold`."""
        reader, data = self._reader, self._connection.parser.take()
        if data:
            self._held = self._judged(reader.feed(data))
            if reader.error is not None and not reader.output:
                raise reader.error
        return reader.output

    async def hold(self) -> None:
        """Read on up to the first output and keep what came.

        Raises:
            UpstreamError: the stream failed before any.
        """
        reader, connection = self._reader, self._connection
        while not reader.output and len(self._held) <= MAX_HELD_BYTES and not self._over:
            self._held += self._take(await connection.read(self._wait))
            if reader.error is not None and not reader.output:
                raise reader.error

    def held(self) -> bytes:
        """What was held back until the first output came, once."""
        data, self._held = self._held, b""
        return data

    async def read(self) -> Frame | None:
        """The next whole events; the last frame may be an error event. None at the end."""
        if self._held:
            return Frame(self.held(), self.decode)
        while not self._over:
            try:
                wait = CLOSING_SECONDS if self._reader.ended else self._idle
                piece = self._take(await self._connection.read(wait))
            except UpstreamError as error:
                piece = self._broken_off(error)
            if piece:
                return Frame(piece, self.decode)
        return None

    @property
    def usage(self) -> Usage:
        """The provider's count so far; else an estimate of what has passed, marked as one."""
        return self._reader.usage

    @property
    def strict(self) -> bool:
        """Whether it tells by `broken` alone that it broke off, and by no event."""
        return self._reader.strict

    @property
    def broken(self) -> UpstreamError | None:
        """Why it broke off before the answer was complete, None where it did not."""
        return None if self._reader.done or self._cut is not None else self._reader.error

    def last_words(self) -> bytes:
        """What tells a caller of it."""
        return self._reader.last_words()

    async def pump(
        self,
        push: Callable[[bytes], bool],
        drain: Callable[[], Awaitable[None]],
        finish: Callable[[bytes], None] | None = None,
    ) -> None:
        """Pass all of it on, each piece as the provider's socket gives it.

        Args:
            push: takes whole events; returns whether `drain` must be awaited before it is given more.
            finish: takes the last of them instead, where what comes is known to be that.
        """
        stalled = False
        if self._held:
            stalled = push(self.held())

        reader, connection = self._reader, self._connection
        feed, parser = reader.feed, connection.parser
        cut_at = self._cut_at

        join, ended = b"".join, reader.ended

        def sink(pieces: list[bytes]) -> bool:
            nonlocal stalled
            if parser.complete:  # so these are hardly text alone, as a reader supposes of pieces
                return last(feed(join(pieces)))
            piece = feed(join(pieces), pieces)
            if reader.ended or cut_at or reader.error is not None:
                return last(piece)
            if piece:
                stalled = push(piece)
            return stalled

        def last(piece: bytes) -> bool:
            nonlocal stalled, ended
            piece = self._judged(piece)
            if parser.complete and not self._over:
                piece += self._take(b"")
                if finish is not None:
                    finish(piece)
                    return True
            if piece:
                stalled = push(piece)
            # After the last word the wait is another one; but there is none where the body has ended with it.
            before, ended = ended, reader.ended
            return stalled or self._over or ended is not before

        while not self._over:
            if stalled:
                stalled = False
                self._unread = True
                await drain()
                self._unread = False
            try:
                if await connection.flow(sink, CLOSING_SECONDS if reader.ended else self._idle):
                    piece = self._take(b"")
                else:
                    continue
            except UpstreamError as error:
                piece = self._broken_off(error)
            if piece:
                push(piece)

    def _take(self, data: bytes) -> bytes:
        """What of the bytes goes on, b"" being the end of the body."""
        reader = self._reader
        if not data:
            self._over = True
            return reader.end()
        return self._judged(reader.feed(data))

    def _judged(self, piece: bytes) -> bytes:
        """What goes on, and what is to be told behind it."""
        if self._reader.error is not None:
            return piece + self._after_error()
        return piece + self._watched(len(piece)) if self._cut_at else piece

    def _watched(self, size: int) -> bytes:
        """So much more has passed: nothing, or the end of a stream that says far more than it was asked for."""
        self._left -= size
        reader = self._reader
        if self._left > 0 or reader.done:
            return b""
        usage, most = reader.usage, self._cut_at
        if usage.output_tokens * BYTES_A_TOKEN <= most * LONGEST_TOKEN and (
            usage.estimated or usage.output_tokens <= most
        ):
            self._left = most * BYTES_A_TOKEN
            return b""
        return self._end_by(
            BudgetExceeded(
                f"{self._deployment.id} says more than the {most} tokens that it was asked for, and a budget holds",
                do="What came so far is unfinished. Ask another model; the operator may report it to the provider.",
            )
        )

    def _broken_off(self, error: UpstreamError) -> bytes:
        """What is told of a connection that failed before the answer was complete."""
        if isinstance(error, UpstreamTimeout) and error.late and self._by_caller() and not self._reader.done:
            return self._end_by(
                DeadlineExceeded(
                    "the request's time was over before its answer was complete",
                    do="What came so far is unfinished. Give it more time, or ask for less output.",
                )
            )
        self._over = True
        return self._reader.end(_in_the_stream(error))

    def _by_caller(self) -> bool:
        """Whether its deadline is its caller's own, and not its model's limit."""
        wishes = self._wishes
        if wishes is None or wishes.deadline is None:
            return False
        return bool(self._record.started + wishes.deadline <= self._connection.deadline)

    def _end_by(self, cut: PenstockError) -> bytes:
        """It is cut off here, which is no fault of its provider's connection: the last words say why."""
        self._cut, self._over = cut, True
        reader, decode = self._reader, self.decode
        self.decode = lambda data: [_named(event, cut) for event in decode(data)]
        told: Any = cut
        return reader.end(told) + (reader.last_words() if reader.strict else b"")

    def _after_error(self) -> bytes:
        """What is still to be told. An answer that ended with an error is over, whatever comes behind that."""
        if not self._reader.done or isinstance(self._reader.error, ProtocolError):
            self._over = True
            return self._reader.end()
        return b""

    def close(self) -> None:
        """Give the connection back, or close it if the stream was not read to its end; close the attempt."""
        if self._settled:
            return
        self._settled = True
        reader, record, attempt = self._reader, self._record, self._attempt
        if reader.ended and not self._over and not self._unread:
            # The caller left at the last word, as OpenAI's own client does: it has had its answer.
            self._over = True
            record.status, record.error = 200, None
            self._connection.finish()
        else:
            self._connection.release()
        attempt.response_model, attempt.finish_reason = kept(reader.model), kept(reader.finish_reason)
        self._deployment.book(record, attempt, reader.usage)
        attempt.dropped_events = reader.dropped
        if reader.error is not None:
            attempt.outcome = attempt.stream_error = reader.error.code
        elif not self._over:
            attempt.outcome = "cancelled"
        else:
            attempt.outcome = "ok"


def _named(event: Event, error: PenstockError) -> Event:
    """The error that ended it as what it is, and not as a provider's of the same words."""
    told: Any = error
    return msgspec.structs.replace(event, error=told) if event.kind == "error" else event


def _in_the_stream(error: UpstreamError) -> UpstreamError:
    """What a broken connection means once the caller has begun to read: its answer is unfinished."""
    if isinstance(error, Unavailable):
        return StreamInterrupted(error.message, do="What came so far is unfinished; send the request again.")
    return error.with_traceback(None)  # which leads to who keeps it
