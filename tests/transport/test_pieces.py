"""What a provider sends is read in pieces, however much of it waits."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from penstock.clock import SystemClock
from penstock.testing import FakeClock
from penstock.transport.http import Connection, Origin, Pool
from penstock.transport.pieces import READ_BYTES, InPieces

SIZE = 1_000_000


class Heard(InPieces):
    """What it got, piece by piece."""

    def __init__(self) -> None:
        super().__init__(memoryview(bytearray(READ_BYTES)))
        self.pieces: list[bytes] = []
        self.ended = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.pieces.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set_result(None)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_no_piece_is_larger_than_its_buffer(loop: object) -> None:
    sent = bytes(range(256)) * (SIZE // 256)

    async def main() -> None:
        here, there = socket.socketpair()
        _, heard = await asyncio.get_running_loop().create_connection(Heard, sock=here)
        there.setblocking(False)
        await asyncio.get_running_loop().sock_sendall(there, sent)
        there.close()
        await heard.ended
        assert b"".join(heard.pieces) == sent
        assert max(map(len, heard.pieces)) <= READ_BYTES

    with asyncio.Runner(loop_factory=loop) as runner:  # type: ignore[arg-type]
        runner.run(main())


def test_connections_of_a_pool_are_read_so_and_share_the_buffer() -> None:
    pool = Pool(FakeClock())
    first, second = (Connection(pool, Origin("127.0.0.1", 9)) for _ in range(2))
    assert first.get_buffer(-1) is second.get_buffer(256 * 1024) is pool.buffer
    assert len(pool.buffer) == READ_BYTES


class Wire(asyncio.Transport):
    """Notes whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = True

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Nobody is there."""

    def get_write_buffer_size(self) -> int:
        return 0

    def abort(self) -> None:
        """Nothing is open."""


def test_a_stream_whose_end_comes_behind_what_was_too_much_is_read_on_when_it_is_kept() -> None:
    size = READ_BYTES + 10
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % (size + 1)

    async def main() -> None:
        pool, wire = Pool(FakeClock()), Wire()
        connection = Connection(pool, Origin("127.0.0.1", 9))
        connection.connection_made(wire)
        waiter = connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", stream=True, timeout=5.0)
        connection.data_received(head + b"a")
        await waiter
        assert await connection.read(5.0) == b"a"
        flows = asyncio.ensure_future(connection.flow(lambda pieces: True, 5.0))
        await SystemClock().sleep(0)
        connection.data_received(bytes(size))
        assert not await flows
        assert await connection.flow(lambda pieces: False, 5.0)
        connection.release()
        assert not connection.closed
        assert wire.reads
        await pool.aclose()

    asyncio.run(main())
