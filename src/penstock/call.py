"""The shape of everything that can answer: `Call`, what it returns, and how layers wrap it.

A `Call` turns a `Request` into a `Reply`. It returns at the commit point, when the first output (or the whole
unary body) is in hand, and raises a `PenstockError` before that. Whoever holds the `Reply` must `close` it:
that frees the connection, closes the record and runs every layer's end hook, exactly once.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from types import FunctionType, MethodType
from typing import Any, Protocol, TypeVar

import msgspec

from penstock.events import Alike, Event
from penstock.messages import Request
from penstock.records import quick
from penstock.usage import Usage

__all__ = ["OURS", "Call", "Frame", "Layer", "Reply", "Source", "bound", "fixed_reply", "stack", "until_over"]


log = logging.getLogger("penstock.layers")

T = TypeVar("T")

# What a reply is written in that no provider gave: its events are all there is.
OURS = "penstock"


class Frame(msgspec.Struct, gc=False, eq=False):
    """A piece of the answer as the socket gave it: whole events of a stream, or the one body of a unary answer.

    Attributes:
        data: the bytes.
        decode: makes them events.
    """

    data: bytes
    decode: Callable[[bytes], list[Event]]
    decoded: list[Event] | None = None

    @property
    def events(self) -> list[Event]:
        """The events in it, decoded when first asked for."""
        if self.decoded is None:
            self.decoded = self.decode(self.data)
        return self.decoded


class Source(Protocol):
    """Where a streamed reply's frames come from."""

    async def read(self) -> Frame | None:
        """The next frame, None at the end. Never raises for what the provider does: that is told in a frame."""
        ...

    def held(self) -> bytes:
        """What was held back until the first output came, once."""
        ...

    async def pump(
        self,
        push: Callable[[bytes], bool],
        drain: Callable[[], Awaitable[None]],
        finish: Callable[[bytes], None] | None = None,
    ) -> None:
        """All frames' bytes from here on, given to `push`; where it returns True, `drain` is awaited before more.

        Where there is `finish`, what is known to be the last of them may be given to that instead.
        """

    @property
    def usage(self) -> Usage:
        """The provider's count so far; else an estimate of what has passed, marked as one."""
        ...

    def decode(self, data: bytes) -> list[Event]:
        """The events in whole frames' bytes."""
        ...

    def alike(self, data: bytes) -> Alike | None:
        """What is known of the very bytes that `pump` is pushing; see `StreamReader`."""
        ...

    def close(self) -> None:
        """Give everything back; safe at any time and more than once."""


