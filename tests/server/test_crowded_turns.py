"""Answers that wait for the end of a turn lose nothing by what happens before it, and none overtakes another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from penstock.server.exchange import Exchange
from penstock.server.protocol import Limits, Listener, ServerConnection
from penstock.testing import SimLoop, run
from penstock.transport.outbox import ALONE, MOST
from penstock.wire.h1 import HttpRequest, Refused

Work = Coroutine[Any, Any, None]
Scene = Callable[["Crowd", ServerConnection, "Line"], Awaitable[None]]


def asked(path: str, more: str = "", body: bytes = b"ok") -> bytes:
    return f"POST /{path} HTTP/1.1\r\nhost: a\r\n{more}content-length: {len(body)}\r\n\r\n".encode() + body


class Line(asyncio.Transport):
    """Notes what is done with it: what was written, `eof`, `close`, `abort`; behind these it may not be written to."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self.done: list[bytes | str] = []

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not {"eof", "close", "abort"} & {each for each in self.done if isinstance(each, str)}, "uvloop raises"
        self.done.append(bytes(data))

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def get_write_buffer_size(self) -> int:
        return 0

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.done.append("eof")

    def is_closing(self) -> bool:
        return "close" in self.done or "abort" in self.done

    def close(self) -> None:
        self.done.append("close")

    def abort(self) -> None:
        self.done.append("abort")

    @property
    def told(self) -> list[str]:
        """The same, of answers their status and their body; being closed once more is nothing."""
        ends = list(dict.fromkeys(each for each in self.done if isinstance(each, str)))
        return [*(_told(each) for each in self.done if isinstance(each, bytes)), *ends]


def _told(data: bytes) -> str:
    head, _, body = data.decode().partition("\r\n\r\n")
    return f"{head.split()[1]} {body}".strip() if head.startswith("HTTP") else head


class Crowd:
    """A listener whose answers wait for the end of their turn, since many come in each.

    A path is what is answered; `/now` is at once, `/full` a refusal, `/stream` by a stream, and `/cut` is not.
    """

    def __init__(self, loop: SimLoop) -> None:
        self.loop = loop
        self.listener = Listener(self._handle, self._refuse, loop.clock, Limits(1 << 20, 75.0, 1000))

    def _handle(self, http: HttpRequest, out: Exchange) -> Work | None:
        if http.path in (b"/now", b"/full"):
            out.send(200 if http.path == b"/now" else 503, b"", http.path[1:])
            return None
        return self._answer(http.path[1:], out)

    async def _answer(self, said: bytes, out: Exchange) -> None:
        try:
            if said == b"stream":
                out.start(200, b"", b"stream")
                out.finish()
            elif said != b"cut":
                out.send(200, b"", said)
        finally:
            out.close()

    @staticmethod
    def _refuse(refused: Refused, out: Exchange) -> None:
        out.send(refused.status, b"", b"refused")

    def connect(self) -> tuple[ServerConnection, Line]:
        connection, line = self.listener.connection(), Line()
        connection.connection_made(line)
        return connection, line

    async def gather(self) -> None:
        """Have so many answered, the first of all included, that the next ones may be a crowd."""
        for _ in range(ALONE - 1):
            connection, line = self.connect()
            connection.data_received(asked("now"))
            assert line.told == ["200 now"]
            connection.connection_lost(None)
        await self.turn()

    async def turn(self) -> None:
        for _ in range(4):
            await asyncio.sleep(0)

    def others(self, count: int = 8) -> list[Line]:
        """Others are answered in this turn, too."""
        found = []
        for _ in range(count):
            connection, line = self.connect()
            connection.data_received(asked("now"))
            assert not line.told
            found.append(line)
        return found


def play(scene: Scene) -> None:
    async def main(loop: SimLoop) -> None:
        crowd = Crowd(loop)
        connection, line = crowd.connect()
        # Its task is there, as it is behind any first request.
        connection.data_received(asked("first"))
        await crowd.turn()
        assert line.told == ["200 first"]
        await crowd.gather()
        others = crowd.others()
        await scene(crowd, connection, line)
        await crowd.turn()
        assert all(other.told[0] == "200 now" for other in others), "each is told, whatever becomes of one"
        connection.connection_lost(None)
        await crowd.listener.cut()
        await loop.clock.sleep(1.0)

    run(main, seed=1)


