"""What many connections have to say in one turn of the loop, written together behind it.

A write goes all the way through the kernel, on the same machine to its receiver's socket, and leaves little in the
processor's caches of what the loop was doing. A turn that answers many requests is quicker when nothing is written
between them (benchmarks/README.md).
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

__all__ = ["Outbox"]

# So many are written together; then whoever was first has waited for long enough.
MOST = 32
# Where a turn has fewer there is nothing to gain: so many are written at once before one is put off again, to see.
FEW = 4
ALONE = 32


class Writing(Protocol):
    """What is written to: a transport."""

    def write(self, data: bytes) -> None:
        """Write."""

    def is_closing(self) -> bool:
        """Whether what is written goes nowhere any more."""
        ...

    def abort(self) -> None:
        """Close at once."""


# Where to, what, and once this is done nobody wants it any more.
_Item = tuple[Writing, bytes, asyncio.Future[Any] | None]


class Outbox:
    """Writes of the connections of one loop, in their order.

    Whoever does anything else with one of their transports (writes to it, closes it) must `flush` before. What is
    closed meanwhile is not written to.
    """

    __slots__ = ("_alone", "_waiting")

    def __init__(self) -> None:
        self._alone = ALONE
        self._waiting: list[_Item] = []

    def __repr__(self) -> str:
        return f"<Outbox {len(self._waiting)} waiting>"

    def put(self, transport: Writing, data: bytes, over: asyncio.Future[Any] | None = None) -> None:
        """Write this now, or behind this turn where it has many.

        Args:
            over: once this is done nobody waits for what comes of it, and it is not written.
        """
        waiting = self._waiting
        if waiting:
            waiting.append((transport, data, over))
            if len(waiting) >= MOST:
                self.flush()
        elif self._alone:
            self._alone -= 1
            transport.write(data)
        else:
            waiting.append((transport, data, over))
            asyncio.get_running_loop().call_soon(self._turn)

    def flush(self) -> None:
        """Write what waits. One that fails is closed: whoever flushes is another, and others wait behind it."""
        waiting, self._waiting = self._waiting, []
        for transport, data, over in waiting:
            if transport.is_closing() or (over is not None and over.done()):
                continue
            try:
                transport.write(data)
            except Exception as error:  # noqa: BLE001 -- it is told where the loop tells what nobody foresaw
                told = {"message": "a write failed behind its turn", "exception": error, "transport": transport}
                asyncio.get_running_loop().call_exception_handler(told)
                transport.abort()

    def _turn(self) -> None:
        """The turn is over."""
        if len(self._waiting) < FEW:
            self._alone = ALONE
        self.flush()
