"""The callers of a history: plain HTTP/1.1 over kept connections, patient or not, and what each of them got."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Any, cast

import msgspec

from penstock.testing import SimLoop
from penstock.transport.link import Connection
from penstock.transport.memory import Address
from penstock.wire.h1_response import Malformed, ResponseParser
from tests.simulation.ways import AT_LENGTH, TAKES_IN_THE_END, is_broken, lay

__all__ = ["KEY", "Ask", "Callers", "Got"]

KEY = "psk_live_0123456789abcdef"

_PATHS = {"chat": b"/v1/chat/completions", "messages": b"/v1/messages"}
_LOOK_AGAIN = 0.2
_encode = msgspec.json.encode
# Of every link in good weather, one way.
LATENCY = 0.001
# Who sits before a way that went dark gives up.
_DARK_SECONDS = 15.0
# An end of the connection that comes later is no answer to its being closed before.
_ARRIVED = 0.005
# In what is output and no sign of life.
_OUTPUT = re.compile(rb'"choices":|"content_block_delta"|"stop_reason"')


class Ask(msgspec.Struct, frozen=True):
    """What a caller will ask, and how it behaves.

    Attributes:
        at: when, in seconds of the history.
        patience: after how long it leaves; 0.0: it stays.
        deadline: what it sends as `x-penstock-deadline`, in seconds; 0.0: nothing.
        stalls: for how long it reads nothing of its answer's beginning.
        worker: whom it asks first.
        wrong: what is wrong with the request; "" for nothing.
        key: what it presents.
        most: the tokens of output that it asks for at most; 0: it does not say.
        way: how its own connection is (`ways.py`); "" for one like all.
    """

    number: int
    at: float
    model: str
    dialect: str = "chat"
    stream: bool = False
    patience: float = 0.0
    deadline: float = 0.0
    stalls: float = 0.0
    worker: int = 0
    wrong: str = ""
    key: str = KEY
    most: int = 0
    way: str = ""

    def body(self) -> bytes:
        if self.wrong == "json":
            return b'{"model": "main", ask%d' % self.number
        said: dict[str, Any] = {
            "model": self.model,
            "messages": [{"role": "user", "content": f"Tell ask{self.number}{self._length}"}],
        }
        if self.wrong == "model":
            said["model"] = "nobody-has-this"
        if self.wrong == "messages":
            said |= {"messages": 7, "user": f"ask{self.number}"}
        if self.dialect == "messages" or self.most:
            said["max_tokens"] = self.most or (2000 if self._length else 100)
        if self.stream:
            said["stream"] = True
        return _encode(said)

    @property
    def _length(self) -> str:
        return " at length" if self.way in AT_LENGTH else ""

    def request(self) -> bytes:
        body = self.body()
        key = b"psk_live_wrong" if self.wrong == "key" else self.key.encode()
        deadline = b"x-penstock-deadline: %dms\r\n" % round(self.deadline * 1000) if self.deadline else b""
        return (
            b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nauthorization: Bearer %b\r\n"
            b"x-penstock-user: ask%d\r\n%bcontent-length: %d\r\n\r\n%b"
        ) % (_PATHS[self.dialect], key, self.number, deadline, len(body), body)


class Got(msgspec.Struct, eq=False):
    """What a caller got: times are the loop's.

    Attributes:
        sent, ended: when it had sent its request, and when all was over.
        first: when the first output came, 0.0 where none did.
        worker: who answered, by its number in `Fleet.hired`; -1 where nobody could be reached.
        whole: the HTTP response was complete.
        left: it lost its patience, said that it sends no more, or its connection broke.
        reused: over a connection that had carried a request before.
        dropped: the workers that hung up on it though they had it, and when.
    """

    ask: Ask
    sent: float = 0.0
    first: float = 0.0
    ended: float = 0.0
    worker: int = -1
    status: int = 0
    headers: dict[bytes, bytes] = {}
    body: bytes = b""
    whole: bool = False
    left: bool = False
    reused: bool = False
    tries: int = 0
    dropped: list[tuple[int, float]] = []


class Line(asyncio.Protocol):
    """A connection to a worker."""

    def __init__(self, worker: int) -> None:
        self.worker = worker
        self.parser = ResponseParser()
        self.pieces: list[bytes] = []
        self.first = 0.0
        self.lost = False
        self.used = False
        self.transport: asyncio.Transport | None = None
        self.waiter: asyncio.Future[None] | None = None
        self.loop: Any = None
        self.stalls = 0.0
        self.way: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        parser = self.parser
        try:
            parser.feed(data)
        except Malformed:
            self.abort()
            return
        if parser.pending:
            piece = parser.take()
            self.pieces.append(piece)
            if not self.first and _OUTPUT.search(piece):
                self._begin()
        if parser.complete:
            self._wake()

    def _begin(self) -> None:
        self.first = self.loop.time()
        if self.stalls and self.transport is not None:
            self.transport.pause_reading()
            self.loop.call_later(self.stalls, self._read_on)

    def _read_on(self) -> None:
        if self.transport is not None and not self.lost:
            self.transport.resume_reading()

    def eof_received(self) -> None:
        try:
            self.parser.eof()
        except Malformed:
            pass

    def connection_lost(self, error: Exception | None) -> None:
        self.lost = True
        self._wake()

    def abort(self) -> None:
        self.lost = True
        if self.transport is not None:
            self.transport.abort()
        self._wake()

    def _wake(self) -> None:
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)


class Callers:
    """All callers of a history, who share their kept connections.

    Args:
        holders: the worker that holds each post now, by its number in the order of hiring.
    """

    def __init__(self, loop: SimLoop, addresses: Sequence[Address], holders: Callable[[int], int]) -> None:
        self._loop = loop
        self._addresses = addresses
        self._holders = holders
        self._idle: list[list[Line]] = [[] for _ in addresses]
        self.got: list[Got] = []

    async def ask(self, ask: Ask, until: float) -> Got:
        """Ask once; again only where nobody could be reached, or a kept connection had been closed.

        Args:
            until: when to stop looking for somebody who listens.
        """
        got = Got(ask)
        self.got.append(got)
        while True:
            got.tries += 1
            line = await self._line(ask, got, until)
            if line is None:
                got.ended = self._loop.time()
                return got
            await self._exchange(line, ask, got)
            if got.status or got.left or not got.reused:
                return got

    async def _line(self, ask: Ask, got: Got, until: float) -> Line | None:
        while self._loop.time() < until:
            for turn in range(len(self._addresses)):
                post = (ask.worker + turn) % len(self._addresses)
                idle = self._idle[post] if not ask.way else []
                while idle:
                    line = idle.pop()
                    if not line.lost:
                        got.worker, got.reused = line.worker, True
                        return line
                try:
                    worker = self._holders(post)
                    async with asyncio.timeout(2.0):
                        _, made = await self._loop.create_connection(lambda: Line(worker), *self._addresses[post])  # noqa: B023
                except (OSError, TimeoutError):
                    continue
                line = cast(Line, made)
                line.loop = self._loop
                if ask.way:
                    self._lay(line, ask)
                got.worker, got.reused = line.worker, False
                return line
            await self._loop.clock.sleep(_LOOK_AGAIN)
        return None

    def _lay(self, line: Line, ask: Ask) -> None:
        line.way = next(one for one in self._loop.network.connections if one.client is line.transport)
        lay(line.way, ask.way, ask.number, LATENCY)

    async def _exchange(self, line: Line, ask: Ask, got: Got) -> None:
        assert line.transport is not None
        line.pieces, line.first, line.stalls = [], 0.0, ask.stalls
        line.waiter = self._loop.create_future()
        got.sent = self._loop.time()
        line.transport.write(ask.request())
        self._behave(line, ask)
        patience = ask.patience or (_DARK_SECONDS if ask.way in ("dark", "half dark") else 0.0)
        leave = self._loop.call_later(patience, self._leave, line, got) if patience else None
        try:
            await line.waiter
        finally:
            if leave is not None:
                leave.cancel()
        parser = line.parser
        got.ended, got.first, got.body = self._loop.time(), line.first, b"".join(line.pieces)
        got.status, got.headers, got.whole = parser.status, dict(parser.headers), parser.complete
        if line.way is not None and not parser.complete:
            self._was_lost(line, line.way, ask, got)
        if not parser.status and not got.left and got.ended - got.sent > _ARRIVED:
            got.dropped.append((got.worker, got.ended))
        if parser.complete and parser.keep_alive and not (parser.surplus or line.lost or ask.stalls or ask.way):
            parser.reset()
            line.used = True
            self._idle[self._post(line)].append(line)
        else:
            line.abort()

    def _behave(self, line: Line, ask: Ask) -> None:
        """What it does with its end."""
        assert line.transport is not None
        if ask.way == "said":
            line.transport.write_eof()
        elif ask.way == "unread":
            line.transport.pause_reading()
            self._loop.call_later(TAKES_IN_THE_END, line._read_on)

    def _was_lost(self, line: Line, way: Connection, ask: Ask, got: Got) -> None:
        """Who did not get all of its answer over such a way has left, or was to be cut."""
        got.left = got.left or is_broken(way) or ask.way in ("said", "unread")
        if ask.way == "said":
            got.ended = got.sent

    def _post(self, line: Line) -> int:
        assert line.transport is not None
        return self._addresses.index(line.transport.get_extra_info("peername"))

    def _leave(self, line: Line, got: Got) -> None:
        got.left = True
        line.abort()

    def close(self) -> None:
        """Close what is kept."""
        for idle in self._idle:
            for line in idle:
                line.abort()
