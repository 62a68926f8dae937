"""The short way to judge a stream's events against the decoder: they never disagree, whatever the bytes."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from penstock.wire.openai_chunk import plain_text
from penstock.wire.openai_mould import Mould, mould_of
from penstock.wire.openai_stream import ChatStream

HEAD = b'data: {"id":"c1","created":17,"model":"m","choices":[{"index":0,"delta":{"content":"'
TAIL = b'"},"logprobs":null,"finish_reason":null}],"usage":null}\n\n'
SPACED = b'data: {"model": "m", "choices": [{"delta": {"content": "'
SPACED_TAIL = b'"}, "index": 0, "finish_reason": null}]}\n\n'
FINISH = b'data: {"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}\n\n'
DONE = b"data: [DONE]\n\n"


def event(raw: bytes) -> bytes:
    return HEAD + raw + TAIL


def mould(data: bytes) -> Mould:
    found = mould_of(data)
    assert found is not None
    return found


def measured(known: Mould, data: bytes) -> int | None:
    """By lines, as any data may be; where they are cut after each event, the same comes of the pieces."""
    size = known.measure(data)
    reader = ChatStream(keep_usage=True, prompt_bytes=0)
    reader._mould = known
    reader._plain = True
    reader.feed(data, cut(data))
    assert size is None or (reader._said_bytes, reader._alike) == (size, data)
    return size


def cut(data: bytes) -> list[bytes]:
    return re.findall(rb".*?\n\n|.+", data, re.DOTALL)


# What stands between the quotes: mostly what a provider could send, sometimes what it must not.
RAW = st.one_of(
    st.text(max_size=12).map(lambda text: json.dumps(text)[1:-1].encode()),
    st.text(max_size=12).map(lambda text: json.dumps(text, ensure_ascii=False)[1:-1].encode("utf-8", "surrogatepass")),
    st.sampled_from([b'"', b"\\", b"\\u12", b"34", b"\\ud83d", b"\\ude00", b"\xf0\x9f", b"\x98\x80", b"\n", b"\x00"]),
    st.sampled_from([b'","role":"x', b'"},"finish_reason":"stop","x":{"y":"', b'","tool_calls":[],"z":"', TAIL, HEAD]),
    st.binary(max_size=6),
)
EVENTS = st.one_of(
    RAW.map(event),
    RAW.map(lambda raw: SPACED + raw + SPACED_TAIL),
    RAW.map(lambda raw: event(raw).replace(b":17,", b":18,")),
    st.sampled_from(
        [FINISH, USAGE, DONE, b": ping\n\n", b"\n", b"data: {}\n\n", b'data: {"error":{"message":"x"}}\n\n']
    ),
)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Events with a few bytes changed, left out or put in."""
    data = bytearray(b"".join(draw(st.lists(EVENTS, max_size=12))))
    for _ in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(data)))
        end = min(len(data), at + draw(st.integers(0, 3)))
        data[at:end] = draw(st.one_of(st.binary(max_size=2), st.sampled_from([b'"', b"\\", b"\r", b"\n", b"}", b"{"])))
    return bytes(data)


@settings(max_examples=60, deadline=None)
@given(data=mutated())
def test_what_it_measures_the_decoder_measures_alike(data: bytes) -> None:
    assume(data)
    for known in (mould(event(b"a")), mould(SPACED + b"a" + SPACED_TAIL)):
        size = measured(known, data)
        assert size is None or size == plain_text(data)


@pytest.mark.parametrize(
    "data",
    [
        HEAD + TAIL[1:],  # one quote for both
        HEAD + TAIL[:-1],
        event(b'"'),
        event(b"\\"),
        event(b"\n"),
        event(b"\xff"),
        event(b"\\") + event(b"n"),
        event(b"\\u00") + event(b"e9"),
        event(b"\xc3") + event(b"\xa9"),
        event(b"a") + b"\n" + event(b"b"),
        event(b"a") + event(b"b")[1:],
        event(b"a") + FINISH + event(b"b"),
    ],
)
def test_what_is_not_measured(data: bytes) -> None:
    assert measured(mould(event(b"a")), data) is None


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=20), plain=st.booleans())
def test_all_text_is_measured(texts: list[str], plain: bool) -> None:
    texts.append("last")
    data = b"".join(event(json.dumps(text, ensure_ascii=plain)[1:-1].encode()) for text in texts)
    assert measured(mould(data), data) == len("".join(texts).encode()) == plain_text(data)


class Decoded(ChatStream):
    """The same reader without the short way."""

    __slots__ = ()

    def _make_mould(self, data: bytes) -> None:
        pass

    def _take_beginning(self, data: bytes) -> bool:
        return False

    def _take_ending(self, data: bytes) -> bytes | None:
        return None


