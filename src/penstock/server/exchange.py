"""How one request is answered, whatever it came by: on its connection (`protocol.py`), or as ASGI messages."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Exchange"]


class Exchange(Protocol):
    """`send` for a whole answer, or `start`, `push` and `drain`, `finish` for a stream.

    Attributes:
        keep_alive: whether the connection goes on after this answer.
        started: an answer has begun.
        ended: a whole answer was written; without it the connection is cut.
        written: bytes of body.
        peer: the address of who sent this, the caller or the proxy before it; None where that is not known.
        extra: further header lines for whatever the answer will be.
    """

    keep_alive: bool
    started: bool
    ended: bool
    written: int
    peer: str | None
    extra: bytes

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        """A whole answer; `headers` are lines as `encode_headers` makes them."""

    def send_nothing(self, headers: bytes) -> None:
        """A 204, which has no content and therefore no length (RFC 9110, section 8.6)."""

    def start(self, status: int, headers: bytes, first: bytes = b"") -> None:
        """The head of a stream, with its first bytes."""

    def push(self, data: bytes) -> bool:
        """More of a stream, without waiting; returns whether `drain` must be awaited before the next."""
        ...

    @property
    def stalled(self) -> bool:
        """Whether `drain` must be awaited before more is pushed."""
        ...

    async def drain(self) -> None:
        """Wait until the caller has read enough."""

    def finish(self, last: bytes = b"") -> None:
        """The clean end of a stream, in one write with the last of it."""

    def close(self) -> None:
        """Nothing more will be written: what answers calls this at its end, whatever happened."""
