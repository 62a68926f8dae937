"""A head that repeats is not parsed again: whatever comes, it is read as by a parser that sees it first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.h1 import Refused, RequestParser
from penstock.wire.h1_response import MANY_STRANGE, Malformed, ResponseParser
from penstock.wire.known_head import LONGEST, remember

HEADS = [
    b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nx-request-id: a\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length:%d\r\nx-request-id: b\r\n\r\n",
    b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: %d\r\nretry-after: 1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\ncontent-length: 2\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nx: 1\r\n content-length: %d\r\n\r\n",
    b"HTTP/1.1 103 Early\r\na: b\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\ncontent-length: %d\r\n\r\n",
]
BODIES = [b"", b"ok", b"a longer body\r\n\r\nwith its own end" * 4, *(b"x" * size for size in (100, 999, 1000, 10_000))]

Read = tuple[object, ...]


def read(parser: ResponseParser, data: bytes) -> Read:
    try:
        parser.feed(data)
    except Malformed as error:
        return (str(error),)
    told = {**parser.headers} if parser.status else {}
    told.pop(b"content-length", None)  # where the rest is known it is left out
    return parser.complete, parser.surplus, parser.keep_alive, parser.status, told, parser.take()


responses = st.tuples(st.sampled_from(HEADS), st.sampled_from(BODIES), st.sampled_from([0, 0, 0, 0, -1, 1]))


@given(st.lists(responses, min_size=2, max_size=12))
def test_responses_are_read_as_if_each_were_the_first(told: list[tuple[bytes, bytes, int]]) -> None:
    parser = ResponseParser()
    for head, body, wrong in told:
        data = head % max(0, len(body) + wrong) + body
        got = read(parser, data)
        assert got == read(ResponseParser(), data)
        if len(got) == 1 or got[:3] != (True, False, True):
            return  # the connection is used no more
        parser.reset()


def test_a_repeated_head_is_not_parsed_again() -> None:
    parser = ResponseParser()
    parser.feed(HEADS[0] % 2 + b"ok")
    known = parser._known
    assert known is not None
    for size in (100, 999, 1000, 9_999, 10_000, 99_999, 100_000, 999_999):
        parser.take()
        parser.reset()
        parser.feed(HEADS[0] % size + b"x" * size)
        assert (parser.pending, parser.complete) == ([b"x" * size], True)
        assert parser.head is known.meaning


LONG_AND_SHORT = st.sampled_from([0, 1, 10, 99, 100, 999, 1_000, 9_999, 10_000, 99_999, 100_000, LONGEST, LONGEST + 1])


@given(st.lists(LONG_AND_SHORT, max_size=8), st.sampled_from([b"-1", b"-10", b"0", b"01000", b"+100", b""]))
def test_a_body_is_taken_whatever_the_length_of_the_one_before(sizes: list[int], odd: bytes) -> None:
    known = remember(HEADS[1] % 2 + b"ok", 2, "head")
    assert known is not None
    for size in sizes:
        body = b"x" * size
        assert known.body(HEADS[1] % size + body) == (body if 100 <= size <= LONGEST else None)
        assert known.body(HEADS[1] % (size + 1) + body) is None
        assert known.body((HEADS[1] % size)[:-1] + body) is None
        assert known.body(HEADS[1].replace(b"%d", odd)) is None


def test_a_server_whose_heads_never_repeat_costs_no_more_comparing() -> None:
    parser = ResponseParser()
    for number in range(MANY_STRANGE + 3):
        parser.feed(b"HTTP/1.1 200 OK\r\nx-request-id: %d\r\ncontent-length: 2\r\n\r\nok" % number)
        assert (parser.headers[b"x-request-id"], parser.take()) == (b"%d" % number, b"ok")
        parser.reset()
    assert parser._known is None


REQUEST = b"POST /v1/x%%25 HTTP/1.1\r\nhost: a\r\ncontent-length: %b\r\nx: 100%%\r\n\r\n"
BODY = b"x" * 200
LENGTHS = [
    *(b"200", b"0200", b"300", b"100", b"+200", b"200 ", b" 200", b"0x200", b"999999999999", b"", b"-200"),
    b"200\r\ncontent-length: 200",
]


@pytest.mark.parametrize("body", [BODY, b"", b"x" * 99])
@pytest.mark.parametrize("length", [*LENGTHS, b"-1", b"-2", b"99", b"98"])
def test_a_request_behind_the_same_is_read_as_one_alone(length: bytes, body: bytes) -> None:
    def outcome(parser: RequestParser) -> Read:
        try:
            parser.feed(REQUEST % length + body)
        except Refused as refused:
            return refused.status, refused.message
        return tuple((r.path, r.headers[b"x"], r.body) for r in parser.ready)

    alone, behind = RequestParser(), RequestParser()
    behind.feed(REQUEST % b"200" + BODY)
    behind.ready.clear()
    assert outcome(behind) == outcome(alone)


def test_a_body_behind_a_known_head_may_be_no_larger_than_any() -> None:
    parser = RequestParser(max_body=300)
    parser.feed(REQUEST % b"200" + BODY)
    with pytest.raises(Refused, match="larger than 300"):
        parser.feed(REQUEST % b"301" + b"x" * 301)


@pytest.mark.parametrize(
    ("data", "size"),
    [(b"HTTP/1.1 200 OK\r\na: b\r\n\r\nok", 2), (HEADS[0] % 2 + b"ok", 1), (HEADS[0] % 3 + b"ok", 2), (b"\r\n\r\n", 0)],
)
def test_what_does_not_say_its_own_length_is_not_remembered(data: bytes, size: int) -> None:
    assert remember(data, size, None) is None
