"""wire/h1: what is legal, what is refused with which status, for any chunking; and h11 as a second opinion."""

from __future__ import annotations

from collections.abc import Callable

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.framing import encode_chunk
from penstock.wire.h1 import HttpRequest, Refused, RequestParser, encode_response_head
from penstock.wire.h1_response import PARSER_ERRORS, Malformed, ResponseParser

GET = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = (
    b"POST /v1/chat/completions?a=1 HTTP/1.1\r\nHost: localhost:8484\r\nContent-Type: application/json\r\n"
    b"X-Twice: a\r\nX-Twice: b\r\nContent-Length: 5\r\n\r\nhello"
)
CHUNKED = (
    b"POST /x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2;ext=1\r\nhe\r\n3\r\nllo\r\n0\r\nX-Api-Key: other\r\n\r\n"
)

# What Java's java.net.http.HttpClient sends to a server it has not met in plain text, with a body of either framing.
OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAEAAEAAAAIAAAAB\r\nUpgrade: h2c\r\n"
JAVAS = POST.replace(b"X-Twice: a\r\n", OFFER)
JAVAS_CHUNKED = CHUNKED.replace(b"Host:", OFFER + b"Host:")


def parse(data: bytes, sizes: list[int] | None = None) -> list[HttpRequest]:
    parser = RequestParser(max_body=1000)
    for piece in pieces(data, sizes or [len(data)]):
        parser.feed(piece)
    return list(parser.ready)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    out, at, turn = [], 0, 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        out.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return out


def seen(request: HttpRequest) -> tuple[object, ...]:
    return request.method, request.path, request.query, request.headers, request.body, request.keep_alive


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6))
def test_any_chunking_gives_the_same_requests(sizes: list[int]) -> None:
    data = POST + JAVAS + CHUNKED + JAVAS_CHUNKED + JAVAS + GET
    assert [seen(r) for r in parse(data, sizes)] == [seen(r) for r in parse(data)]


def test_an_offer_to_switch_protocols_is_passed_over() -> None:
    offered = parse(JAVAS + JAVAS_CHUNKED + JAVAS + GET)
    assert [request.body for request in offered] == [b"hello"] * 3 + [b""]
    assert [request.path for request in offered] == [
        b"/v1/chat/completions",
        b"/x",
        b"/v1/chat/completions",
        b"/healthz",
    ]
    assert all(request.keep_alive for request in offered)
    assert [request.headers.get(b"upgrade") for request in offered] == [b"h2c"] * 3 + [None]
    with pytest.raises(Refused, match="body is larger"):
        parse(JAVAS.replace(b"Content-Length: 5", b"Content-Length: 1001"))
    with pytest.raises(Refused, match="body is larger"):
        parse(JAVAS_CHUNKED.replace(b"2;ext=1\r\nhe", b"%x\r\n%b" % (1001, b"." * 1001)))
    with pytest.raises(Refused, match="request line"):
        parse(JAVAS + GET.replace(b" HTTP", b"  HTTP"))


def test_a_request_as_it_was_sent() -> None:
    (request,) = parse(POST)
    assert (request.method, request.path, request.query, request.body) == (
        b"POST", b"/v1/chat/completions", b"a=1", b"hello",
    )  # fmt: skip
    assert request.headers[b"x-twice"] == b"a, b"
    assert request.keep_alive


def test_trailers_cannot_override_headers() -> None:
    (request,) = parse(CHUNKED)
    assert request.body == b"hello"
    assert b"x-api-key" not in request.headers


def test_requests_before_a_refused_one_are_kept() -> None:
    parser = RequestParser()
    with pytest.raises(Refused):
        parser.feed(GET + b"GARBAGE\r\n\r\n")
    assert [r.path for r in parser.ready] == [b"/healthz"]


