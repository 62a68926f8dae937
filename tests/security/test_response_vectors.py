"""Raw bytes that a hostile provider sends to our client, each with the one way in which it may be read.

At the parser and at the pool's connection: what is not exactly one answer to what was asked is an error, or is read as
every other reader would and the connection is closed; never is a byte of it taken for the answer to the next request.
"""

from __future__ import annotations

from dataclasses import dataclass

import h11
import pytest

from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.testing import SimLoop, run
from penstock.testing.provider import EOF, ScriptedUpstream
from penstock.transport.http import Origin, Pool
from penstock.wire.h1_response import Malformed, ResponseParser

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EMPTY = b"Content-Length: 0\r\n\r\n"
END = b"0\r\n\r\n"
ABC = b"3\r\nabc\r\n"
TWO_CODINGS = OK + b"Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n"
SECOND = OK + b"Content-Length: 6\r\n\r\nstolen"


@dataclass(frozen=True)
class Vector:
    """`body` None: it must be an error. `kept`: whether the connection may be used again. `why` it is read at all."""

    data: bytes
    body: bytes | None = None
    kept: bool = False
    why: str = ""


VECTORS: dict[str, Vector] = {}


def bad(family: str, **cases: bytes) -> None:
    for name, data in cases.items():
        VECTORS[f"{family} {name}"] = Vector(data)


def good(name: str, data: bytes, body: bytes, why: str, *, kept: bool = False) -> None:
    VECTORS[name] = Vector(data, body, kept, why)


