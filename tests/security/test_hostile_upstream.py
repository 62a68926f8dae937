"""A provider that lies: whatever bytes it sends, a call ends in a typed error or a right answer, in time, and the next
call gets its own answer."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest
import uvloop

from penstock.clock import Clock, SystemClock
from penstock.errors import ProtocolError, Unavailable, UpstreamError, UpstreamTimeout
from penstock.testing import EOF, RESET, Faults, Link, ScriptedUpstream, SimLoop, run
from penstock.testing.provider import Action
from penstock.transport.http import Connection, Origin, Pool
from tests.stage import CONFIG, Caller, Stage, chat

KIB = 1024
REQUEST = b"POST /v1/chat/completions HTTP/1.1\r\nhost: provider\r\ncontent-length: 2\r\n\r\n{}"
TIMEOUT = 20.0

OWN = b'{"answer":"the second call\'s own"}'
SECOND = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(OWN), OWN)
EVENT = b'data: {"choices":[]}\n\n'

Reply = Sequence[Action] | bytes
Outcome = type[UpstreamError] | tuple[int, bytes]


def answer(*fields: bytes, body: bytes = b"{}", status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    lines = b"".join(field + b"\r\n" for field in fields)
    return b"HTTP/%b %b\r\n%b\r\n%b" % (version, status, lines, body)


def chunked(body: bytes, *fields: bytes) -> bytes:
    return answer(b"Transfer-Encoding: chunked", *fields, body=body)


def stream(body: bytes) -> bytes:
    return chunked(body, b"Content-Type: text/event-stream")


def drip(data: bytes, every: float = 1.0) -> list[Action]:
    return [(every, data[at : at + 1]) for at in range(len(data))]


LENGTH = b"Content-Length: 2"
CHUNK = b"2\r\n{}\r\n0\r\n\r\n"

# What comes, and what the call makes of it: a class of errors, or a status and a body.
WHOLE: dict[str, tuple[Reply, Outcome]] = {
    # heads
    "nothing but a close": ([(0, EOF)], Unavailable),
    "nothing but a reset": ([(0, RESET)], Unavailable),
    "silence": ([(3600, EOF)], UpstreamTimeout),
    "garbage": (b"\x00\x01\x02\x03\xff" * 100, ProtocolError),
    "TLS where HTTP is spoken": (b"\x15\x03\x01\x00\x02\x02\x0a", ProtocolError),
    "another protocol's banner": (b"SSH-2.0-OpenSSH_9.6\r\n", ProtocolError),
    "HTTP/0.9": (b"{}", ProtocolError),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", ProtocolError),
    "HTTP/2.0 as version": (answer(LENGTH, version=b"2.0"), ProtocolError),
    "HTTP/1.2": (answer(LENGTH, version=b"1.2"), ProtocolError),
    "HTTP/9.9": (answer(LENGTH, version=b"9.9"), ProtocolError),
    "HTTP/1.0": (answer(LENGTH, version=b"1.0"), (200, b"{}")),
    "a request": (b"GET / HTTP/1.1\r\nHost: penstock\r\n\r\n", ProtocolError),
    "status of letters": (answer(LENGTH, status=b"abc OK"), ProtocolError),
    "status of two digits": (answer(LENGTH, status=b"20 OK"), ProtocolError),
    "status of four digits": (answer(LENGTH, status=b"2000 OK"), ProtocolError),
    "negative status": (answer(LENGTH, status=b"-200 OK"), ProtocolError),
    "status 099": (answer(LENGTH, status=b"099 Odd"), ProtocolError),
    "status 999": (answer(LENGTH, status=b"999 Odd"), ProtocolError),
    "no reason": (answer(LENGTH, status=b"200"), (200, b"{}")),
    "cut in the status line": ([(0, b"HTTP/1.1 20"), (0, EOF)], Unavailable),
    "cut in a header": ([(0, b"HTTP/1.1 200 OK\r\nContent-Le"), (0, EOF)], Unavailable),
    "reset in a header": ([(0, b"HTTP/1.1 200 OK\r\nContent-Le"), (0, RESET)], Unavailable),
    "a head that never ends": ([(0, b"HTTP/1.1 200 OK\r\nX: "), (3600, EOF)], UpstreamTimeout),
    "a head of 1 B/s": (drip(answer(LENGTH)), UpstreamTimeout),
    "a header of 1 MiB": (answer(LENGTH, b"X: " + b"a" * KIB * KIB), ProtocolError),
    "a status line of 1 MiB": (answer(LENGTH, status=b"200 " + b"a" * KIB * KIB), ProtocolError),
    "501 header fields": (answer(LENGTH, *(b"X-%d: a" % n for n in range(500))), ProtocolError),
    "500 header fields": (answer(LENGTH, *(b"X-%d: a" % n for n in range(499))), (200, b"{}")),
    "100,000 header fields": (answer(LENGTH, *(b"X-%d: a" % n for n in range(100_000))), ProtocolError),
    "100,000 times one field": (answer(LENGTH, *(b"X: a" for _ in range(100_000))), ProtocolError),
    "a header without a colon": (answer(LENGTH, b"Nonsense"), ProtocolError),
    "a header without a name": (answer(LENGTH, b": nonsense"), ProtocolError),
    "a space before the colon": (answer(b"Content-Length : 2"), ProtocolError),
    "a NUL in a header": (answer(LENGTH, b"X: a\x00b"), ProtocolError),
    "a folded header": (answer(LENGTH, b"X: a\r\n b"), ProtocolError),
    "a bare CR in a header": (answer(LENGTH, b"X: a\rContent-Length: 9"), ProtocolError),
    "a space before the first header": (answer(b" X: a", LENGTH), ProtocolError),
    # lengths
    "two lengths": (answer(LENGTH, b"Content-Length: 3"), ProtocolError),
    "the same length twice": (answer(LENGTH, LENGTH), ProtocolError),
    "lengths in a list": (answer(b"Content-Length: 2, 2"), ProtocolError),
    "a signed length": (answer(b"Content-Length: +2"), ProtocolError),
    "a negative length": (answer(b"Content-Length: -2"), ProtocolError),
    "a length in hex": (answer(b"Content-Length: 0x2"), ProtocolError),
    "an empty length": (answer(b"Content-Length: "), ProtocolError),
    "a length beyond 64 bits": (answer(b"Content-Length: 99999999999999999999"), ProtocolError),
    "a length with underscores": (answer(b"Content-Length: 1_0"), ProtocolError),
    "a length too long, then a close": ([(0, answer(b"Content-Length: 9")), (0, EOF)], Unavailable),
    "a length too long, then silence": ([(0, answer(b"Content-Length: 9")), (3600, EOF)], UpstreamTimeout),
    "a length too short": (answer(b"Content-Length: 1"), (200, b"{")),
    "a length of 1 TiB": (
        [(0, answer(b"Content-Length: %d" % (1 << 40)))] + [(0, b"a" * KIB * KIB)] * 70, ProtocolError,
    ),
    "a body without a length, closed": ([(0, answer()), (0, EOF)], (200, b"{}")),
    "a body without a length, reset": ([(0, answer()), (0, RESET)], Unavailable),
    "a body without a length, open": ([(0, answer()), (3600, EOF)], UpstreamTimeout),
    "a body of 1 B/s": ([(0, answer(b"Content-Length: 100", body=b"")), *drip(b" " * 100)], UpstreamTimeout),
    # codings
    "chunked and a length": (answer(LENGTH, b"Transfer-Encoding: chunked", body=CHUNK), ProtocolError),
    "gzip, chunked": (answer(b"Transfer-Encoding: gzip, chunked", body=CHUNK), ProtocolError),
    "gzip, then chunked": (
        answer(b"Transfer-Encoding: gzip", b"Transfer-Encoding: chunked", body=CHUNK), ProtocolError,
    ),
    "chunked twice": (answer(b"Transfer-Encoding: chunked, chunked", body=CHUNK), ProtocolError),
    "chunked, gzip": (answer(b"Transfer-Encoding: chunked, gzip", body=CHUNK), ProtocolError),
    "an unknown coding": ([(0, answer(b"Transfer-Encoding: xchunked", body=CHUNK)), (0, EOF)], ProtocolError),
    "identity": ([(0, answer(b"Transfer-Encoding: identity")), (0, EOF)], ProtocolError),
    "an empty coding": ([(0, answer(b"Transfer-Encoding: ")), (0, EOF)], ProtocolError),
    "chunked in capitals": (answer(b"TRANSFER-ENCODING: CHUNKED", body=CHUNK), (200, b"{}")),
    "a vertical tab before chunked": (answer(b"Transfer-Encoding: \x0bchunked", body=CHUNK), ProtocolError),
    # chunks
    "a chunk's size in letters": (chunked(b"xyz\r\n{}\r\n0\r\n\r\n"), ProtocolError),
    "a negative chunk": (chunked(b"-2\r\n{}\r\n0\r\n\r\n"), ProtocolError),
    "a chunk of 0x2": (chunked(b"0x2\r\n{}\r\n0\r\n\r\n"), ProtocolError),
    "a chunk beyond 64 bits": (chunked(b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n"), ProtocolError),
    "a chunk longer than it says": (chunked(b"1\r\n{}\r\n0\r\n\r\n"), ProtocolError),
    "a chunk without its line end": (chunked(b"2\r\n{}0\r\n\r\n"), ProtocolError),
    "chunks with bare LF": (chunked(b"2\n{}\n0\n\n"), ProtocolError),
    "truncated chunks": ([(0, chunked(b"2\r\n{}\r\n")), (0, EOF)], Unavailable),
    "a chunk cut in its size": ([(0, chunked(b"2")), (0, EOF)], Unavailable),
    "no blank line at the end": ([(0, chunked(b"2\r\n{}\r\n0\r\n")), (0, EOF)], Unavailable),
    "a chunk extension": (chunked(b"2;a=b\r\n{}\r\n0\r\n\r\n"), (200, b"{}")),
    "an extension of 1 MiB": (chunked(b"2;" + b"a" * KIB * KIB + b"\r\n{}\r\n0\r\n\r\n"), ProtocolError),
    "an extension without end": ([(0, chunked(b"2;"))] + [(0.001, b"a" * KIB)] * 1000, ProtocolError),
    "a trailer": (chunked(b"2\r\n{}\r\n0\r\nX: a\r\n\r\n"), (200, b"{}")),
    "a length as trailer": (chunked(b"2\r\n{}\r\n0\r\nContent-Length: 9\r\n\r\n"), ProtocolError),
    "a status as trailer": (chunked(b"2\r\n{}\r\n0\r\nContent-Encoding: gzip\r\n\r\n"), (200, b"{}")),
    "trailers without end": ([(0, chunked(b"2\r\n{}\r\n0\r\n"))] + [(0.001, b"X: a\r\n" * 99)] * 999, ProtocolError),
    "a trailer of 1 MiB": (
        [(0, chunked(b"2\r\n{}\r\n0\r\nX: "))] + [(0.001, b"a" * KIB)] * 1000, ProtocolError,
    ),
    # answers before and after the answer
    "100 Continue": (answer(status=b"100 Continue", body=b"") + answer(LENGTH), (200, b"{}")),
    "103 with headers of its own": (
        answer(b"Content-Length: 9", status=b"103 Early Hints", body=b"") + answer(LENGTH), (200, b"{}"),
    ),
    "100 times 100": (answer(status=b"100 Continue", body=b"") * 100 + answer(LENGTH), (200, b"{}")),
    "101 times 100": (answer(status=b"100 Continue", body=b"") * 101 + answer(LENGTH), ProtocolError),
    "1xx without end": ([(0.001, answer(b"X: a", status=b"102 Processing", body=b""))] * 5000, ProtocolError),
    "1xx, then silence": ([(1, answer(status=b"102 Processing", body=b""))] * 60, UpstreamTimeout),
    "1xx, then a close": ([(0, answer(status=b"100 Continue", body=b"")), (0, EOF)], Unavailable),
    "switching protocols": (answer(b"Upgrade: websocket", b"Connection: upgrade", status=b"101 S"), ProtocolError),
    "200 with an upgrade": (answer(LENGTH, b"Upgrade: h2c", b"Connection: upgrade"), (200, b"{}")),
    "204 with a body": (answer(LENGTH, status=b"204 No Content"), (204, b"")),
    "204 with chunks": (answer(b"Transfer-Encoding: chunked", body=CHUNK, status=b"204 No Content"), (204, b"")),
    "304 with a body": (answer(LENGTH, status=b"304 Not Modified"), (304, b"")),
    "205 with a body": (answer(LENGTH, status=b"205 Reset Content"), (205, b"{}")),
    "an answer to nobody after it": (answer(LENGTH) + answer(LENGTH, body=b"no"), (200, b"{}")),
    "an answer to nobody, later": ([(0, answer(LENGTH)), (0.5, answer(LENGTH, body=b"no"))], (200, b"{}")),
    "half an answer to nobody": (answer(LENGTH) + b"HTTP/1.1 200 OK\r\nConte", (200, b"{}")),
    "a line end too many": (answer(LENGTH) + b"\r\n", (200, b"{}")),
    "garbage after it": (answer(LENGTH) + b"\x00", (200, b"{}")),
    "a close after it": ([(0, answer(LENGTH)), (0, EOF)], (200, b"{}")),
    "a reset after it": ([(0, answer(LENGTH)), (0.5, RESET)], (200, b"{}")),
    "Connection: close, left open": (answer(LENGTH, b"Connection: close"), (200, b"{}")),
    "Connection: close, and more": (answer(LENGTH, b"Connection: close") + SECOND, (200, b"{}")),
    "a redirect": (
        answer(b"Location: http://thief/", b"Content-Length: 0", status=b"302 Found", body=b""), (302, b""),
    ),
}  # fmt: skip

# The same for a call that asked for a stream; what was read before the failure counts for nothing here.
STREAMED: dict[str, tuple[Reply, Outcome]] = {
    "a whole stream": (stream(b"16\r\n%b\r\n0\r\n\r\n" % EVENT), (200, EVENT)),
    "a stream cut after its head": ([(0, stream(b"")), (0, EOF)], Unavailable),
    "a stream cut in a chunk": ([(0, stream(b"99\r\n" + EVENT)), (0, EOF)], Unavailable),
    "a stream reset": ([(0, stream(b"16\r\n" + EVENT)), (0.5, RESET)], Unavailable),
    "a stream that falls silent": ([(0, stream(b"99\r\n" + EVENT)), (3600, EOF)], UpstreamTimeout),
    "a stream with a bad chunk": ([(0, stream(b"16\r\n%b\r\n" % EVENT)), (0.5, b"zz\r\n")], ProtocolError),
    "a stream with trailers without end": (
        [(0, stream(b"16\r\n%b\r\n0\r\n" % EVENT))] + [(0.001, b"X: a\r\n" * 99)] * 999, ProtocolError,
    ),
    "a stream with an extension without end": (
        [(0, stream(b"16\r\n%b\r\n2;" % EVENT))] + [(0.001, b"a" * KIB)] * 999, ProtocolError,
    ),
    "a stream and an answer to nobody": (stream(b"16\r\n%b\r\n0\r\n\r\n" % EVENT) + answer(LENGTH), (200, EVENT)),
    "a stream that ends with the connection": (
        [(0, answer(b"Content-Type: text/event-stream", body=EVENT)), (0, EOF)], (200, EVENT),
    ),
    "a stream of white space": ([(0, stream(b""))] + [(1, b"1\r\n \r\n")] * 60, UpstreamTimeout),
    "JSON under a stream's name": (stream(CHUNK), (200, b"{}")),
    "a page of HTML": (chunked(b"6\r\n<html>\r\n0\r\n\r\n", b"Content-Type: text/html"), (200, b"<html>")),
}  # fmt: skip


async def fetch(pool: Pool, origin: Origin, *, streamed: bool = False, timeout: float = TIMEOUT) -> tuple[int, bytes]:
    """One call, as the gateway makes them, with `timeout` as the longest silence and for all of it."""
    deadline = pool.now() + timeout
    connection = pool.take(origin) or await pool.connect(origin, 5.0)
    try:
        await connection.exchange(REQUEST, stream=streamed, timeout=timeout)
        body = b""
        connection.deadline = deadline
        if connection.streaming:
            while piece := await connection.read(timeout):
                body += piece
        return connection.parser.status, body or connection.parser.take()
    finally:
        connection.release()


@asynccontextmanager
async def upstream(*replies: Reply, clock: Clock) -> AsyncIterator[tuple[Pool, Origin, ScriptedUpstream]]:
    pool = Pool(clock)
    async with ScriptedUpstream(*replies, clock=clock) as server:
        try:
            yield pool, Origin("127.0.0.1", server.port), server
        finally:
            await pool.aclose()


async def outcome(pool: Pool, origin: Origin, *, streamed: bool) -> Outcome:
    try:
        return await fetch(pool, origin, streamed=streamed)
    except UpstreamError as error:
        return type(error)


def is_short(reply: Reply) -> bool:
    actions = [(0.0, reply)] if isinstance(reply, bytes) else reply
    return sum(len(action) for _, action in actions if isinstance(action, bytes)) <= 4 * KIB


PLAYED = [
    pytest.param(streamed, torn, *case, id=f"{name}{', byte by byte' if torn else ''}")
    for streamed, cases in ((False, WHOLE), (True, STREAMED))
    for name, case in cases.items()
    for torn in ((False, True) if is_short(case[0]) else (False,))
]


@pytest.mark.parametrize(("streamed", "torn", "reply", "expected"), PLAYED)
def test_a_lie_harms_nobody(streamed: bool, torn: bool, reply: Reply, expected: Outcome) -> None:
    async def main(loop: SimLoop) -> None:
        async with upstream(reply, SECOND, clock=loop.clock) as (pool, origin, _):
            if torn:
                loop.network.faults = Faults(down=Link(chunking="bytes"))
            begun = loop.time()
            assert await outcome(pool, origin, streamed=streamed) == expected
            assert loop.time() - begun <= TIMEOUT + 5
            assert pool.busy == 0
            if isinstance(expected, tuple):
                # What a provider sends of itself is known as such once it is here; sent in the very moment of the
                # next request, it is that one's answer (HTTP/1.1 numbers nothing).
                await loop.clock.sleep(1.0)
            assert await outcome(pool, origin, streamed=False) == (200, OWN)
            await loop.clock.sleep(1.0)
            assert await outcome(pool, origin, streamed=False) == (200, OWN)

    run(main, leak_free=True)


async def read_all(connection: Connection, sizes: list[int]) -> None:
    while piece := await connection.read(TIMEOUT):
        sizes.append(len(piece))


def test_a_stream_ends_at_a_gibibyte() -> None:
    async def main(loop: SimLoop) -> None:
        piece = b":" + b"a" * (KIB * KIB - 2) + b"\n"
        head = answer(b"Content-Type: text/event-stream", body=b"")
        async with upstream([(0, head), *[(0, piece)] * 1030], clock=loop.clock) as (pool, origin, _):
            connection = await pool.connect(origin, 5.0)
            await connection.exchange(REQUEST, stream=True, timeout=TIMEOUT)
            sizes: list[int] = []
            with pytest.raises(ProtocolError, match="larger than"):
                await read_all(connection, sizes)
            assert KIB**3 - KIB * KIB <= sum(sizes) <= KIB**3 + KIB * KIB
            connection.release()
            assert connection.closed

    run(main, leak_free=True)


@pytest.mark.parametrize("size", [1, 2, 3], ids=lambda size: f"chunks of {size}")
@pytest.mark.parametrize("together", [1, 1000])
def test_tiny_chunks_cost_bounded_memory(size: int, together: int) -> None:
    async def main(loop: SimLoop) -> None:
        chunk = b"%x\r\n%b\r\n" % (size, b"a" * size)
        head = chunked(b"", b"Content-Type: application/json")
        pieces = 100_000 if together == 1 else 1000
        async with upstream([(0, head), *[(0, chunk * together)] * pieces, (0, EOF)], clock=loop.clock) as made:
            pool, origin, _ = made
            connection = await pool.connect(origin, 5.0)
            asking = asyncio.ensure_future(connection.exchange(REQUEST, stream=False, timeout=TIMEOUT))
            with pytest.raises(Unavailable):
                await asking
            body = connection.parser.pending
            assert sum(map(len, body)) == pieces * together * size
            assert len(body) <= pieces * together * size / 2048 + 13
            connection.release()

    run(main, leak_free=True, max_steps=10**9)


def test_a_call_that_is_cancelled_in_mid_reply_leaves_its_connection_to_nobody() -> None:
    half = answer(b"Content-Length: 9", b"Content-Type: application/json")

    async def main(loop: SimLoop) -> None:
        for streamed, first in ((False, half), (True, stream(b"99\r\n" + EVENT))):
            late = [(0.0, first), (5.0, b"the rest of another's answer")]
            async with upstream(late, SECOND, clock=loop.clock) as (pool, origin, server):
                call = asyncio.ensure_future(fetch(pool, origin, streamed=streamed))
                await loop.clock.sleep(1)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
                assert pool.open == 0
                assert await fetch(pool, origin) == (200, OWN)
                assert len(server.received) == 2

    run(main, leak_free=True)


# --- through the whole gateway


def hostile(port: int, **timeouts: str) -> dict[str, object]:
    provider = {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1", "api_key": "env:UP_KEY"}
    models = {"fast": {"targets": ["up/small"], "timeouts": timeouts}}
    # One attempt each: what a hostile provider does shall be seen as it is.
    once = {"retry": "off", "breaker": "off"}
    return {"providers": {**CONFIG["providers"], "up": provider}, "models": models, "defaults": once}


JSON = b"Content-Type: application/json"
PACKED = zlib.compress(b"{}" * 1000)
TOLD: dict[str, tuple[Reply, bool, int, str]] = {
    "gzip it was not asked for": (
        answer(JSON, b"Content-Encoding: gzip", b"Content-Length: %d" % len(PACKED), body=PACKED),
        False, 502, "protocol_error",
    ),
    "gzip in a stream": (
        chunked(b"3\r\nabc\r\n0\r\n\r\n", b"Content-Type: text/event-stream", b"Content-Encoding: br"),
        True, 502, "protocol_error",
    ),
    "not JSON": (answer(JSON, b"Content-Length: 3", body=b"\xff\xfe{"), False, 502, "protocol_error"),
    "JSON of another shape": (answer(JSON, LENGTH, body=b"[]"), False, 502, "protocol_error"),
    "an endless line": (
        [(0, stream(b"")), *[(0.01, b"10000\r\n%b\r\n" % (b"a" * 65536))] * 600], True, 502, "protocol_error",
    ),
    "an answer of 1 B/s": (
        [(0, answer(JSON, b"Content-Length: 900", body=b"")), *drip(b" " * 900)], False, 504, "upstream_timeout",
    ),
    "a stream of comments": (
        [(0, stream(b"")), *[(1, b"2\r\n:\n\r\n")] * 900], True, 504, "upstream_timeout",
    ),
    "a redirect elsewhere": (
        answer(b"Location: http://thief:80/", b"Content-Length: 0", status=b"307 Moved", body=b""),
        False, 502, "",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("reply", "streamed", "status", "code"), TOLD.values(), ids=TOLD)
def test_the_caller_is_told(reply: Reply, streamed: bool, status: int, code: str) -> None:
    async def main(loop: SimLoop) -> None:
        async with ScriptedUpstream(reply, clock=loop.clock) as server:
            stage = Stage(loop, hostile(server.port, first_token="14s", idle="30s", total="60s"))
            async with stage:
                caller = await Caller.connect()
                begun = loop.time()
                told = await caller.post(chat(stream=streamed))
                assert told.status == status
                assert code in (told.error["code"], "")
                assert loop.time() - begun < 61
                assert stage.gateway.upstream_busy == 0
                caller.close()

    run(main)


def test_credentials_follow_no_redirect() -> None:
    """Neither to another host, nor to another path of the same."""

    async def main(loop: SimLoop) -> None:
        async with ScriptedUpstream(SECOND, clock=loop.clock) as thief:
            for status in (b"301 M", b"302 F", b"303 S", b"307 T", b"308 P"):
                there = b"Location: http://127.0.0.1:%d/v1/chat/completions" % thief.port
                reply = answer(there, b"Content-Length: 0", status=status, body=b"")
                server = ScriptedUpstream(reply, clock=loop.clock)
                async with server, Stage(loop, hostile(server.port)):
                    caller = await Caller.connect()
                    told = await caller.post(chat())
                    assert told.status == 502
                    assert len(server.requests) == 1
                    caller.close()
            assert thief.requests == []

    run(main)


def test_a_stream_of_comments_ends_by_the_total() -> None:
    """After its first output, where every comment puts the idle timeout off."""
    first = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":'
    first += b'{"content":"Hello"},"finish_reason":null}]}\n\n'
    reply = [(0.0, stream(b"%x\r\n%b\r\n" % (len(first), first))), *[(1.0, b"2\r\n:\n\r\n")] * 900]

    async def main(loop: SimLoop) -> None:
        async with ScriptedUpstream(reply, clock=loop.clock) as server:
            stage = Stage(loop, hostile(server.port, idle="30s", total="60s"))
            async with stage:
                caller = await Caller.connect()
                begun = loop.time()
                told = await caller.post(chat(stream=True))
                assert (told.status, told.text) == (200, "Hello")
                assert 59 < loop.time() - begun < 62
                assert b"error" in told.body
                caller.close()

    run(main)


# --- on real sockets

REAL = ("a length too short", "an answer to nobody after it", "half an answer to nobody", "garbage after it",
    "truncated chunks", "a head that never ends", "a header of 1 MiB", "1xx without end",
    "trailers without end", "a length of 1 TiB", "nothing but a reset", "204 with a body",
)  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_a_lie_on_a_real_socket(name: str) -> None:
    reply, expected = WHOLE[name]

    async def main() -> None:
        async with upstream(reply, SECOND, clock=SystemClock()) as (pool, origin, _):
            loop = asyncio.get_running_loop()
            begun = loop.time()
            try:
                made: Outcome = await fetch(pool, origin, timeout=0.5 if expected is UpstreamTimeout else 10.0)
            except UpstreamError as error:
                made = type(error)
            assert made == expected
            assert loop.time() - begun < 12
            assert await outcome(pool, origin, streamed=False) == (200, OWN)

    uvloop.run(main())


def test_memory_stays_flat_under_lies_on_real_sockets() -> None:
    lies = [reply for name, (reply, _) in WHOLE.items() if not name.startswith(("silence", "a length of 1 TiB"))]

    async def main() -> None:
        for reply in lies[:60]:
            if isinstance(reply, bytes):
                async with upstream(reply, clock=SystemClock()) as (pool, origin, _):
                    try:
                        await fetch(pool, origin, timeout=0.05)
                    except UpstreamError:
                        pass

    tracemalloc.start()
    uvloop.run(main())
    gc.collect()
    before, _ = tracemalloc.get_traced_memory()
    for _ in range(3):
        uvloop.run(main())
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert after - before < 256 * KIB