def said(data: bytes) -> int | None:
    """How many bytes of text whole events add to an answer, by the decoder; None where they do more than that."""
    reader = Decoded(keep_usage=True, prompt_bytes=0)
    reader.feed(event(b"begun"))
    before = reader._said_bytes
    told = reader.feed(data) == data and (reader.dropped, reader.error, reader.finish_reason) == (0, None, None)
    return reader._said_bytes - before if told and reader.usage.estimated and reader._ends == {0: None} else None


@settings(max_examples=40, deadline=None)
@given(data=mutated())
def test_no_mould_is_made_of_what_it_would_not_hold_for(data: bytes) -> None:
    made = mould_of(data)
    if made is None:
        return
    last = data[data.rfind(b"\n\n", 0, -2) + 2 :] if data.count(b"\n\n") > 1 else data
    for raw in (b"", b"word", rb"\n\u00e9", b'"', b"\\", b"\x01", b"\xff"):
        for start in (b'"content":"', b'"content": "'):
            head, found, rest = last.partition(start)
            other = head + found + raw + rest[rest.find(b'"') :]
            size = measured(made, other)
            assert size is None or size == said(other)


def told(reader: ChatStream, pieces: list[bytes], *, by_events: bool = False) -> list[Any]:
    passed = [reader.feed(piece, cut(piece) if by_events else ()) for piece in pieces]
    counted = reader.usage
    rest = reader.end()
    error = None if reader.error is None else (reader.error.code, reader.error.message)
    states = [reader.output, reader.model, reader.dropped, reader.ended, reader.done, reader.finish_reason]
    return [passed, counted, rest, error, reader.usage, *states]


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(mutated(), max_size=6), keep_usage=st.booleans())
def test_streams_are_judged_alike(batches: list[bytes], keep_usage: bool) -> None:
    pieces = [event(b"begun"), event(b"more"), *batches]
    right = told(Decoded(keep_usage=keep_usage, prompt_bytes=5), pieces)
    assert told(ChatStream(keep_usage=keep_usage, prompt_bytes=5), pieces) == right
    assert told(ChatStream(keep_usage=keep_usage, prompt_bytes=5), pieces, by_events=True) == right


@settings(max_examples=60, deadline=None)
@given(batches=st.lists(mutated(), max_size=4), keep_usage=st.booleans())
@example(batches=[FINISH + b"\n" + event(b"a") + event(b"b"), DONE], keep_usage=True)
@example(batches=[event(b"a").replace(b'"content"', b'"role":"x","content"') + event(b"b") * 2, DONE], keep_usage=True)
def test_beginnings_are_judged_alike(batches: list[bytes], keep_usage: bool) -> None:
    short = ChatStream(keep_usage=keep_usage, prompt_bytes=5)
    assert told(short, batches) == told(Decoded(keep_usage=keep_usage, prompt_bytes=5), batches)


OWN = b'data: {"id":"chatcmpl-%b","object":"chat.completion.chunk","created":%b,'
FIRST = b'"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
WORD = b'"model":"m","choices":[{"index":0,"delta":{"content":"word"},"finish_reason":null}]}\n\n'
END = b'"model":"m","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
COUNT = b'"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n'


def stream_of(own: bytes) -> list[bytes]:
    return [own + FIRST + (own + WORD) * 3, (own + WORD) * 2, own + WORD + own + END + own + COUNT + DONE]


# What may stand in the place of an event's rest, where another stream had one that is known.
RESTS = st.one_of(
    st.sampled_from(
        [FIRST, WORD, END, COUNT, b"}\n\n", b"\n\n", b",}\n\n", b'"choices":[]}\n\n', FIRST[:-2], WORD[:-1]]
    ),
    st.builds(
        lambda rest, old, new: rest.replace(old, new, 1),
        st.sampled_from([FIRST, WORD, END, COUNT]),
        st.sampled_from([b'"content"', b'"m"', b'"stop"', b"null", b"3", b"{}", b'"index":0', b",", b"}", b"\n\n"]),
        st.sampled_from(
            [
                *(
                    b'"reasoning"',
                    b'"tool_calls":[],"content"',
                    b"\r",
                    b"\n",
                    b"\r\n\r\n",
                    "é".encode(),
                    b"\xff",
                    b"null",
                ),
                *(
                    b'{"content":"x"}',
                    b'"error":{"message":"x"},',
                    b"1",
                    b"-1",
                    b"1e2",
                    b"9" * 20,
                    b'"x_groq":{},',
                    b'""',
                ),
                *(b'"service_tier":"flex",', b'"usage":{},"index":0', b'{"tool_calls":[{"index":0}]}', b" "),
            ]
        ),
    ),
)
OWNS = st.builds(
    lambda id, time: OWN % (id, time),
    st.sampled_from(
        [b"a1-B_2", b"a2", b"", b'a\\"', b"\\u00e9", "é".encode(), b"\xff", b"a b", b'","usage":{},"x":"', b"x" * 200]
    ),
    st.sampled_from([b"17", b"18", b"017", b"0", b"-1", b"1.5", b"1e9", b"null", b"", b"1" * 30]),
)


