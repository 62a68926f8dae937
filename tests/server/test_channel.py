"""The channel over a socket pair: order, both ends, what does not read, and what is no message."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvloop

from penstock.server.channel import MOST_UNREAD, SocketChannel, connect_channel
from penstock.stores.centre import CONFIG, FromCentre, Message, Publish, Report, Subscribe, Taken, ToCentre

LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


class Heard:
    """What one end was told; None is the end."""

    def __init__(self, channel: SocketChannel) -> None:
        self.queue: asyncio.Queue[Message | None] = asyncio.Queue()
        channel.open(self.queue.put_nowait, lambda: self.queue.put_nowait(None))

    async def next(self) -> Message | None:
        return await self.queue.get()


@pytest.fixture(params=LOOPS)
def on_loop(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    def play(main: Callable[[], Awaitable[None]]) -> None:
        async def whole() -> None:
            await main()

        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(whole())

    return play


OnLoop = Callable[[Callable[[], Awaitable[None]]], None]


def test_both_ways_in_order_up_to_the_end(on_loop: OnLoop) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        centre, worker = await connect_channel(one, ToCentre), await connect_channel(other, FromCentre)
        large = Publish(CONFIG, 1, bytes(1024 * 1024))
        centre.send(large)
        centre.send(Report(2))
        heard = Heard(worker)
        assert [await heard.next(), await heard.next()] == [large, Report(2)]
        worker.send(Subscribe(CONFIG))
        worker.send(Taken(CONFIG, 1))
        worker.close()
        worker.send(Taken(CONFIG, 2))
        heard_there = Heard(centre)
        assert [await heard_there.next() for _ in range(3)] == [Subscribe(CONFIG), Taken(CONFIG, 1), None]
        assert await heard.next() is None
        centre.send(Report(3))

    on_loop(main)


def test_an_end_that_came_before_anybody_listened(on_loop: OnLoop) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        centre = await connect_channel(one, ToCentre)
        other.close()
        probe = await connect_channel(*_pair_that_ends())
        assert await Heard(probe).next() is None
        assert await Heard(centre).next() is None

    on_loop(main)


def _pair_that_ends() -> tuple[socket.socket, object]:
    one, other = socket.socketpair()
    other.close()
    return one, ToCentre


def test_what_is_no_message_ends_it(on_loop: OnLoop, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        heard = Heard(await connect_channel(one, ToCentre))
        other.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert await heard.next() is None
        other.close()

    on_loop(main)
    assert "is broken" in caplog.text


def test_one_that_does_not_read_is_noticed_and_then_given_up(on_loop: OnLoop) -> None:
    async def main() -> None:
        one, other = socket.socketpair()
        channel = await connect_channel(one, ToCentre)
        heard = Heard(channel)
        piece = Publish(CONFIG, 1, bytes(4 * 1024 * 1024))
        channel.send(piece)
        assert channel.full
        for _ in range(MOST_UNREAD // len(piece.value) + 1):
            channel.send(piece)
        assert await heard.next() is None
        other.close()

    on_loop(main)
