"""Providers that send fast hold nobody up: what is read of them in one turn of the loop has an end."""

from __future__ import annotations

import asyncio

import uvloop

from penstock.clock import SystemClock
from penstock.testing import ScriptedUpstream
from penstock.transport.http import Connection, Origin, Pool
from penstock.transport.turns import MOST_FULL, Turns

STREAMS = 30
SIZE = 600_000
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: %d\r\n\r\n" % SIZE


class Told:
    """A connection that notes whether it is held."""

    def __init__(self) -> None:
        self.held = False

    def hold(self) -> None:
        self.held = True

    def go_on(self) -> None:
        self.held = False


def test_who_is_too_much_waits_for_the_next_turns_the_first_first() -> None:
    async def main() -> None:
        turns, told = Turns(), [Told() for _ in range(3 * MOST_FULL)]
        for each in told:
            turns.note(each)
        free = MOST_FULL - 1
        for _ in range(4):
            assert [each.held for each in told] == [False] * free + [True] * (len(told) - free)
            await SystemClock().sleep(0)
            free = min(free + MOST_FULL, len(told))
        assert free == len(told)
        turns.note(told[0])
        assert not told[0].held, "a new turn"

    asyncio.run(main())


def test_thirty_streams_that_come_at_once_are_read_in_turns_and_whole() -> None:
    reads, sizes = [0], [0] * STREAMS

    def count() -> None:
        reads.append(0)
        if min(sizes) < SIZE:
            asyncio.get_running_loop().call_soon(count)

    async def pump(number: int, connection: Connection) -> None:
        def sink(pieces: list[bytes]) -> bool:
            reads[-1] += 1
            sizes[number] += sum(map(len, pieces))
            return False

        assert await connection.flow(sink, 5.0)
        connection.release()

    async def main() -> None:
        async with ScriptedUpstream(HEAD + bytes(SIZE)) as upstream:
            pool = Pool(SystemClock())
            host, port = upstream.base_url.removeprefix("http://").removesuffix("/v1").split(":")
            connections = [await pool.connect(Origin(host, int(port)), 5.0) for _ in range(STREAMS)]
            for connection in connections:
                await connection.exchange(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n", stream=True, timeout=5.0)
            await SystemClock().sleep(0.05)  # what the kernel takes has come
            count()
            await asyncio.gather(*(pump(*each) for each in enumerate(connections)))
            await pool.aclose()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
    assert sizes == [SIZE] * STREAMS
    assert max(reads) <= MOST_FULL + 2 * STREAMS, max(reads)
