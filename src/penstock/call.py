"""The shape of everything that can answer: `Call`, what it returns, and how layers wrap it.

A `Call` turns a `Request` into a `Reply`. It returns at the commit point, when the first output (or the whole
unary body) is in hand, and raises a `PenstockError` before that. Whoever holds the `Reply` must `close` it:
that frees the connection, closes the record and runs every layer's end hook, exactly once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

from penstock.events import Event
from penstock.messages import Request
from penstock.usage import Usage

__all__ = ["Call", "Frame", "Layer", "Reply", "Source", "stack"]


T = TypeVar("T")


class Frame:
    """A piece of the answer as the socket gave it: whole events of a stream, or the one body of a unary answer."""

    __slots__ = ("_decode", "_events", "data")

    def __init__(self, data: bytes, decode: Callable[[bytes], list[Event]]) -> None:
        self.data = data
        self._decode = decode
        self._events: list[Event] | None = None

    @property
    def events(self) -> list[Event]:
        """The events in it, decoded when first asked for."""
        if self._events is None:
            self._events = self._decode(self.data)
        return self._events


class Source(Protocol):
    """Where a streamed reply's frames come from."""

    async def read(self) -> Frame | None:
        """The next frame, None at the end. Never raises for what the provider does: that is told in a frame."""
        ...

    async def pump(self, push: Callable[[bytes], bool], drain: Callable[[], Awaitable[None]]) -> None:
        """All frames' bytes from here on, given to `push`; where it returns True, `drain` is awaited before more."""

    @property
    def usage(self) -> Usage:
        """The provider's count so far; else an estimate of what has passed, marked as one."""
        ...

    def decode(self, data: bytes) -> list[Event]:
        """The events in whole frames' bytes."""
        ...

    def close(self) -> None:
        """Give everything back; safe at any time and more than once."""


class Reply:
    """A committed answer.

    Args:
        answer: the one frame of a unary answer, or the source of a stream's.

    Attributes:
        status: HTTP status for a caller of the same dialect.
        content_type: as the provider sent it.
        dialect: what its bytes are written in; the caller's, or another that must be translated for it.
        headers: further response headers that may pass to the caller.
        streaming: whether frames are events of a stream; else there is exactly one frame.
        taps: called with each frame as it passes.
    """

    # Defaults stand on the class: this is made once a request, and a unary answer leaves most of them.
    taps: list[Callable[[Frame], None]] | None = None
    streaming = False
    _ended = False
    _whole: Frame | None = None
    _source: Source | None = None

    def __init__(
        self,
        status: int,
        content_type: bytes,
        answer: Frame | Source,
        headers: Sequence[tuple[bytes, bytes]] = (),
        dialect: str = "",
    ) -> None:
        self.status = status
        self.dialect = dialect
        self.content_type = content_type
        self.headers = headers
        self._hooks: list[tuple[Callable[[Any], None], Any]] = []
        if answer.__class__ is Frame:
            self._whole = answer
        else:
            self.streaming = True
            self._source = answer  # type: ignore[assignment]

    def take(self) -> Frame | None:
        """The whole of a unary answer, once; None for a stream."""
        frame, self._whole = self._whole, None
        if frame is not None and self.taps:
            self._show(frame)
        return frame

    async def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        if self._source is None:
            return self.take()
        frame = await self._source.read()
        if frame is not None and self.taps:
            self._show(frame)
        return frame

    @property
    def usage(self) -> Usage | None:
        """A stream's count so far, or an estimate; None for a unary answer."""
        return self._source.usage if self._source is not None else None

    def decode(self, data: bytes) -> list[Event]:
        """The events in bytes of a stream that `pump` gave."""
        return self._source.decode(data) if self._source is not None else []

    async def pump(self, push: Callable[[bytes], bool], drain: Callable[[], Awaitable[None]]) -> None:
        """The rest of a stream, as bytes given to `push`: the one pump, without a task or a wake-up per piece.

        Args:
            push: takes bytes; returns True where `drain` must be awaited before it is given more.
        """
        source = self._source
        if source is None:
            return
        if not self.taps:
            await source.pump(push, drain)
            return

        def shown(data: bytes) -> bool:
            self._show(Frame(data, source.decode))
            return push(data)

        await source.pump(shown, drain)

    def _show(self, frame: Frame) -> None:
        for tap in self.taps or ():
            tap(frame)

    def tap(self, watch: Callable[[Frame], None]) -> None:
        """Have `watch` called with each frame from now on."""
        self.taps = [*(self.taps or ()), watch]

    def on_end(self, hook: Callable[[T], None], what: T) -> None:
        """Call `hook(what)` once, when the reply is closed, innermost layer's first."""
        self._hooks.append((hook, what))

    def close(self) -> None:
        """Free what the reply holds, then tell the layers; further calls do nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            if self._source is not None:
                self._source.close()
        finally:
            for hook, what in self._hooks:
                hook(what)

    async def aclose(self) -> None:
        """`close`, for those who hold it in an async context."""
        self.close()


Call = Callable[[Request], Awaitable[Reply]]
Layer = Callable[[Call], Call]


def stack(layers: Sequence[Layer], innermost: Call) -> Call:
    """Wrap `innermost` so that the first layer named sees a request first."""
    call = innermost
    for layer in reversed(layers):
        call = layer(call)
    return call
