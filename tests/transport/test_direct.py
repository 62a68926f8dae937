"""An answer whose head is known goes past the parser, and leaves its connection as any other does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from penstock.clock import SystemClock
from penstock.testing import FakeClock
from penstock.transport.connection import Connection
from penstock.transport.http import Origin, Pool
from penstock.wire.h1_response import ResponseHead

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


def answer(size: int, kind: str = "application/json", status: str = "200 OK") -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {size}\r\n\r\n"
    return head.encode() + b"x" * size


class Wire(asyncio.Transport):
    """Notes what becomes of it.

    Attributes:
        unsent: bytes of what was written that have not left.
    """

    def __init__(self) -> None:
        super().__init__()
        self.open = True
        self.unsent = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody is there."""

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.open = False


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[Pool, Connection, Wire]]:
    pool, wire = Pool(FakeClock()), Wire()
    connection = Connection(pool, Origin("127.0.0.1", 9))
    connection.connection_made(wire)
    try:
        yield pool, connection, wire
    finally:
        await pool.aclose()


async def ask(connection: Connection, *pieces: bytes) -> tuple[ResponseHead, bytes, bool]:
    """The head and the body of what comes, and whether it went past the parser."""
    waiter = connection.exchange(REQUEST, stream=False, timeout=5.0, direct=True)
    for piece in pieces:
        connection.data_received(piece)
    given = await waiter
    if given is not None:
        assert not connection.parser.head_complete
        return *given, True
    return connection.parser.head, connection.parser.take(), False


@pytest.mark.parametrize(
    ("kind", "status", "direct"),
    [
        ("application/json", "200 OK", True),
        ("text/event-stream", "200 OK", False),
        ("Text/html", "200 OK", False),
        ("application/json", "429 Too Many Requests", False),
        ("application/json", "407 Proxy Authentication Required", False),
    ],
)
def test_only_a_whole_200_that_is_no_text_goes_past_the_parser(kind: str, status: str, direct: bool) -> None:
    async def main() -> None:
        async with connected() as (pool, connection, _):
            sizes = (100, 1234, 100_000)
            for number, size in enumerate(sizes):
                head, body, passed = await ask(connection, answer(size, kind, status))
                assert (head.status, len(body)) == (int(status[:3]), size)
                assert passed is (direct and number > 0)
                connection.release()
                assert pool.take(connection.origin) is connection

    asyncio.run(main())


def test_what_comes_in_two_pieces_or_with_another_head_is_parsed() -> None:
    async def main() -> None:
        async with connected() as (pool, connection, _):
            whole = answer(500)
            for pieces, passed in (
                ([whole], False),
                ([whole[:300], whole[300:]], False),
                ([whole[:20], whole[20:]], False),
                ([whole], True),
                ([whole.replace(b"json", b"jsom")], False),
            ):
                assert (await ask(connection, *pieces))[1:] == (b"x" * 500, passed)
                connection.release()
                assert pool.take(connection.origin) is connection

    asyncio.run(main())


def test_a_piece_of_a_body_that_looks_like_a_whole_answer_is_a_piece() -> None:
    async def main() -> None:
        async with connected() as (pool, connection, _):
            await ask(connection, answer(500))
            connection.release()
            assert pool.take(connection.origin) is connection
            inner = answer(200)
            head = answer(len(inner)).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
            assert (await ask(connection, head, inner))[1:] == (inner, False)
            connection.release()
            assert pool.take(connection.origin) is connection

    asyncio.run(main())


def test_a_stream_that_was_asked_for_does_not_go_past_the_parser() -> None:
    async def main() -> None:
        async with connected() as (pool, connection, _):
            for _number in range(2):
                waiter = connection.exchange(REQUEST, stream=True, timeout=5.0, direct=True)
                connection.data_received(answer(200))
                assert await waiter is None
                assert connection.streaming
                assert len(await connection.read(5.0)) == 200
                connection.release()
                assert pool.take(connection.origin) is connection

    asyncio.run(main())


@pytest.mark.parametrize("spoiled", ["surplus", "unsent", "closed"])
def test_a_connection_that_is_not_clean_behind_it_is_not_kept(spoiled: str) -> None:
    async def main() -> None:
        async with connected() as (pool, connection, wire):
            await ask(connection, answer(200))
            connection.release()
            assert pool.take(connection.origin) is connection
            assert (await ask(connection, answer(300)))[2]
            if spoiled == "surplus":
                connection.data_received(b"HTTP/1.1 200 OK\r\n")
            elif spoiled == "unsent":
                wire.unsent = 1
            else:
                connection.connection_lost(None)
            connection.release()
            assert connection.closed
            assert pool.take(connection.origin) is None

    asyncio.run(main())


def test_one_whose_caller_has_just_left_is_kept() -> None:
    async def main() -> None:
        async with connected() as (pool, connection, _):
            await ask(connection, answer(200))
            connection.release()
            pool.take(connection.origin)
            asking = asyncio.ensure_future(ask(connection))
            await SystemClock().sleep(0)
            connection.data_received(answer(300))
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            connection.release()
            assert pool.take(connection.origin) is connection
            assert (await ask(connection, answer(400)))[1:] == (b"x" * 400, True)

    asyncio.run(main())
