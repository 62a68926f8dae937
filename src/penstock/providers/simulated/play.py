"""Plays an answer on a transport: bytes, waits and acts, one after the other.

The one place of this package that writes. It keeps the transport's backpressure (nothing is made while the
transport says pause), never holds the loop for long, and stops at once when told so.
"""

from __future__ import annotations

import asyncio
import enum
import socket
import struct
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

from penstock.clock import Clock, Timer

__all__ = ["CLOSE", "FINISH", "HANG", "RESET", "Act", "Player", "Step", "reset"]


class Act(enum.Enum):
    """What can be done to a connection other than writing to it; each is the last step.

    FINISH closes after a whole response, CLOSE in the middle of one; HANG says nothing more.
    """

    FINISH = "finish"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


FINISH, CLOSE, RESET, HANG = Act.FINISH, Act.CLOSE, Act.RESET, Act.HANG

Step: TypeAlias = "bytes | float | Act"
"""Bytes to write, seconds to wait, or an act."""

_WRITES_A_TURN = 64
# An event loop may hold what was written until the end of its turn, and a reset throws away what it holds.
_BEFORE_RESET = 0.02
_LINGER_ZERO = struct.pack("ii", 1, 0)


class Player:
    """Plays `steps`; `ended` is called once, after the last, with the act it was, if any. Never after HANG."""

    __slots__ = ("_clock", "_ended", "_paused", "_steps", "_timer", "_transport", "written")

    def __init__(
        self,
        transport: asyncio.WriteTransport,
        clock: Clock,
        steps: Iterable[Step],
        ended: Callable[[Act | None], object],
    ) -> None:
        self.written = 0
        self._transport = transport
        self._clock = clock
        self._steps: Iterator[Step] | None = iter(steps)
        self._ended = ended
        self._timer: Timer | None = None
        self._paused = False

    def run(self) -> None:
        """Play until a wait, a pause or the end."""
        self._timer = None
        for _ in range(_WRITES_A_TURN):
            if self._paused or self._steps is None:
                return
            step = next(self._steps, None)
            if isinstance(step, bytes):
                self.written += len(step)
                self._transport.write(step)
            elif isinstance(step, float):
                self._wait(step)
                return
            else:
                self._finish(step)
                return
        self._wait(0.0)

    def pause(self) -> None:
        """Make nothing more for now."""
        self._paused = True

    def resume(self) -> None:
        """Go on, unless a wait is still running."""
        self._paused = False
        if self._timer is None:
            self.run()

    def stop(self) -> None:
        """Forget what is left; `ended` is not called."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._steps = None

    def _wait(self, seconds: float) -> None:
        self._timer = self._clock.call_later(seconds, self.run)

    def _finish(self, act: Act | None) -> None:
        if act is Act.HANG:
            self._steps = None
        elif act is Act.RESET and self.written:
            self._steps = iter(())
            self._timer = self._clock.call_later(_BEFORE_RESET, self._reset)
        elif act is Act.RESET:
            self._reset()
        else:
            self._steps = None
            self._ended(act)
            if act is not None:
                self._transport.close()

    def _reset(self) -> None:
        self.stop()
        self._ended(Act.RESET)
        reset(self._transport)


def reset(transport: asyncio.WriteTransport) -> None:
    """Close with RST instead of FIN where there is a real socket; what was written and not sent is lost."""
    real = transport.get_extra_info("socket")
    if real is not None:
        real.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    transport.abort()
