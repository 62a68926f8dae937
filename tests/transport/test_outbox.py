"""What many have to say in a turn is written behind it: in order, all of it, and nothing to who is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import Unavailable, UpstreamTimeout
from penstock.testing import FakeClock
from penstock.transport.connection import Connection
from penstock.transport.http import Origin, Pool
from penstock.transport.outbox import ALONE, FEW, MOST, Outbox

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Line:
    """Where is written to; `left` is what all lines of a test share: who wrote what, in order."""

    def __init__(self, left: list[tuple[str, bytes]], name: str = "a", *, fails: bool = False) -> None:
        self.left, self.name, self.fails = left, name, fails
        self.closed = False

    def write(self, data: bytes) -> None:
        assert not self.closed
        if self.fails:
            raise RuntimeError("write() after write_eof()")
        self.left.append((self.name, data))

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def play(scene: Callable[[Outbox, list[tuple[str, bytes]]], Awaitable[None]]) -> None:
    async def main() -> None:
        left: list[tuple[str, bytes]] = []
        await scene(Outbox(), left)

    asyncio.run(main())


async def behind_this_turn() -> None:
    for _ in range(2):
        await asyncio.sleep(0)


def crowd(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
    """So many are written that it looks whether the next ones come together."""
    for _ in range(ALONE):
        outbox.put(Line(left), b"-")
    assert len(left) == ALONE, "each at once"
    left.clear()


def test_few_are_written_at_once() -> None:
    async def scene(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
        for number in range(10):
            outbox.put(Line(left), b"%d" % number)
            assert left.pop() == ("a", b"%d" % number)
            await asyncio.sleep(0)

    play(scene)


@pytest.mark.parametrize(("count", "at_once"), [(1, True), (FEW - 1, True), (FEW, False), (MOST - 1, False)])
def test_many_of_a_turn_are_written_behind_it_and_few_are_told_apart(count: int, at_once: bool) -> None:
    async def scene(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
        crowd(outbox, left)
        told = [("a", b"%d" % number) for number in range(count)]
        for name, data in told:
            outbox.put(Line(left, name), data)
        assert not left
        assert repr(outbox) == f"<Outbox {count} waiting>"
        await behind_this_turn()
        assert left == told
        outbox.put(Line(left), b"next")
        assert (left[-1][1] == b"next") is at_once
        await behind_this_turn()
        assert left[-1][1] == b"next"

    play(scene)


def test_so_many_wait_for_no_turn() -> None:
    async def scene(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
        crowd(outbox, left)
        for number in range(MOST + 5):
            outbox.put(Line(left), b"%d" % number)
        assert len(left) == MOST
        await behind_this_turn()
        assert [data for _, data in left] == [b"%d" % number for number in range(MOST + 5)]

    play(scene)


def test_who_is_gone_or_waits_for_nothing_any_more_is_not_written_to() -> None:
    async def scene(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
        crowd(outbox, left)
        lines = {name: Line(left, name) for name in "abcde"}
        waiting = {name: asyncio.get_running_loop().create_future() for name in "abcde"}
        for name, line in lines.items():
            outbox.put(line, b"x", waiting[name])
        lines["a"].closed = True
        waiting["b"].cancel()
        waiting["c"].set_result(None)
        waiting["d"].set_exception(OSError())
        await behind_this_turn()
        assert left == [("e", b"x")]
        assert isinstance(waiting["d"].exception(), OSError)

    play(scene)


@pytest.mark.parametrize("by_another", [False, True])
def test_one_that_fails_is_closed_and_is_nobody_elses_failure(by_another: bool) -> None:
    async def scene(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
        told: list[object] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context["exception"]))
        crowd(outbox, left)
        lines = [Line(left, name, fails=name in "bd") for name in "abcdef"]
        for line in lines:
            outbox.put(line, b"x")
        if by_another:
            outbox.flush()
        await behind_this_turn()
        assert "".join(name for name, _ in left) == "acef"
        assert [type(error) for error in told] == [RuntimeError] * 2
        assert "".join(line.name for line in lines if line.closed) == "bd"

    play(scene)


# What is done with which line: something is put, or written past the outbox or the line closed, each behind a flush.
_DEEDS = st.lists(st.tuples(st.sampled_from("ppppwct"), st.integers(0, 3)), max_size=80)


@given(_DEEDS)
def test_what_each_line_gets_is_what_it_was_given_in_order(deeds: list[tuple[str, int]]) -> None:
    async def scene(outbox: Outbox, left: list[tuple[str, bytes]]) -> None:
        crowd(outbox, left)
        lines = [Line(left, str(number)) for number in range(4)]
        told: dict[str, list[bytes]] = {line.name: [] for line in lines}
        for number, (deed, which) in enumerate(deeds):
            line, data = lines[which], b"%d" % number
            if deed == "t":
                await behind_this_turn()
                assert repr(outbox) == "<Outbox 0 waiting>"
            elif not line.closed:
                if deed != "p":
                    outbox.flush()
                if deed == "c":
                    line.closed = True
                    continue
                told[line.name].append(data)
                if deed == "p":
                    outbox.put(line, data)
                else:
                    line.write(data)
        await behind_this_turn()
        assert {name: [data for at, data in left if at == name] for name in told} == told

    play(scene)


# --- requests, which leave through that of their pool


class Wire(asyncio.Transport):
    """Where a request goes."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return 0

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True


