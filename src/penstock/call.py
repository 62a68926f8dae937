"""The shape of everything that can answer: `Call`, what it returns, and how layers wrap it.

A `Call` turns a `Request` into a `Reply`. It returns at the commit point, when the first output (or the whole
unary body) is in hand, and raises a `PenstockError` before that. Whoever holds the `Reply` must `aclose` it:
that frees the connection, closes the record and runs every layer's end hook, exactly once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from penstock.events import Event
from penstock.messages import Request

__all__ = ["Call", "Frame", "Layer", "Reply", "Source", "stack"]


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
    """Where a reply's frames come from."""

    async def read(self) -> Frame | None:
        """The next frame, None at the end. Never raises for what the provider does: that is told in a frame."""
        ...

    async def aclose(self) -> None:
        """Give everything back; safe at any time and more than once."""


class Reply:
    """A committed answer.

    Attributes:
        status: HTTP status for a caller of the same dialect.
        content_type: as the provider sent it.
        headers: further response headers that may pass to the caller.
        streaming: whether frames are events of a stream; else there is exactly one frame.
    """

    __slots__ = ("_ended", "_hooks", "content_type", "headers", "source", "status", "streaming", "taps")

    def __init__(
        self,
        status: int,
        content_type: bytes,
        source: Source,
        *,
        streaming: bool,
        headers: Sequence[tuple[bytes, bytes]] = (),
    ) -> None:
        self.status = status
        self.content_type = content_type
        self.headers = headers
        self.streaming = streaming
        self.source = source
        self.taps: list[Callable[[Frame], None]] = []
        self._hooks: list[Callable[[], None]] = []
        self._ended = False

    async def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        frame = await self.source.read()
        if frame is not None and self.taps:
            for tap in self.taps:
                tap(frame)
        return frame

    def on_end(self, hook: Callable[[], None]) -> None:
        """Run `hook` once, when the reply is closed, innermost layer's first."""
        self._hooks.append(hook)

    async def aclose(self) -> None:
        """Free what the reply holds, then tell the layers; further calls do nothing."""
        if self._ended:
            return
        self._ended = True
        try:
            await self.source.aclose()
        finally:
            for hook in self._hooks:
                hook()


Call = Callable[[Request], Awaitable[Reply]]
Layer = Callable[[Call], Call]


def stack(layers: Sequence[Layer], innermost: Call) -> Call:
    """Wrap `innermost` so that the first layer named sees a request first."""
    call = innermost
    for layer in reversed(layers):
        call = layer(call)
    return call
