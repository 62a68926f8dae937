"""What is read in pieces: a protocol that says how much it takes in one go."""

from __future__ import annotations

import asyncio
from functools import partial
from itertools import repeat

from penstock.transport.turns import Turns

__all__ = ["READ_BYTES", "InPieces"]

# Of a provider that sends fast, 256 KiB would else be gone over in one go, which holds all others up for 2 ms.
READ_BYTES = 32 * 1024


class InPieces(asyncio.BufferedProtocol):
    """A protocol whose `data_received` gets at most a buffer at a time, whatever waits in the kernel.

    Args:
        buffer: what is read goes through it; all of one loop may share it, since it is empty between two calls.
        turns: of the loop, which all share too; None: as much is read in a turn as there is.

    Attributes:
        closed: it carries nothing any more.
    """

    __slots__ = ("_buffer", "_paused", "_transport", "_turns", "closed", "get_buffer")

    def __init__(self, buffer: memoryview, turns: Turns | None = None) -> None:
        self._buffer = buffer
        self._turns = turns
        self._transport: asyncio.Transport | None = None
        self._paused = False
        self.closed = False
        # Where the next piece goes, whatever size is hinted at. Asked before each read, so it is C: `next` takes the
        # hint for its default.
        self.get_buffer = partial(next, repeat(buffer))  # type: ignore[method-assign]

    def buffer_updated(self, nbytes: int) -> None:
        """So much of it is there."""
        if nbytes == READ_BYTES and self._turns is not None:
            self._turns.note(self)
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """What has come; transports that have no buffers call this themselves."""
        raise NotImplementedError

    def hold(self) -> None:
        """Have nothing more read in this turn of the loop."""
        if self._transport is not None and not self.closed:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Have it read again, unless who takes what is read has enough."""
        if self._transport is not None and not (self.closed or self._paused):
            self._transport.resume_reading()

    def _resume(self) -> None:
        """Who takes what is read wants more."""
        self._paused = False
        if self._transport is not None and not self.closed:
            self._transport.resume_reading()
