"""Smuggling towards our server: each vector ends in one refusal and a closed connection, or as exactly one request."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.clock import Clock, SystemClock
from penstock.server.exchange import Exchange
from penstock.server.protocol import Limits, Listener
from penstock.testing import SimLoop, pipe, run
from penstock.wire.h1 import HttpRequest, Refused, RequestParser
from tests.security.smuggling import CANARY, VECTORS, Vector

KIB = 1024
SETTLED = 5.0  # virtual seconds: longer than a refused connection lingers
DEADLINES = 75.0  # and than a body may take


class Server:
    """Answers through the real connection protocol, and remembers what it was asked."""

    def __init__(self, clock: Clock) -> None:
        self.requests: list[HttpRequest] = []
        self.listener = Listener(self._handle, self._refuse, clock, Limits(32 * KIB * KIB, 75.0, 1000))

    def _handle(self, request: HttpRequest, out: Exchange) -> None:
        self.requests.append(request)
        out.send(200, b"", b"")

    def _refuse(self, refused: Refused, out: Exchange) -> None:
        out.send(refused.status, b"", b"")


class Attacker(asyncio.Protocol):
    """Collects all that is answered."""

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self._news = asyncio.Event()

    async def more(self) -> None:
        """Wait until something has come."""
        self._news.clear()
        await self._news.wait()

    def data_received(self, data: bytes) -> None:
        self.data += data
        self._news.set()

    def eof_received(self) -> bool:
        self.ended = True
        self._news.set()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended = True
        self._news.set()


def answers(data: bytes) -> list[tuple[int, bool]]:
    """Of each answer its status, and whether it says that it is the last. Bodies are empty here."""
    heads = data.split(b"\r\n\r\n")
    assert heads.pop() == b""
    return [(int(head[9:12]), b"\r\nconnection: close" in head) for head in heads]


class Told:
    """How a vector ended."""

    def __init__(self, server: Server, attacker: Attacker) -> None:
        self.requests = server.requests
        self.answers = answers(attacker.data)
        self.ended = attacker.ended


def attack(data: bytes, size: int, wait: float = SETTLED) -> Told:
    """Send it in pieces of `size` bytes over an in-memory connection, and wait."""

    async def main(loop: SimLoop) -> Told:
        server, attacker = Server(loop.clock), Attacker()
        transport, _ = pipe(loop, attacker, server.listener.connection())
        for at in range(0, len(data), size):
            if transport.is_closing():
                break
            transport.write(data[at : at + size])
            await loop.clock.sleep(0.0001)
        await loop.clock.sleep(wait)
        told = Told(server, attacker)
        transport.abort()
        await loop.clock.sleep(1)
        return told

    return run(main, leak_free=True)


def sizes(data: bytes) -> list[int]:
    return [len(data), 100 * KIB] if len(data) > 20 * KIB else [len(data), 1, 7]


def judge(vector: Vector, told: Told) -> None:
    """Whether it ended as it must."""
    paths = [request.path for request in told.requests]
    if vector.status:
        assert paths == []
        assert told.answers == [(vector.status, True)]
        assert told.ended
        return
    if vector.waits:
        assert paths == []
        assert told.answers == []
        assert not told.ended
        return
    assert paths == ([b"/x"] if vector.closes else [b"/x", b"/canary"])
    assert told.requests[0].body == vector.body
    assert told.answers == ([(200, True)] if vector.closes else [(200, False)] * 2)
    assert told.ended == vector.closes


def test_there_are_enough_of_them() -> None:
    assert len(VECTORS) >= 120
    assert sum(1 for vector in VECTORS.values() if vector.status) >= 200
    assert all(vector.why for vector in VECTORS.values() if not vector.status), "what is let in must say why"


@pytest.mark.parametrize("name", VECTORS)
def test_one_refusal_or_one_request(name: str) -> None:
    vector = VECTORS[name]
    data = vector.data + CANARY
    for size in sizes(data):
        judge(vector, attack(data, size))


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if vector.waits])
def test_what_never_comes_is_waited_for_until_the_deadline(name: str) -> None:
    told = attack(VECTORS[name].data, 64 * KIB, DEADLINES)
    assert (told.requests, told.answers, told.ended) == ([], [(408, True)], True)


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if vector.status])
def test_a_good_request_before_it_is_answered_and_nothing_after_it(name: str) -> None:
    data = CANARY.replace(b"canary", b"before") + VECTORS[name].data + CANARY
    for size in sizes(data)[:2]:
        told = attack(data, size)
        assert [request.path for request in told.requests] == [b"/before"]
        assert told.answers == [(200, False), (VECTORS[name].status, True)]
        assert told.ended


# --- over sockets, where closing with bytes unread could lose the refusal


SAMPLE = [name for at, name in enumerate(VECTORS) if at % 12 == 0]


@pytest.mark.parametrize("name", SAMPLE)
def test_over_a_real_socket(name: str) -> None:
    vector = VECTORS[name]

    async def main() -> Told:
        loop = asyncio.get_running_loop()
        server, attacker = Server(SystemClock()), Attacker()
        listening = await loop.create_server(server.listener.connection, "127.0.0.1", 0)
        port = listening.sockets[0].getsockname()[1]
        transport, _ = await loop.create_connection(lambda: attacker, "127.0.0.1", port)
        transport.write(vector.data + CANARY)
        expected = 0 if vector.waits else 1 if vector.status or vector.closes else 2
        async with asyncio.timeout(5):
            while attacker.data.count(b"\r\n\r\n") < expected or (vector.status and not attacker.ended):
                await attacker.more()
        told = Told(server, attacker)
        transport.abort()
        listening.close()
        await server.listener.cut()
        return told

    told = asyncio.run(main())
    told.ended = told.ended or vector.closes  # its last byte may come a moment after the answer's
    judge(vector, told)


# --- the head that is known already: the shortcut must read what the parser reads


FIRST = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Type: a/b\r\nContent-Length: 3\r\nX-A: b\r\n\r\nabc"
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"0",
    b"1",
    b"3",
    b"9",
    b"+",
    b"-",
    b"x",
    b",",
    b";",
    b"\x00",
    b"\xff",
    b"abc",
    b"Content-Length: 3\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Host: a\r\n",
    b"3\r\nabc\r\n0\r\n\r\n",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"POST /x ",
    b"_",
    b"\r\n\r\n",
    CANARY,
    FIRST,
]


@st.composite
def mutated(draw: st.DrawFn, seeds: list[bytes]) -> bytes:
    """One of `seeds`, after a few cuts, insertions and replacements."""
    data = draw(st.sampled_from(seeds))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        cut = draw(st.integers(0, 4))
        data = data[:start] + draw(st.sampled_from([b"", *TOKENS])) + data[start + cut :]
    return data


Seen = tuple[list[tuple[object, ...]], int]


def read(parser: RequestParser, data: bytes) -> Seen:
    """What a parser makes of it: the requests, and the refusal's status."""
    status = 0
    try:
        parser.feed(data)
    except Refused as refused:
        status = refused.status
    found: list[tuple[object, ...]] = [
        (r.method, r.path, r.query, r.head.version, r.headers, r.body, r.keep_alive) for r in parser.ready
    ]
    parser.ready.clear()
    return found, status


