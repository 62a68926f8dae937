"""What is read in pieces: a protocol that says how much it takes in one go."""

from __future__ import annotations

import asyncio

__all__ = ["READ_BYTES", "InPieces"]

# Of a provider that sends fast, 256 KiB would else be gone over in one go, which holds all others up for 2 ms.
READ_BYTES = 32 * 1024


class InPieces(asyncio.BufferedProtocol):
    """A protocol whose `data_received` gets at most a buffer at a time, whatever waits in the kernel.

    Args:
        buffer: what is read goes through it; all of one loop may share it, since it is empty between two calls.
    """

    __slots__ = ("_buffer",)

    def __init__(self, buffer: memoryview) -> None:
        self._buffer = buffer

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next piece goes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So much of it is there."""
        self.data_received(bytes(self._buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """What has come; transports that have no buffers call this themselves."""
        raise NotImplementedError