def test_the_absolute_form_is_for_this_host_only() -> None:
    (request,) = parse(b"GET http://localhost/x?y HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (request.path, request.query) == (b"/x", b"y")


def test_http_1_0_closes_unless_asked_not_to() -> None:
    (request,) = parse(b"GET / HTTP/1.0\r\n\r\n")
    assert not request.keep_alive


def test_continue_is_wanted_until_the_body_comes() -> None:
    parser = RequestParser()
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
    assert parser.wants_continue
    parser.feed(b"ok")
    assert not parser.wants_continue
    assert parser.ready[0].body == b"ok"


HEAD = b"POST / HTTP/1.1\r\nHost: a\r\n"
REFUSED = {
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
    "host with a space": (b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
    "host with userinfo": (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400),
    "host with a path": (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400),
    "empty host": (b"GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
    "absolute form elsewhere": (b"GET http://evil/ HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "CONNECT": (b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "asterisk with userinfo": (b"GET a@b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", 400),
    "HTTP/2": (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "length and chunks": (HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "two lengths": (HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400),
    "a list of lengths": (HEAD + b"Content-Length: 3, 3\r\n\r\nabc", 400),
    "signed length": (HEAD + b"Content-Length: +3\r\n\r\nabc", 400),
    "negative length": (HEAD + b"Content-Length: -3\r\n\r\nabc", 400),
    "hex length": (HEAD + b"Content-Length: 0x3\r\n\r\nabc", 400),
    "length with a space": (HEAD + b"Content-Length: 3 3\r\n\r\nabc", 400),
    "huge length": (HEAD + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "length over the cap": (HEAD + b"Content-Length: 1001\r\n\r\n", 413),
    "chunks over the cap": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n400\r\n" + b"x" * 1024, 413),
    "other coding": (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 400),
    "coding before chunked": (HEAD + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 400),
    "chunked twice": (HEAD + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400),
    "two codings": (HEAD + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "chunks in 1.0": (b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    "bad chunk size": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\nhe\r\n0\r\n\r\n", 400),
    "bad chunk end": (HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nheXX0\r\n\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\nHost: a\n\n", 400),
    "bare CR": (b"GET / HTTP/1.1\rHost: a\r\r", 400),
    "space before colon": (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    "obs-fold": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\n c\r\n\r\n", 400),
    "NUL in a value": (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\x00c\r\n\r\n", 400),
    "obs-text": (b"GET / HTTP/1.1\r\nHost: a\r\nX: caf\xe9\r\n\r\n", 400),
    "underscore twin": (HEAD + b"Content_Length: 3\r\n\r\nabc", 400),
    "our header's twin": (HEAD + b"x_penstock_user: root\r\n\r\n", 400),
    "two credentials": (HEAD + b"Authorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n", 400),
    "unknown expectation": (HEAD + b"Expect: 200-ok\r\n\r\n", 417),
    "too many fields": (HEAD + b"".join(b"x%d: y\r\n" % i for i in range(100)) + b"\r\n", 431),
    "repeats count too": (HEAD + b"x: y\r\n" * 100 + b"\r\n", 431),
    "target too large": (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    "endless head": (HEAD + b"x: " + b"y" * 70_000, 431),
    "no HTTP at all": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "a flood of pipelined requests": (GET * 100, 400),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(case: str) -> None:
    data, status = REFUSED[case]
    with pytest.raises(Refused) as refused:
        parse(data)
    assert refused.value.status == status
    # And byte by byte: the verdict does not hang on how the bytes came.
    with pytest.raises(Refused) as slowly:
        parse(data, [1])
    assert slowly.value.status == status


@pytest.mark.parametrize("case", ["plain", "chunked", "until close", "interim", "no content"])
def test_responses(case: str) -> None:
    data, body = {
        "plain": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", b"ok"),
        "until close": (b"HTTP/1.1 200 OK\r\n\r\nok", b"ok"),
        "interim": (b"HTTP/1.1 103 Early\r\nA: b\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", b"ok"),
        "no content": (b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    }[case]
    for size in (len(data), 1):
        parser = ResponseParser()
        for piece in pieces(data, [size]):
            parser.feed(piece)
        if case == "until close":
            assert not parser.complete
            parser.eof()
        assert parser.complete
        assert parser.take() == body
        assert parser.keep_alive == (case != "until close")
        assert b"a" not in parser.headers


def test_a_chunk_a_byte_is_held_in_one_piece_a_read() -> None:
    count = 20_000
    bytewise = b"1\r\nx\r\n" * count
    response = ResponseParser()
    response.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for turn in range(1, 4):
        response.feed(bytewise)
        assert response.gather() == turn * count
        assert len(response.pending) == turn
    assert response.take() == b"x" * 3 * count
    assert response.gather() == 0
    request = RequestParser()
    request.feed(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(3):
        request.feed(bytewise)
    assert len(request._chunks) == 3
    request.feed(b"0\r\n\r\n")
    assert request.ready[0].body == b"x" * 3 * count


@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_body_in_crumbs_is_held_in_few_pieces(size: int) -> None:
    parser, body = RequestParser(), bytes(range(256)) * 60
    parser.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % len(body))
    for start in range(0, len(body), size):
        assert parser.received == start
        assert len(parser._chunks) <= 64 + 14
        parser.feed(body[start : start + size])
    assert parser.ready[0].body == body


@pytest.mark.parametrize(
    "bad", [b"HTTP/1.1 700 No\r\n\r\n", b"HTTP/1.1 100 Go on\r\n\r\n" * 101, b"HTTP/2 200\r\n\r\n"]
)
def test_what_comes_behind_a_malformed_response_is_malformed(bad: bytes) -> None:
    """More may be read before whoever waits has been told, and closes."""
    parser = ResponseParser()
    for more in (bad, b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        with pytest.raises(Malformed):
            parser.feed(more)
    assert not parser.complete


STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
BODIES = [
    b"2\r\nok\r\n3;x=y\r\nyes\r\n0\r\n\r\n",
    b"2\r\nok\r\n0\r\nTrailer: x\r\n\r\n",
    b"2\r\nok\r\n0\r\n\r\n\r\n",
    b"2\r\nok\r\n0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx",
    b"2\r\nok\r\n0\r\n\r\ngarbage",
    b"2\r\nok\r\nzz\r\n",
    b"2\r\nok\r\n1;" + b"x" * 1_500,
    b"2\r\nok\r\n",
]


def streamed(data: bytes, sizes: list[int], take: Callable[[ResponseParser, bytes], bytes]) -> tuple[object, ...]:
    parser = ResponseParser(max_head=1_000)
    parser.feed(STREAM)
    came, error = b"", None
    for piece in pieces(data, sizes):
        try:
            came += take(parser, piece)
        except Malformed as malformed:
            error = str(malformed)
            came += parser.take()
            break
    return came, error, parser.complete, parser.surplus, parser.keep_alive


@pytest.mark.parametrize("data", BODIES)
@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=40))
def test_a_stream_that_flows_is_read_as_any_other_body(data: bytes, sizes: list[int]) -> None:
    def fed(parser: ResponseParser, piece: bytes) -> bytes:
        parser.feed(piece)
        return parser.take()

    def flowing(parser: ResponseParser, piece: bytes) -> bytes:
        try:
            if parser.complete:
                parser.surplus = True
            else:
                parser.feed_body(piece)
                if parser.complete or parser.unpaid or not parser.pending:
                    parser.account(len(piece))
        except PARSER_ERRORS as error:
            parser.judge(error)
        came = parser.pending
        body = b"".join(came)
        came.clear()
        return body

    assert streamed(data, sizes, flowing) == streamed(data, sizes, fed)


def test_surplus_after_a_response_is_seen() -> None:
    for extra in (b"x", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"):
        parser = ResponseParser()
        parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + extra)
        assert (parser.complete, parser.surplus, parser.take()) == (True, True, b"ok")
        parser = ResponseParser()
        parser.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        parser.feed(extra)
        assert parser.surplus


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok",
    ],
)
def test_a_response_cut_short_is_an_error(data: bytes) -> None:
    parser = ResponseParser()
    parser.feed(data)
    with pytest.raises(Malformed):
        parser.eof()


@pytest.mark.parametrize(
    "data",
    [
        b"<html>",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_malformed_responses(data: bytes) -> None:
    parser = ResponseParser()
    with pytest.raises(Malformed):
        parser.feed(data)


def test_what_we_write_h11_reads() -> None:
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("host", "a")]))
    client.send(h11.EndOfMessage())
    head = encode_response_head(200, [(b"content-type", b"text/plain"), (b"transfer-encoding", b"chunked")])
    client.receive_data(head + encode_chunk(b"hello") + encode_chunk(b" you") + b"0\r\n\r\n")
    response = client.next_event()
    assert isinstance(response, h11.Response)
    assert response.status_code == 200
    body = b""
    while isinstance(event := client.next_event(), h11.Data):
        body += bytes(event.data)
    assert body == b"hello you"
    assert isinstance(event, h11.EndOfMessage)
