"""A layer as a user writes one: it waits on both ways, watches, and hangs something on the answer's end."""

from __future__ import annotations

import asyncio

from penstock import Call, Reply, Request
from penstock.call import Frame

__all__ = ["Passing"]


class Passing:
    """Hands everything on."""

    def __init__(self, call: Call) -> None:
        self._next = call

    async def __call__(self, request: Request) -> Reply:
        await asyncio.sleep(0)
        reply = await self._next(request)
        await asyncio.sleep(0)
        reply.tap(self._see)
        reply.on_end(self._end, request)
        return reply

    def _see(self, frame: Frame) -> None:
        assert isinstance(frame.events, list)

    def _end(self, request: Request) -> None:
        assert request.record.attempts