@settings(max_examples=120, deadline=None)
@given(
    own=OWNS,
    other=st.one_of(st.none(), OWNS),
    rests=st.lists(st.lists(RESTS, max_size=5), max_size=4),
    done=st.booleans(),
    keep_usage=st.booleans(),
)
def test_streams_are_judged_alike_where_others_are_known(
    own: bytes, other: bytes | None, rests: list[list[bytes]], done: bool, keep_usage: bool
) -> None:
    told(ChatStream(keep_usage=keep_usage, prompt_bytes=5), stream_of(OWN % (b"known", b"12")))
    batches = [b"".join(own + rest for rest in batch) for batch in [[FIRST, WORD], *rests]]
    batches[0] = batches[0] if len(rests) % 2 else b"".join(own + rest for rest in [FIRST])
    if other is not None:
        batches[-1] = batches[-1].replace(own, other, 1)
    if done:
        batches[-1] += DONE
    right = told(Decoded(keep_usage=keep_usage, prompt_bytes=5), batches)
    assert told(ChatStream(keep_usage=keep_usage, prompt_bytes=5), batches) == right
    assert told(ChatStream(keep_usage=keep_usage, prompt_bytes=5), batches, by_events=True) == right
    assert told(ChatStream(keep_usage=keep_usage, prompt_bytes=5), batches[1:]) == told(
        Decoded(keep_usage=keep_usage, prompt_bytes=5), batches[1:]
    )


@pytest.mark.parametrize("alone", [True, False])
def test_a_stream_is_known_by_the_one_before(alone: bool) -> None:
    for made in (OWN % (b"first", b"12"), OWN % (b"second", b"1760000000")):
        batches = stream_of(made)
        pieces = [each for batch in batches for each in cut(batch)] if alone else batches
        reader = ChatStream(keep_usage=False, prompt_bytes=0)
        before = reader._beginnings
        passed = b"".join(map(reader.feed, pieces))
        assert passed == b"".join(batches).replace(made + COUNT, b"")
        assert (reader.finish_reason, reader.usage.output_tokens, reader.model, reader.ended) == ("stop", 4, "m", True)
    assert reader._beginnings == before  # nothing had to be judged anew


def test_the_short_way_is_taken() -> None:
    reader = ChatStream(keep_usage=True, prompt_bytes=0)
    reader.feed(event(b"one"))
    assert reader._mould is not None
    data = event(b" two") + event(b" three")
    assert measured(reader._mould, data) == 10
    assert reader.feed(data) is data
    assert reader.feed(data + FINISH + DONE) == data + FINISH + DONE
    assert reader._alike == data


def test_one_mould_follows_the_other_where_each_serves() -> None:
    reader = ChatStream(keep_usage=True, prompt_bytes=0)
    for second in range(20):
        at = event(b"word").replace(b":17,", b":%d," % second)
        for _ in range(3):
            reader.feed(at)
        assert reader._mould is not None
        assert measured(reader._mould, at) == 4


def test_no_more_are_made_where_none_serves() -> None:
    reader = ChatStream(keep_usage=True, prompt_bytes=0)
    events = [event(b"word").replace(b":17,", b":%d," % second) for second in range(20)]
    for each in events:
        reader.feed(each)
    assert reader._mould is None
    assert reader.usage.output_tokens == 20


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n\n",
        DONE,
        FINISH,
        event(b""),
        event(b"a").rstrip(b"\n"),
        event(b"a").replace(b"\n\n", b"\r\n\r\n"),
        event(b"a").replace(b'"id"', b'\r"id"'),
        event(b"a").replace(b'"id"', b'\n"id"'),
        event(b"a").replace(b'"c1"', '"é"'.encode()),
        event(b"a").replace(b'"c1"', b'"\xff"'),
        event(b"a").replace(b"data: ", b"data:"),
        event(b"a").replace(b'"logprobs"', b'"content":"b","logprobs"').replace(b'a"},', b'a","content":"b"},'),
        event(b"a").replace(b'"id":"c1"', b'"id":{"content":"x"}'),
        event(b"a").replace(b'"delta":{', b'"delta":{"reasoning":"r",'),
        event(b"a").replace(b'"index":0', b'"index":1'),
        event(b"a").replace(b'"finish_reason":null', b'"finish_reason":"stop"'),
        event(b"a").replace(b'"c1"', b'"%b"' % (b"x" * 5000)),
    ],
)
def test_what_gives_no_mould(data: bytes) -> None:
    assert mould_of(data) is None