def test_it_leaves_behind_its_turn() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("now"))
        assert line.told[1:] == []
        await crowd.turn()
        assert line.told[1:] == ["200 now"]

    play(scene)


def test_a_refusal_waits_for_nobody() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("full"))
        assert line.told[1:] == ["503 full"]
        connection.data_received(asked("now"))
        assert line.told[1:] == ["503 full"]
        await crowd.turn()
        assert line.told[1:] == ["503 full", "200 now"]

    play(scene)


def test_so_many_leave_at_once() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        crowd.others(MOST - 9)
        connection.data_received(asked("now"))
        assert line.told[1:] == ["200 now"]

    play(scene)


@pytest.mark.parametrize(
    ("then", "told"),
    [
        (lambda one: one._transport.close() if not one.eof_received() else None, ["close"]),
        (lambda one: one.abort(), ["abort"]),
        (lambda one: one.close_unless_busy(receiving=False), ["close"]),
        (lambda one: one.enforce(one._listener.clock.monotonic() + 1000), ["close"]),
        (lambda one: one.data_received(asked("now")), ["200 now"]),
        (lambda one: one.data_received(asked("second")), ["200 second"]),
        (lambda one: one.data_received(asked("stream")), ["200 6\r\nstream", "0"]),
        (lambda one: one.data_received(asked("last", "connection: close\r\n")), ["200 last", "close"]),
        (lambda one: one.data_received(asked("now", "connection: close\r\n")), ["200 now", "close"]),
        (lambda one: one.data_received(b"nonsense\r\n\r\n"), ["400 refused", "eof"]),
        (lambda one: one.data_received(asked("x", "expect: 100-continue\r\n")[:-2]), ["100"]),
    ],
)
def test_what_comes_in_between_comes_behind_it(then: Callable[[ServerConnection], Any], told: list[str]) -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("now"))
        assert line.told[1:] == []
        then(connection)
        await crowd.turn()
        assert line.told[1:] == ["200 now", *told]

    play(scene)


def test_the_last_answer_of_a_connection_leaves_before_it_is_closed() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("last", "connection: close\r\n"))
        await crowd.turn()
        assert line.told[1:] == ["200 last", "close"]

    play(scene)


def test_the_last_answer_before_a_refusal_leaves_before_nothing_more_comes() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        for data in (asked("second"), asked("third"), b"x" * 70_000):
            connection.data_received(data)
        await crowd.turn()
        assert line.told[1:] == ["200 second", "200 third", "eof"]

    play(scene)


def test_who_is_found_not_to_read_only_once_its_answer_leaves_gets_no_further_one() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        again = asked("now", body=b"x" * 200)
        for _ in range(3):  # whose head is known by then
            connection.data_received(again)
            await crowd.turn()
        connection.pause_writing()  # as the transport does it within the last write
        connection.data_received(again)
        await crowd.turn()
        assert line.told[1:] == ["200 now"] * 3
        connection.resume_writing()
        await crowd.turn()
        assert line.told[1:] == ["200 now"] * 4

    play(scene)


def test_what_is_cut_takes_no_answer_before_it_along() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("second") + asked("cut"))
        await crowd.turn()
        assert line.told[1:] == ["200 second", "abort"]

    play(scene)


def test_a_drain_takes_no_answer_with_it() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("second"))
        draining = asyncio.ensure_future(crowd.listener.calm())
        await draining
        closing = asyncio.ensure_future(crowd.listener.flushed())
        await crowd.turn()
        assert line.told[1:] == ["200 second", "close"]
        closing.cancel()

    play(scene)


def test_who_has_left_is_written_nothing() -> None:
    async def scene(crowd: Crowd, connection: ServerConnection, line: Line) -> None:
        connection.data_received(asked("now"))
        line.done.append("abort")  # as the transport does it itself, by a reset
        connection.connection_lost(ConnectionResetError())
        await crowd.turn()
        assert line.told[1:] == ["abort"]

    play(scene)
