"""wire/sse: whole blocks out of any chunking, for all three line ends."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.wire.sse import Framer, encode_event, parse, split

PIECES = [b"\n", b"\r", b"\r\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"data: a", b"data:b", b": c", b"x"]
STREAMS = st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)


def blocks_of(pieces: list[bytes]) -> tuple[list[bytes], bytes]:
    framer = Framer()
    blocks = [block for piece in pieces for block in framer.feed(piece)]
    return blocks, framer.take_tail()


def events(blocks: list[bytes]) -> list[bytes]:
    """Blank lines apart, which may come in one block or in several."""
    return [block for block in blocks if block.strip(b"\r\n")]


@given(STREAMS, st.integers(1, 5))
def test_any_chunking_gives_the_same_events(body: bytes, size: int) -> None:
    whole, tail = blocks_of([body])
    assert b"".join(whole) + tail == body
    pieces, rest = blocks_of([body[at : at + size] for at in range(0, len(body), size)])
    assert b"".join(pieces) + rest == body
    assert events(pieces) == events(whole)
    assert rest.lstrip(b"\r\n") == tail.lstrip(b"\r\n")


@given(STREAMS)
def test_blocks_are_those_of_the_standard(body: bytes) -> None:
    """Against a reading line by line: a block ends with its first blank line."""
    whole, tail = blocks_of([body + b"\n\n."])
    expected, lines = [], []
    for line in (body + b"\n\n").splitlines():
        if line:
            lines.append(line)
        elif lines:
            expected.append(lines)
            lines = []
    assert [block.splitlines()[:-1] for block in events(whole)] == expected
    assert tail.lstrip(b"\r\n") == b"."


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_events_of_several_lines(end: bytes) -> None:
    body = end.join([b"event: note", b"data: one", b"data:two", b"id: 7", b"", b"data: three", b"", b""])
    blocks, tail = blocks_of([body + b":"])
    assert tail == b":"
    first, second = map(parse, blocks)
    assert (first.event, first.data) == (b"note", b"one\ntwo")
    assert (second.event, second.data) == (b"", b"three")


def test_a_block_that_ends_with_cr_waits_for_its_lf() -> None:
    framer = Framer()
    assert framer.feed(b"data: a\r\n\r") == []
    assert framer.feed(b"\n") == [b"data: a\r\n\r\n"]


def test_fields() -> None:
    assert parse(b": only a comment\n\n").data is None
    assert parse(b"data\n\n").data == b""
    assert parse(b"data:  two spaces\n\n").data == b" two spaces"
    assert parse(b"\xef\xbb\xbfdata: x\n\n").data == b"x"
    assert parse(b"error: broken\n\n").error == b"broken"
    assert parse(b"datax: a\n\n").data is None


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_event_may_be_so_long_and_no_longer(size: int) -> None:
    fits, outgrown = b"data: 1234\n\n", b"data: 12345\n\n"
    body = fits + outgrown + fits
    framer = Framer(limit=len(fits))
    passed = b"".join(framer.cut(body[at : at + size]) for at in range(0, len(body), size))
    assert passed == fits
    assert framer.error is not None
    assert framer.feed(fits) == []
    assert framer.take_tail() == b""


def test_split_keeps_every_byte() -> None:
    assert split(b"\n\ndata: a\n\n\n: c\r\n\r\n") == [b"\n\n", b"data: a\n\n", b"\n", b": c\r\n\r\n"]


@given(st.text(alphabet="ab\n", max_size=12))
def test_encoded_events_can_be_read(text: str) -> None:
    fields = parse(encode_event(text.encode(), b"note"))
    assert (fields.event, fields.data) == (b"note", text.encode())