@quick
class Reply(msgspec.Struct, eq=False):
    """A committed answer.

    Attributes:
        status: HTTP status for a caller of the same dialect.
        content_type: as the provider sent it.
        answer: the one frame of a unary answer, or the source of a stream's.
        dialect: what its bytes are written in; the caller's, or another that must be translated for it.
        headers: further response headers that may pass to the caller.
        taps: called with each frame as it passes.
        taken: the frame of a unary answer is out.
        hooks: what `on_end` was told.
        ended: it is closed.
    """

    status: int
    content_type: bytes
    answer: Frame | Source
    headers: Sequence[tuple[bytes, bytes]] = ()
    dialect: str = ""
    taps: list[Callable[[Frame], None]] | None = None
    taken: bool = False
    hooks: list[tuple[Callable[[Any], None], Any]] = []
    ended: bool = False

    @property
    def streaming(self) -> bool:
        """Whether frames are events of a stream; else there is exactly one frame."""
        return self.answer.__class__ is not Frame

    def _source(self) -> Source | None:
        return None if self.answer.__class__ is Frame else self.answer  # type: ignore[return-value]

    def take(self) -> Frame | None:
        """The whole of a unary answer, once; None for a stream."""
        frame = self.answer
        if frame.__class__ is not Frame or self.taken:
            return None
        self.taken = True
        if self.taps:
            self._show(frame)
        return frame

    async def read(self) -> Frame | None:
        """The next frame, or None at the end."""
        source = self._source()
        if source is None:
            return self.take()
        frame = await source.read()
        if frame is not None and self.taps:
            self._show(frame)
        return frame

    @property
    def usage(self) -> Usage | None:
        """A stream's count so far, or an estimate; None for a unary answer."""
        source = self._source()
        return source.usage if source is not None else None

    def decode(self, data: bytes) -> list[Event]:
        """The events in bytes of a stream that `pump` gave."""
        source = self._source()
        return source.decode(data) if source is not None else []

    def alike(self, data: bytes) -> Alike | None:
        """What is known of the very bytes that `pump` is pushing; see `StreamReader`."""
        source = self._source()
        return source.alike(data) if source is not None else None

    def begin(self) -> bytes:
        """The beginning of a stream, which `pump` goes on with: what came up to its first output."""
        source = self.answer
        if isinstance(source, Frame):
            return b""
        data = source.held()
        if data and self.taps:
            self._show(Frame(data, source.decode))
        return data

    def pump(
        self,
        push: Callable[[bytes], bool],
        drain: Callable[[], Awaitable[None]],
        finish: Callable[[bytes], None] | None = None,
    ) -> Awaitable[None]:
        """The rest of a stream, as bytes given to `push`: the one pump, without a task or a wake-up per piece.

        Args:
            push: takes bytes; returns True where `drain` must be awaited before it is given more.
            finish: may be given the last of them instead, for one write with the end.
        """
        source = self.answer
        assert not isinstance(source, Frame)
        if not self.taps:
            return source.pump(push, drain, finish)

        def shown(data: bytes) -> bool:
            self._show(Frame(data, source.decode))
            return push(data)

        return source.pump(shown, drain)

    def _show(self, frame: Frame) -> None:
        for tap in self.taps or ():
            try:
                tap(frame)
            except Exception as error:
                log.error("%s failed, and is shown no more of this reply", _name(tap), exc_info=error)
                self.taps = [each for each in self.taps or () if each is not tap]

    def tap(self, watch: Callable[[Frame], None]) -> None:
        """Have `watch` called with each frame from now on."""
        self.taps = [*(self.taps or ()), watch]

    def on_end(self, hook: Callable[[T], None], what: T) -> None:
        """Call `hook(what)` once, when the reply is closed, innermost layer's first."""
        self.hooks.append((hook, what))

    def close(self) -> None:
        """Free what the reply holds, then tell the layers; further calls do nothing."""
        if self.ended:
            return
        self.ended = True
        try:
            if self.answer.__class__ is not Frame:
                self.answer.close()  # type: ignore[union-attr]
        finally:
            for hook, what in self.hooks:
                try:
                    hook(what)
                except Exception as error:
                    log.error("%s failed at the end of a reply", _name(hook), exc_info=error)

    async def aclose(self) -> None:
        """`close`, for those who hold it in an async context."""
        self.close()


def fixed_reply(text: str, model: str, headers: Sequence[tuple[bytes, bytes]] = ()) -> Reply:
    """A whole answer that is made here and used nothing; it is said in whatever the caller speaks, as a stream too."""
    events = [
        Event("start", model=model),
        Event("text", text=text),
        Event("usage", usage=Usage()),
        Event("finish", finish_reason="stop"),
        Event("end"),
    ]
    return Reply(200, b"application/json", Frame(b"", lambda data: events), headers, OURS)


async def until_over(call: Call, request: Request, over: Callable[[], object]) -> Reply:
    """The call's reply, with something that is done once it is over: at once where it is whole or there is none, a
    stream's when it is closed."""
    try:
        reply = await call(request)
    except BaseException:
        over()
        raise
    if reply.streaming:
        reply.hooks.append((_do, over))
    else:
        over()
    return reply


def _do(over: Callable[[], object]) -> None:
    over()


def _name(hook: Callable[..., object]) -> str:
    return f"{getattr(hook, '__module__', '?')}:{getattr(hook, '__qualname__', type(hook).__qualname__)}"


Call = Callable[[Request], Awaitable[Reply]]
Layer = Callable[[Call], Call]


def stack(layers: Sequence[Layer], innermost: Call) -> Call:
    """Wrap `innermost` so that the first layer named sees a request first."""
    call = bound(innermost)
    for layer in reversed(layers):
        call = bound(layer(call))
    return call


def bound(call: Call) -> Call:
    """The same as a function or a method."""
    # Calling an object goes through its type's slot every time; a method does not.
    return call if isinstance(call, FunctionType | MethodType) else call.__call__  # type: ignore[operator]
