"""A connection's one task: what it has been given when its caller leaves in the same turn is never begun, nor kept."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from typing import Any

import pytest

from penstock.server.exchange import Exchange
from penstock.server.protocol import Limits, Listener
from penstock.testing import SimLoop, run
from penstock.wire.h1 import HttpRequest, Refused

ASKED = b"POST /v1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nok"
Work = Coroutine[Any, Any, None]


class Line(asyncio.Transport):
    """A transport that takes everything."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.written = b""

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass


@pytest.mark.parametrize("before", [0, 1, 3])
def test_what_was_to_begin_when_the_caller_left_is_closed(before: int) -> None:
    given: list[Work] = []
    begun: list[Exchange] = []

    async def answer(out: Exchange) -> None:
        begun.append(out)
        out.send(200, b"", b"")
        out.close()

    def handle(http: HttpRequest, out: Exchange) -> Work:
        given.append(answer(out))
        return given[-1]

    def refuse(refused: Refused, out: Exchange) -> None:
        raise refused

    async def main(loop: SimLoop) -> None:
        listener = Listener(handle, refuse, loop.clock, Limits(1024, 75.0, 10))
        connection, line = listener.connection(), Line()
        connection.connection_made(line)
        for _ in range(before):
            connection.data_received(ASKED)
            await loop.clock.sleep(1.0)
        connection.data_received(ASKED)
        connection.connection_lost(None)
        await loop.clock.sleep(1.0)
        assert len(begun) == line.written.count(b"200 OK") == before
        assert [inspect.getcoroutinestate(work) for work in given] == [inspect.CORO_CLOSED] * (before + 1)
        assert (connection.task, connection.busy, list(listener.connections)) == (None, False, [])

    run(main, seed=1)
