"""Streams said in another dialect: the short way gives what the long way gives, whatever the bytes."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.events import Event
from penstock.wire.dialect import AnswerWriter
from penstock.wire.dialects import CHAT
from penstock.wire.recast import Recast
from penstock.wire.sse import parse, split
from tests.wire.corpus import UNSET, Recording, anthropic_shaped, openai_shaped, recordings

OPENAI, ANTHROPIC = "openai_chat", "anthropic_messages"
OTHER = {OPENAI: ANTHROPIC, ANTHROPIC: OPENAI}


def string(text: str, *, plain: bool = False) -> bytes:
    return json.dumps(text, ensure_ascii=not plain).encode("utf-8", "surrogatepass")


def chunk(inside: bytes, more: bytes = b"") -> bytes:
    """A chunk whose text is this, quotes not included."""
    return b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"content":"%b"%b}}]}\n\n' % (inside, more)


def delta(inside: bytes, index: int = 0) -> bytes:
    name = b"content_block_delta"
    written = b'{"type":"%b","index":%d,"delta":{"type":"text_delta","text":"%b"}}' % (name, index, inside)
    return b"event: %b\ndata: %b\n\n" % (name, written)


def event(kind: str, **fields: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **fields})}\n\n".encode()


def begin(index: int, **block: Any) -> bytes:
    return event("content_block_start", index=index, content_block=block)


BEGINNINGS = {
    OPENAI: chunk(b"", b',"role":"assistant"') + chunk(b"So"),
    ANTHROPIC: event("message_start", message={"id": "i", "model": "m", "content": [], "usage": {"input_tokens": 1}})
    + begin(0, type="text", text="")
    + delta(b"So"),
}
ENDS = {
    OPENAI: b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    ANTHROPIC: event("message_delta", delta={"stop_reason": "end_turn"}) + event("message_stop"),
}
TEXTS: dict[str, Callable[[bytes], bytes]] = {OPENAI: chunk, ANTHROPIC: delta}


def writer(dialect: str) -> AnswerWriter:
    return CHAT[OTHER[dialect]].open_writer("r", 1, keep_usage=True)


def said(stream: bytes) -> list[tuple[bytes, Any]]:
    """Each event, its data as JSON: one text may be written in several ways."""
    found = []
    for block in split(stream):
        fields = parse(block)
        assert fields.data is not None
        found.append((fields.event, fields.data if fields.data == b"[DONE]" else json.loads(fields.data)))
    return found


def short(dialect: str, reads: list[bytes]) -> bytes:
    out = writer(dialect)
    recast = Recast(CHAT[dialect].decode_events, out)
    return b"".join([recast.feed(read) for read in reads]) + out.end()


def long(dialect: str, reads: list[bytes]) -> bytes:
    out, decode = writer(dialect), CHAT[dialect].decode_events
    return b"".join([out.write(decode(read)) for read in reads]) + out.end()


def watched(dialect: str, reads: list[bytes]) -> tuple[bytes, bytes]:
    """What is said with the help of the stream's reader, and what decoding all that it passes on says."""
    reader, out = CHAT[dialect].open_stream(keep_usage=True, prompt_bytes=0), writer(dialect)
    recast = Recast(CHAT[dialect].decode_events, out, reader.alike)
    passed, told = [], []
    for read in reads:
        data = reader.feed(read)
        if data:
            passed.append(data)
            told.append(recast.feed(data))
    last = reader.end()
    if last:
        passed.append(last)
        told.append(recast.feed(last))
    return b"".join(told) + out.end(), long(dialect, passed)


def check(dialect: str, reads: list[bytes]) -> None:
    """That every way says the same."""
    assert said(short(dialect, reads)) == said(long(dialect, reads))
    one, other = watched(dialect, reads)
    assert said(one) == said(other)


class Counting:
    """Counts how often a dialect's events were decoded."""

    def __init__(self, dialect: str) -> None:
        self.times = 0
        self._decode = CHAT[dialect].decode_events

    def __call__(self, data: bytes) -> list[Event]:
        self.times += 1
        return self._decode(data)


