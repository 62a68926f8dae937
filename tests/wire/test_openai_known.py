"""What of an event is known by another stream's: nothing that says more than was judged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from penstock.messages import Usage
from penstock.wire.openai_known import beginning, count_alone, finish, own_part

FIRST = b'"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
END = b'"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
COUNT = b'"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'
EARLIER = b'"choices":'


def put(rest: bytes, more: bytes) -> bytes:
    return rest.replace(EARLIER, more + b"," + EARLIER)


def test_what_is_known() -> None:
    begun = beginning(FIRST)
    assert begun is not None
    assert begun.model == "m"
    assert beginning(bytes(bytearray(FIRST))) is begun
    assert finish(END) == "stop"
    assert count_alone(COUNT) == Usage(3, 4)
    assert count_alone(put(COUNT, b'"service_tier":"flex"')) == Usage(3, 4, tier="flex")


@pytest.mark.parametrize("made", [b'"id":"c-1_Z",', b'"id":"c1","object":"chat.completion.chunk",'])
def test_a_streams_own_part(made: bytes) -> None:
    own = b"data: {" + made + b'"created":17,'
    assert own_part(own + FIRST) == own


@pytest.mark.parametrize(
    "data",
    [
        b'data: {"id":"","created":17,',
        b'data: {"id":"a\\"","created":17,',
        b'data: {"id":"a"b","created":17,',
        b'data: {"id":"a","created":017,',
        b'data: {"id":"a","created":1e5,',
        b'data: {"id":"a","created":17}',
        b'data: {"id":"a","error":17,"created":17,',
        b'data:{"id":"a","created":17,',
        b'\ndata: {"id":"a","created":17,',
        b'data: {"id":"%b","created":17,' % (b"a" * 101),
    ],
)
def test_no_own_part(data: bytes) -> None:
    assert own_part(data + FIRST) == b""


MORE = [
    b'"usage":{"prompt_tokens":3}',
    b'"x_groq":{"usage":{}}',
    b'"error":{"message":"x"}',
    b'"a":1,\n"b":2',
    b'"a":"\xff"',
]


@pytest.mark.parametrize("more", MORE)
def test_an_event_that_says_more_is_not_known(more: bytes) -> None:
    assert beginning(put(FIRST, more)) is None
    assert finish(put(END, more)) is None


@pytest.mark.parametrize(
    "more", [*MORE[1:], b'"a":1,\r"b":2', '"a":"é"'.encode(), b'"choices":[{}]', b'"service_tier":1']
)
def test_a_count_beside_anything_else_is_not_alone(more: bytes) -> None:
    assert count_alone(COUNT.replace(b'"usage"', more + b',"usage"')) is None


NO_BEGINNING = [
    b"",
    b"}\n\n",
    FIRST[:-1],
    FIRST * 2,
    FIRST.replace(b'""', b'"a"'),
    FIRST.replace(b'"role"', b'"reasoning":"x","role"'),
    FIRST.replace(b'"index":0', b'"index":1'),
    FIRST.replace(b'"model":"m",', b""),
    FIRST.replace(b'"choices":[', b'"choices":[{},'),
    FIRST.replace(b'"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]', b'"choices":[]'),
]
NO_FINISH = [
    b"",
    FIRST,
    END[:-1],
    END.replace(b"{},", b'{"content":"a"},'),
    END.replace(b"stop", b"null"),
    END.replace(b"stop", b""),
    END.replace(b'"index":0', b'"index":1'),
]
NO_COUNT = [
    b"",
    b"}\n\n",
    END,
    COUNT[:-1],
    COUNT[:-3] + b"\n\n",
    COUNT + COUNT,
    COUNT.replace(b"3", b"-3"),
    COUNT.replace(b"7", b"8"),
    COUNT.replace(b"[]", b"null"),
]


@pytest.mark.parametrize(
    ("read", "rest"),
    [
        *((beginning, rest) for rest in NO_BEGINNING),
        *((finish, rest) for rest in NO_FINISH),
        *((count_alone, rest) for rest in NO_COUNT),
    ],
)
def test_what_is_none_of_them(read: Callable[[bytes], object], rest: bytes) -> None:
    assert read(rest) is None