def ask(scene: Callable[[Pool, Connection, Wire, asyncio.Future[Any]], Awaitable[None]]) -> None:
    """A request that waits for the end of its turn, as others do."""

    async def main() -> None:
        pool, wire = Pool(FakeClock()), Wire()
        connection = Connection(pool, Origin("127.0.0.1", 9))
        connection.connection_made(wire)
        left: list[tuple[str, bytes]] = []
        crowd(pool.outbox, left)
        for name in "abcd":
            pool.outbox.put(Line(left, name), b"other")
        try:
            await scene(pool, connection, wire, connection.exchange(REQUEST, stream=False, timeout=5.0))
            await behind_this_turn()
            assert len(left) == 4
        finally:
            await pool.aclose()

    asyncio.run(main())


def test_a_request_leaves_behind_its_turn() -> None:
    async def scene(pool: Pool, connection: Connection, wire: Wire, waiter: asyncio.Future[Any]) -> None:
        assert not wire.written
        await behind_this_turn()
        assert wire.written == [REQUEST]
        connection.data_received(ANSWER)
        await waiter
        assert connection.parser.take() == b"{}"

    ask(scene)


def test_a_request_that_is_given_up_before_it_left_never_leaves() -> None:
    async def scene(pool: Pool, connection: Connection, wire: Wire, waiter: asyncio.Future[Any]) -> None:
        waiter.cancel()
        connection.release()
        await behind_this_turn()
        assert (wire.written, wire.closed, pool.open) == ([], True, 0)

    ask(scene)


def test_a_request_that_was_too_slow_before_it_left_never_leaves() -> None:
    async def scene(pool: Pool, connection: Connection, wire: Wire, waiter: asyncio.Future[Any]) -> None:
        connection.expire()
        with pytest.raises(UpstreamTimeout):
            await waiter
        await behind_this_turn()
        assert wire.written == []

    ask(scene)


def test_an_answer_before_the_request_leaves_nothing_behind_on_the_connection() -> None:
    async def scene(pool: Pool, connection: Connection, wire: Wire, waiter: asyncio.Future[Any]) -> None:
        connection.data_received(ANSWER)
        await waiter
        connection.parser.take()
        connection.release()
        assert pool.take(connection.origin) is connection
        again = connection.exchange(REQUEST.replace(b"/ ", b"/next "), stream=False, timeout=5.0)
        await behind_this_turn()
        assert wire.written == [REQUEST.replace(b"/ ", b"/next ")]
        again.cancel()

    ask(scene)


def test_a_connection_that_is_lost_before_the_request_left_says_so() -> None:
    async def scene(pool: Pool, connection: Connection, wire: Wire, waiter: asyncio.Future[Any]) -> None:
        wire.closed = True
        connection.connection_lost(None)
        with pytest.raises(Unavailable):
            await waiter
        await behind_this_turn()
        assert wire.written == []

    ask(scene)