@settings(max_examples=500, deadline=None)
@given(mutated([FIRST, FIRST + FIRST, FIRST.replace(b"3\r\nX", b"0000\r\nX"), FIRST.replace(b"abc", b"a")]))
def test_a_known_head_is_no_way_round_the_parser(data: bytes) -> None:
    for first in (FIRST, FIRST.replace(b"HTTP/1.1", b"HTTP/1.0").replace(b"X-A: b", b"Connection: keep-alive")):
        warm = RequestParser()
        warm.feed(first)
        assert len(warm.ready) == 1
        assert warm.known is not None, "the shortcut is armed"
        warm.ready.clear()
        assert read(warm, data) == read(RequestParser(), data)


@pytest.mark.parametrize("name", VECTORS)
def test_a_vector_after_a_known_head(name: str) -> None:
    vector = VECTORS[name]
    if len(vector.data) > 20 * KIB:
        pytest.skip("a head this large is never a known one")
    warm = RequestParser()
    warm.feed(FIRST)
    warm.ready.clear()
    assert read(warm, vector.data + CANARY) == read(RequestParser(), vector.data + CANARY)


@pytest.mark.parametrize(
    "head",
    [b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Transfer-Encoding: chunked\r\n"],
)
def test_what_says_more_than_a_length_is_not_remembered(head: bytes) -> None:
    parser = RequestParser()
    framed = b"" if b"chunked" in head else b"Content-Length: 3\r\n"
    parser.feed(b"POST /x HTTP/1.1\r\nHost: a\r\n" + head + framed + b"\r\n")
    parser.feed(b"3\r\nabc\r\n0\r\n\r\n" if b"chunked" in head else b"abc")
    assert parser.ready[0].body == b"abc"
    assert parser.known is None


@pytest.mark.parametrize("size", [1000, 7, 1])
@pytest.mark.parametrize("body", [b"", b"3\r\nabc\r\n0\r\n\r\n"], ids=["no body", "chunks"])
def test_a_good_request_line_does_not_stand_for_the_next(body: bytes, size: int) -> None:
    """What came before in the same read is no proof of what came now."""
    coding = b"Transfer-Encoding: chunked\r\n" if body else b"Content-Length: 0\r\n"
    request = b"POST /x HTTP/1.1\r\nHost: localhost\r\n" + coding + b"\r\n" + body
    told = attack(request + request + request.replace(b"/x ", b"/x  ") + CANARY, size)
    # In one read, the good one before it is refused with it: which of them is which cannot be told.
    served = 1 if size == 1000 else 2
    assert told.answers == [(200, False)] * served + [(400, True)]
    assert told.ended