@pytest.mark.parametrize("dialect", OTHER)
def test_more_text_is_not_decoded(dialect: str) -> None:
    decode, out, text = Counting(dialect), writer(dialect), TEXTS[dialect]
    recast = Recast(decode, out)
    recast.feed(BEGINNINGS[dialect])
    before = decode.times
    one, three = recast.feed(text(b" a\\n")), recast.feed(text(b"b") + text("ü".encode()) + text(b"\\ud83d\\ude00"))
    assert decode.times == before
    name, field = ("delta", "text") if dialect == OPENAI else ("choices", "content")
    pieces = [found[name] if dialect == OPENAI else found[name][0]["delta"] for _, found in said(one + three)]
    assert [piece[field] for piece in pieces] == [" a\n", "b", "ü", "😀"]


def test_events_that_differ_in_more_than_their_text_are_soon_taken_as_they_come() -> None:
    decode = Counting(OPENAI)
    recast = Recast(decode, writer(OPENAI))
    for number in range(50):
        recast.feed(chunk(b"a", b',"padding":"%d"' % number))
    assert decode.times < 60


def test_a_mould_that_was_of_use_is_made_anew() -> None:
    decode = Counting(OPENAI)
    recast = Recast(decode, writer(OPENAI))
    for number in range(200):
        recast.feed(chunk(b"a", b',"second":"%d"' % (number // 20)))
    assert decode.times == 20  # the first of each second, and two more at once to judge it by


def test_what_the_reader_knows_is_not_decoded_again() -> None:
    decode, out = Counting(OPENAI), writer(OPENAI)
    reader = CHAT[OPENAI].open_stream(keep_usage=True, prompt_bytes=0)
    recast = Recast(decode, out, reader.alike)
    recast.feed(reader.feed(BEGINNINGS[OPENAI]))
    before = decode.times
    told = [recast.feed(reader.feed(chunk(b"a") + chunk(b"b"))) for _ in range(5)]
    assert decode.times == before + 1  # two to judge by
    assert said(told[0]) == said(told[4])
    assert [found["delta"]["text"] for _, found in said(told[0])] == ["a", "b"]


@pytest.mark.parametrize(
    "more", [b',"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}]', b',"annotations":[]']
)
def test_what_the_reader_does_not_look_for_is_said_all_the_same(more: bytes) -> None:
    check(OPENAI, [BEGINNINGS[OPENAI], chunk(b"a", more), *[chunk(b"b", more) * 3] * 3, ENDS[OPENAI]])


def test_the_last_text_is_not_said_twice_where_the_stream_breaks() -> None:
    check(OPENAI, [BEGINNINGS[OPENAI], chunk(b"a") * 3, chunk(b"b") * 2])


FORGED = [
    rb"\"",
    rb"a\\",
    rb"a\"",
    rb"\\\"b",
    b'a","x":"b',
    b'a"}}]}',
    b"a\\",
    b'"',
    rb"\ud83d",
    rb"\ude00",
    rb"\u00e",
    b"\xff",
    b"\xed\xa0\xbd",
    b"\x00",
    b"\t",
    b"a\n",
    b"a\n\n",
    b"\r",
    b"",
    b" ",
    b"\xe2\x80\xa8",
    chunk(b"x")[:-2],
    delta(b"x")[:-2],
]


@pytest.mark.parametrize("dialect", OTHER)
@pytest.mark.parametrize("inside", FORGED)
def test_what_is_no_string_or_more_than_one(dialect: str, inside: bytes) -> None:
    text = TEXTS[dialect]
    for reads in (
        [text(inside)],
        [text(b"a") + text(inside) + text(b"b")],
        [text(inside), text(inside) * 2],
        [text(inside), text(rb"\ude00")],
        [text(inside) + text(b',"b')],
    ):
        stream = [BEGINNINGS[dialect], *reads, text(b"on"), ENDS[dialect]]
        check(dialect, stream)


ALIKE = [
    (OPENAI, chunk(b"a").replace(b'"index":0', b'"index":1')),
    (OPENAI, chunk(b"a").replace(b'"content"', b'"refusal"')),
    (OPENAI, chunk(b"a", b',"content":"b"')),
    (OPENAI, chunk(b"a").replace(b'"index":0,', b'"index":0,"logprobs":{"content":[{"token":"a"}]},')),
    (OPENAI, chunk(b"a").replace(b"data: ", b"what: ")),
    (ANTHROPIC, delta(b"a", 1)),
    (ANTHROPIC, delta(b"a").replace(b"content_block_delta\n", b"content_block_other\n")),
    (ANTHROPIC, delta(b"a").replace(b'"}}', b'","text":"b"}}')),
]


@pytest.mark.parametrize(("dialect", "other"), ALIKE)
def test_events_that_are_nearly_the_same(dialect: str, other: bytes) -> None:
    text, first = TEXTS[dialect], BEGINNINGS[dialect]
    more = text(b"c")
    for reads in ([more + other + more], [other, other + other], [other + more, more + other], [more, other, more]):
        stream = [first, *reads, *reads, more * 3, ENDS[dialect]]
        check(dialect, stream)


def call(index: int, arguments: str, **fields: str) -> bytes:
    called = {"index": index, **fields, "function": {"name": fields.get("id", ""), "arguments": arguments}}
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": {"tool_calls": [called]}}]}).encode() + b"\n\n"


WORDS = st.text(max_size=6)
INSIDES = st.one_of(
    st.builds(lambda text: string(text)[1:-1], WORDS),
    st.builds(
        lambda text: string(text, plain=True)[1:-1], st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
    ),
    st.sampled_from(FORGED),
)
PIECES = {
    OPENAI: st.one_of(
        st.builds(chunk, INSIDES),
        st.builds(chunk, INSIDES),
        st.builds(chunk, INSIDES, st.sampled_from([b',"tool_calls":null', b',"refusal":"no"', b',"reasoning":"hm"'])),
        st.builds(chunk, INSIDES, st.just(b',"annotations":[{"type":"url_citation","url_citation":{"url":"u"}}]')),
        st.builds(lambda inside: b": ping\n\n" + chunk(inside), INSIDES),
        st.builds(lambda inside: chunk(inside).replace(b'"index":0', b'"index":1'), INSIDES),
        st.builds(lambda inside: chunk(inside).replace(b"\n", b"\r\n"), INSIDES),
        st.builds(call, st.integers(0, 1), WORDS, id=st.sampled_from(["", "a", "b"])),
        st.just(ENDS[OPENAI]),
    ),
    ANTHROPIC: st.one_of(
        st.builds(delta, INSIDES),
        st.builds(delta, INSIDES),
        st.builds(delta, INSIDES, st.integers(0, 2)),
        st.builds(lambda inside: delta(inside).replace(b"text", b"thinking"), INSIDES),
        st.builds(lambda inside: event("ping") + delta(inside), INSIDES),
        st.builds(begin, st.integers(0, 2), type=st.sampled_from(["text", "thinking"])),
        st.builds(begin, st.integers(0, 2), type=st.just("tool_use"), id=WORDS, name=WORDS, input=st.just({})),
        st.just(event("content_block_stop", index=0)),
        st.just(ENDS[ANTHROPIC]),
    ),
}


@pytest.mark.parametrize("dialect", OTHER)
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_stream(dialect: str, data: st.DataObject) -> None:
    reads = data.draw(st.lists(st.lists(PIECES[dialect], min_size=1, max_size=4).map(b"".join), max_size=8))
    stream = [BEGINNINGS[dialect], *reads]
    check(dialect, stream)


def of(dialect: str) -> list[Recording]:
    found = openai_shaped() if dialect == OPENAI else anthropic_shaped()
    return [recording for recording in found if recording.streaming and not recording.path.endswith("embeddings")]


@pytest.mark.skipif(not recordings(), reason=UNSET)
@pytest.mark.parametrize("dialect", OTHER)
@pytest.mark.parametrize("many", [1, 7])
def test_recorded_streams(dialect: str, many: int) -> None:
    assert of(dialect)
    for recording in of(dialect):
        reader = CHAT[dialect].open_stream(keep_usage=True, prompt_bytes=0)
        passed = split(reader.feed(recording.body) + reader.end())
        reads = [b"".join(passed[at : at + many]) for at in range(0, len(passed), many)]
        check(dialect, reads)