bad(
    "line",
    none=b"hello\r\n\r\n",
    html=b"<html>no</html>",
    tls=b"\x15\x03\x01\x00\x02\x02\x50",
    request=b"GET / HTTP/1.1\r\n\r\n",
    lower_case=b"http/1.1 200 OK\r\n" + EMPTY,
    mixed_case=b"Http/1.1 200 OK\r\n" + EMPTY,
    version_0_9=b"HTTP/0.9 200 OK\r\n" + EMPTY,
    version_1_2=b"HTTP/1.2 200 OK\r\n" + EMPTY,
    version_2=b"HTTP/2.0 200 OK\r\n" + EMPTY,
    version_2_without_minor=b"HTTP/2 200\r\n" + EMPTY,
    version_3=b"HTTP/3.0 200 OK\r\n" + EMPTY,
    version_1=b"HTTP/1 200 OK\r\n" + EMPTY,
    version_11=b"HTTP/11 200 OK\r\n" + EMPTY,
    version_1_01=b"HTTP/1.01 200 OK\r\n" + EMPTY,
    version_comma=b"HTTP/1,1 200 OK\r\n" + EMPTY,
    version_signed=b"HTTP/+1.1 200 OK\r\n" + EMPTY,
    version_letters=b"HTTP/x.y 200 OK\r\n" + EMPTY,
    version_missing=b"HTTP 200 OK\r\n" + EMPTY,
    https=b"HTTPS/1.1 200 OK\r\n" + EMPTY,
    icy=b"ICY 200 OK\r\n\r\n",
    rtsp=b"RTSP/1.1 200 OK\r\n" + EMPTY,
    ice=b"ICE/1.1 200 OK\r\n" + EMPTY,
    rtsp_behind_an_empty_line=b"\r\nRTSP/1.0 200 OK\r\n" + EMPTY,
    space_in_front=b" HTTP/1.1 200 OK\r\n" + EMPTY,
    two_spaces=b"HTTP/1.1  200 OK\r\n" + EMPTY,
    tab=b"HTTP/1.1\t200 OK\r\n" + EMPTY,
    bare_lf=b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    bare_cr=b"HTTP/1.1 200 OK\rContent-Length: 0\r\r",
    cr_cr_lf=b"HTTP/1.1 200 OK\r\r\n" + EMPTY,
    status_zero=b"HTTP/1.1 000 No\r\n" + EMPTY,
    status_099=b"HTTP/1.1 099 No\r\n" + EMPTY,
    status_99=b"HTTP/1.1 99 No\r\n" + EMPTY,
    status_20=b"HTTP/1.1 20 No\r\n" + EMPTY,
    status_600=b"HTTP/1.1 600 No\r\n" + EMPTY,
    status_999=b"HTTP/1.1 999 No\r\n" + EMPTY,
    status_2000=b"HTTP/1.1 2000 No\r\n" + EMPTY,
    status_signed=b"HTTP/1.1 +20 No\r\n" + EMPTY,
    status_negative=b"HTTP/1.1 -20 No\r\n" + EMPTY,
    status_hex=b"HTTP/1.1 0xc8 No\r\n" + EMPTY,
    status_letters=b"HTTP/1.1 OK 200\r\n" + EMPTY,
    status_half=b"HTTP/1.1 2o0 OK\r\n" + EMPTY,
    status_missing=b"HTTP/1.1 \r\n" + EMPTY,
    status_and_text=b"HTTP/1.1 200OK\r\n" + EMPTY,
    status_point=b"HTTP/1.1 200.1 OK\r\n" + EMPTY,
    endless=b"HTTP/1.1 200 " + b"O" * 70_000,
)
bad(
    "interim",
    switching=b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n" + OK + EMPTY,
    flood=b"HTTP/1.1 100 Continue\r\n\r\n" * 3000 + OK + EMPTY,
    flood_of_hints=b"HTTP/1.1 103 Early\r\nLink: </a>\r\n\r\n" * 300 + OK + EMPTY,
    with_a_body=b"HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\nhello" + OK + EMPTY,
    alone=b"HTTP/1.1 100 Continue\r\n\r\n",
    bad_line_behind=b"HTTP/1.1 100 Continue\r\n\r\nhello",
    endless=b"HTTP/1.1 103 Early\r\nLink: " + b"x" * 70_000,
)
bad(
    "length",
    **{
        name: OK + b"Content-Length: " + value + b"\r\n\r\nabc"
        for name, value in {
            "empty": b"",
            "blank": b"  ",
            "plus": b"+3",
            "minus": b"-3",
            "hex": b"0x3",
            "hex_digit": b"a",
            "octal": b"0o3",
            "exponent": b"3e0",
            "point": b"3.0",
            "underscore": b"1_0",
            "quoted": b'"3"',
            "list": b"3, 3",
            "other_list": b"3, 4",
            "comma_behind": b"3,",
            "comma_before": b",3",
            "semicolon": b"3;a",
            "two_words": b"3 3",
            "nul": b"3\x00",
            "vertical_tab": b"\x0b3",
            "letters": b"three",
            "huge": b"9" * 30,
            "wrapped": b"18446744073709551619",
            "bare_cr": b"3\rX: y",
            "bare_lf": b"3\nX: y",
            "fullwidth": "３".encode(),
            "no_break_space": b"\xa03",
        }.items()
    },
    twice=OK + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    different=OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    other_case=OK + b"Content-Length: 3\r\nCONTENT-LENGTH: 0\r\n\r\nabc",
    folded=OK + b"Content-Length:\r\n 3\r\n\r\nabc",
    space_before_the_colon=OK + b"Content-Length : 3\r\n\r\nabc",
    and_chunks=OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n" + ABC + END,
    behind_chunks=OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n" + ABC + END,
    and_identity=OK + b"Content-Length: 3\r\nTransfer-Encoding: identity\r\n\r\nabc",
    never_filled=OK + b"Content-Length: 30\r\n\r\nabc",
)
bad(
    "coding",
    **{
        name: OK + b"Transfer-Encoding: " + value + b"\r\n\r\n" + ABC + END
        for name, value in {
            "empty": b"",
            "identity": b"identity",
            "gzip": b"gzip",
            "gzip_then_chunked": b"gzip, chunked",
            "chunked_then_gzip": b"chunked, gzip",
            "chunked_twice": b"chunked, chunked",
            "xchunked": b"xchunked",
            "x_chunked": b"x-chunked",
            "parameter": b"chunked;q=1",
            "comma_behind": b"chunked,",
            "comma_before": b",chunked",
            "quoted": b'"chunked"',
            "tab_behind": b"chunked\t",
            "two_words": b"chunked x",
            "vertical_tab": b"\x0bchunked",
            "nul": b"chunked\x00",
            "folded": b"\r\n chunked",
            "cow": b"cow",
        }.items()
    },
    **{
        name: OK + lines.replace(b"CODING", b"Transfer-Encoding") + b"\r\n" + ABC + END
        for name, lines in {
            "repeated": b"CODING: chunked\r\nCODING: chunked\r\n",
            "repeated_gzip": b"CODING: gzip\r\nCODING: chunked\r\n",
            "repeated_identity": b"CODING: identity\r\nA: b\r\nCODING: chunked\r\n",
            "repeated_cow_behind": b"CODING: chunked\r\nCODING: cow\r\n",
            "repeated_in_another_case": b"transfer-Encoding: cow\r\nCODING: chunked\r\n",
        }.items()
    },
    repeated_behind_hints=b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + TWO_CODINGS + b"\r\n" + ABC + END,
    space_before_the_colon=OK + b"Transfer-Encoding : chunked\r\n\r\n" + ABC + END,
    nul_in_the_name=OK + b"Transfer-\x00Encoding: chunked\r\n\r\n" + ABC + END,
)
bad(
    "chunk",
    **{
        name: CHUNKED + body
        for name, body in {
            "bare_lf_after_the_size": b"3\nabc\r\n" + END,
            "bare_lf_after_the_data": b"3\r\nabc\n" + END,
            "bare_cr": b"3\rabc\r\n" + END,
            "nothing_after_the_data": b"3\r\nabc" + END,
            "space_after_the_size": b"3 \r\nabc\r\n" + END,
            "space_before": b" 3\r\nabc\r\n" + END,
            "plus": b"+3\r\nabc\r\n" + END,
            "minus": b"-3\r\nabc\r\n" + END,
            "prefix": b"0x3\r\nabc\r\n" + END,
            "no_size": b"\r\nabc\r\n" + END,
            "letter": b"g\r\nabc\r\n" + END,
            "wrapped": b"10000000000000003\r\nabc\r\n" + END,
            "thirty_digits": b"f" * 30 + b"\r\nabc",
            "too_much": b"3\r\nabcd\r\n" + END,
            "too_little": b"3\r\nab\r\n" + END,
            "no_end": ABC,
            "half_an_end": ABC + b"0\r\n",
            "bare_lf_end": ABC + b"0\n\n",
            "never_filled": b"ffffffff\r\nabc",
            "open_quotes": b'3;a="b\r\nabc\r\n' + END,
            "lf_in_an_extension": b"3;a\nabc\r\n" + END,
            "nul_in_an_extension": b"3;a=\x00\r\nabc\r\n" + END,
            "empty_extension": b"3;\r\nabc\r\n" + END,
            "endless_extension": b"3;" + b"a" * 700_000,
            "endless_trailers": ABC + b"0\r\n" + b"A: b\r\n" * 120_000,
            "length_in_a_trailer": ABC + b"0\r\nContent-Length: 3\r\n\r\n",
            "folded_trailer": ABC + b"0\r\nA: b\r\n c\r\n\r\n",
            "nul_in_a_trailer": ABC + b"0\r\nA: \x00\r\n\r\n",
            "line_for_a_trailer": ABC + b"0\r\n" + OK + b"\r\n",
        }.items()
    },
)
bad(
    "field",
    **{
        name: OK + lines + EMPTY
        for name, lines in {
            "folded": b"A: b\r\n c\r\n",
            "first_folded": b" A: b\r\n",
            "bare_lf": b"A: b\nC: d\r\n",
            "bare_cr": b"A: b\rC: d\r\n",
            "cr_cr_lf": b"A: b\r\r\n",
            "nul": b"A: \x00\r\n",
            "control": b"A: \x01\r\n",
            "delete": b"A: \x7f\r\n",
            "nul_in_a_name": b"A\x00: b\r\n",
            "space_before_the_colon": b"A : b\r\n",
            "space_in_a_name": b"A B: c\r\n",
            "empty_name": b": b\r\n",
            "no_colon": b"A\r\n",
            "high_byte_in_a_name": b"\xe9: b\r\n",
            "brackets": b"A(b): c\r\n",
            "too_many": b"".join(b"A%d: b\r\n" % at for at in range(501)),
            "endless": b"A: " + b"b" * 70_000 + b"\r\n",
            "many_and_long": b"A: b\r\n" * 20_000,
        }.items()
    },
)
bad(
    "end",
    nothing=b"",
    half_a_line=b"HTTP/1.1 2",
    half_a_head=OK + b"Content-Le",
    head_only=OK + b"Content-Length: 3\r\n\r\n",
)

