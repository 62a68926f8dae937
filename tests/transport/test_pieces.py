"""What a provider sends is read in pieces, however much of it waits."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

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