STOLEN = "what follows answers nothing that was asked: the connection is closed"
good("splitting a second answer", OK + b"Content-Length: 3\r\n\r\nabc" + SECOND, b"abc", STOLEN)
good("splitting after chunks", CHUNKED + ABC + END + SECOND, b"abc", STOLEN)
good("splitting after an empty body", OK + EMPTY + SECOND, b"", STOLEN)
good("splitting after 204", b"HTTP/1.1 204 No Content\r\n\r\n" + SECOND, b"", STOLEN)
good("splitting after 304", b"HTTP/1.1 304 Not Modified\r\n\r\n" + SECOND, b"", STOLEN)
good("splitting a body of 204", b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\nhello", b"", STOLEN)
good("splitting chunks of 204", b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n" + ABC + END, b"", STOLEN)
good("splitting one byte more", OK + b"Content-Length: 3\r\n\r\nabcd", b"abc", STOLEN)
good("splitting a NUL more", OK + b"Content-Length: 3\r\n\r\nabc\x00", b"abc", STOLEN)
good("splitting after close", OK + b"Connection: close\r\nContent-Length: 3\r\n\r\nabc" + SECOND, b"abc", STOLEN)
good(
    "splitting an answer within a body",
    OK + b"Content-Length: %d\r\n\r\n" % len(SECOND) + SECOND,
    SECOND,
    "a body is a body",
    kept=True,
)
good(
    "splitting an answer until the end",
    OK + b"\r\n" + SECOND,
    SECOND,
    "without a length, all until the end is the body",
)
good(
    "underscore for a coding",
    OK + b"Transfer_Encoding: chunked\r\n\r\nabc",
    b"abc",
    "another header; no length, so until the end",
)
good(
    "underscore for a length",
    OK + b"Content_Length: 1\r\n\r\nabc",
    b"abc",
    "another header; no length, so until the end",
)
good(
    "1.0 with chunks",
    b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + ABC + END,
    b"abc",
    "read as chunks and closed (RFC 9112, section 6.1)",
)
good(
    "1.0 with chunks that stays open",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + ABC + END,
    b"abc",
    "read as chunks and closed (RFC 9112, section 6.1)",
)
good(
    "1.0 that stays open and closes",
    b"HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nContent-Length: 3\r\n\r\nabc",
    b"abc",
    "closes (RFC 9112, section 9.3)",
)
good(
    "a body that speaks of codings",
    OK + b"Transfer-Encoding: chunked\r\n\r\n16\r\n\r\ntransfer-encoding: x\r\n" + END,
    b"\r\ntransfer-encoding: x",
    "a body is a body",
    kept=True,
)
good("1.0", b"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", "closes")
good(
    "hints",
    b"HTTP/1.1 103 Early\r\nA: b\r\n\r\n" + OK + b"Content-Length: 3\r\n\r\nabc",
    b"abc",
    "1xx is skipped",
    kept=True,
)
good("zeros in front", OK + b"Content-Length: 003\r\n\r\nabc", b"abc", "1*DIGIT", kept=True)
good("spaces around a length", OK + b"Content-Length:  3 \r\n\r\nabc", b"abc", "optional white space", kept=True)
good("no reason", b"HTTP/1.1 200\r\nContent-Length: 3\r\n\r\nabc", b"abc", "common, and nothing hangs on it", kept=True)
good(
    "a NUL in the reason",
    b"HTTP/1.1 200 O\x00K\r\nContent-Length: 3\r\n\r\nabc",
    b"abc",
    "the reason is not read",
    kept=True,
)
good(
    "obs-text",
    OK + b"A: caf\xe9\r\nContent-Length: 3\r\n\r\nabc",
    b"abc",
    "only read where a header is known",
    kept=True,
)
good("an upgrade offered", OK + b"Upgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", b"abc", "we ask for none", kept=True)
good("an extension", CHUNKED + b'3;a="b"\r\nabc\r\n' + END, b"abc", "ignored", kept=True)
good("a trailer", CHUNKED + ABC + b"0\r\nContent-Type: text/html\r\n\r\n", b"abc", "ignored", kept=True)


def test_there_are_enough_of_them() -> None:
    assert len(VECTORS) >= 120
    assert sum(1 for vector in VECTORS.values() if vector.body is None) >= 100
    assert all(vector.why for vector in VECTORS.values() if vector.body is not None)


def read(data: bytes, size: int) -> tuple[bytes, bool] | None:
    """The body and whether the connection may be kept; None where it is an error."""
    parser = ResponseParser()
    body = b""
    try:
        for at in range(0, len(data), size):
            parser.feed(data[at : at + size])
            body += parser.take()
        kept = parser.complete and parser.keep_alive and not parser.surplus
        parser.eof()
    except Malformed:
        return None
    finally:
        parser.close()
    return body, kept


@pytest.mark.parametrize("name", VECTORS)
def test_the_parser(name: str) -> None:
    vector = VECTORS[name]
    for size in [100_000] if len(vector.data) > 20_000 else [len(vector.data) or 1, 1, 7]:
        assert read(vector.data, size) == (None if vector.body is None else (vector.body, vector.kept))


def ask(data: bytes, clock: Clock | None = None) -> tuple[bytes | None, int, int]:
    """What a pool's connection makes of it: the body (None: an error), open connections after it, and after 0.5 s."""

    async def main(loop: SimLoop) -> tuple[bytes | None, int, int]:
        upstream = ScriptedUpstream([(0.01, data), (0.2, EOF)], clock=loop.clock)
        server = await loop.create_server(upstream.connection, "hostile", 80)
        pool, origin = Pool(loop.clock), Origin("hostile", 80)
        connection = await pool.connect(origin, 5)
        body: bytes | None = None
        try:
            await connection.exchange(b"GET / HTTP/1.1\r\nHost: hostile\r\n\r\n", stream=False, timeout=5)
            body = connection.parser.take()
        except PenstockError:
            connection.discard()
        connection.release()
        kept = pool.open
        await loop.clock.sleep(0.5)
        left = pool.open
        await pool.aclose()
        server.close()
        return body, kept, left

    return run(main, leak_free=True)


@pytest.mark.parametrize("name", VECTORS)
def test_a_pools_connection(name: str) -> None:
    vector = VECTORS[name]
    body, kept, left = ask(vector.data)
    assert body == vector.body
    assert left == 0, "the provider closed"
    if not vector.kept:
        assert kept == 0, "what is not clean is not kept"


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if len(vector.data) < 20_000])
def test_h11_reads_the_same_or_refuses(name: str) -> None:
    """A second parser may be stricter where the table says why we are not; where both read, they read the same."""
    vector = VECTORS[name]
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    body = b""
    try:
        client.receive_data(vector.data)
        client.receive_data(b"")
        while not isinstance(event := client.next_event(), h11.EndOfMessage | h11.ConnectionClosed):
            if isinstance(event, h11.Data):
                body += bytes(event.data)
    except h11.RemoteProtocolError:
        return
    if vector.body is not None and isinstance(event, h11.EndOfMessage):
        assert body == vector.body
