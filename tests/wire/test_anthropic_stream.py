"""The watcher of Anthropic's streams on our own cases: what passes, what it amounted to, for any chunking.

A case is `<name>.sse`, what should pass in `<name>.out.sse` where that differs, and `<name>.json` with what should be
known at the end; `told` is the code of the error event that should follow.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import PenstockError, ProtocolError, StreamInterrupted, UpstreamError, UpstreamTimeout
from penstock.events import Event, collect
from penstock.messages import Usage
from penstock.wire.anthropic_events import decode_events
from penstock.wire.anthropic_stream import MessageStream
from penstock.wire.sse import MAX_EVENT

CASES = Path(__file__).parent / "cases" / "anthropic_messages"
NAMES = sorted(path.stem for path in CASES.glob("*.json"))
ERROR = b"event: error\ndata: "


class Case:
    def __init__(self, name: str) -> None:
        self.expected: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text("utf-8"))
        self.body = (CASES / f"{name}.sse").read_bytes()
        out = CASES / f"{name}.out.sse"
        self.passed = out.read_bytes() if out.exists() else self.body

    def run(self, pieces: list[bytes]) -> tuple[bytes, MessageStream]:
        reader = MessageStream(prompt_bytes=40)
        passed = [reader.feed(piece) for piece in pieces]
        return b"".join(passed) + reader.end(), reader


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def known(reader: MessageStream) -> dict[str, Any]:
    return {
        "finish_reason": reader.finish_reason,
        "model": reader.model,
        "done": reader.done,
        "dropped": reader.dropped,
        "error": None if reader.error is None else reader.error.code,
        "output": reader.output,
        "usage": reader.usage,
    }


def told_by(event: bytes) -> Any:
    """The error in an error event, which must be all there is."""
    assert event.startswith(ERROR)
    assert event.endswith(b"}\n\n")
    told = json.loads(event[len(ERROR) :])
    assert told["type"] == "error"
    return told["error"]


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    case = Case(name)
    expected = case.expected
    passed, reader = case.run([case.body])
    if "told" in expected:
        assert passed.startswith(case.passed)
        told = told_by(passed[len(case.passed) :].lstrip(b"\n"))
        assert told["details"] == {"error_code": expected["told"]}
        assert expected.get("says", "") in told["message"]
    else:
        assert passed == case.passed
    assert known(reader) == {
        "finish_reason": expected["finish_reason"],
        "model": expected["model"],
        "done": expected["done"],
        "dropped": expected.get("dropped", 0),
        "error": expected.get("error"),
        "output": expected.get("output", True),
        "usage": Usage(**expected["usage"]),
    }


@pytest.mark.parametrize("name", NAMES)
def test_case_as_events(name: str) -> None:
    case = Case(name)
    events = decode_events(case.run([case.body])[0])
    response = collect(events)
    calls = [[call.id, call.name, call.arguments] for call in response.tool_calls]
    expected = case.expected
    assert response.text == expected["text"]
    assert response.message.reasoning == expected.get("reasoning", "")
    assert calls == expected.get("tool_calls", [])
    assert response.finish_reason == expected.get("finish_of_events", expected["finish_reason"])
    errors = [event.error.code for event in events if event.error is not None]
    assert (errors[-1] if errors else None) == expected.get("error")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
def test_case_in_pieces(name: str, size: int) -> None:
    case = Case(name)
    whole, reader = case.run([case.body])
    again, other = case.run(cut(case.body, size))
    assert again == whole
    assert known(other) == known(reader)


@pytest.mark.parametrize("name", NAMES)
def test_events_are_the_same_wherever_they_stand(name: str) -> None:
    body = Case(name).body
    blocks = [block + b"\n\n" for block in body.split(b"\n\n")]
    assert shown(decode_events(body)) == [text for block in blocks for text in shown(decode_events(block))]


def shown(events: list[Event]) -> list[str]:
    return [repr(event) for event in events]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [3, 5, 8])
def test_a_case_cut_short_never_ends_cleanly(name: str, share: int) -> None:
    case = Case(name)
    body = case.body[: len(case.body) * share // 10]
    passed, reader = case.run([body])
    assert reader.done or ERROR in passed
    assert (reader.error is None) == reader.done or case.expected.get("error")


EVENTS = [case.body for case in map(Case, NAMES)]
PIECES = st.one_of(
    st.sampled_from([event + b"\n\n" for body in EVENTS for event in body.split(b"\n\n") if event]),
    st.sampled_from([b"\n", b"\r\n", b"\r", b"data: {}\n\n", b"data:\n\n", b"event: error\n", b"error: x\n\n"]),
    st.binary(max_size=12),
)


@settings(max_examples=60, deadline=None)
@given(pieces=st.lists(PIECES, max_size=8), sizes=st.lists(st.integers(1, 90), min_size=1, max_size=6))
def test_any_bytes_in_any_pieces(pieces: list[bytes], sizes: list[int]) -> None:
    body = b"".join(pieces)
    whole = MessageStream(prompt_bytes=3)
    first = whole.feed(body) + whole.end()
    parts = MessageStream(prompt_bytes=3)
    second, at, turn = b"", 0, 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        second += parts.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    second += parts.end()
    assert first == second
    assert known(whole) == known(parts)
    decode_events(body)


def block(text: str, **fields: Any) -> bytes:
    written = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}, **fields}
    return b"event: content_block_delta\ndata: " + json.dumps(written).encode() + b"\n\n"


TEXTS = st.text(alphabet=st.sampled_from('ab"\\{}\n\r é\u2028\ud83c'), max_size=6)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=6), others=st.lists(st.booleans(), min_size=6, max_size=6))
def test_many_events_at_once_are_as_many_one_by_one(texts: list[str], others: list[bool]) -> None:
    events = [block(text, extra={"a": [{}]} if other else 1) for text, other in zip(texts, others, strict=False)]
    together, single = MessageStream(prompt_bytes=0), MessageStream(prompt_bytes=0)
    assert together.feed(b"".join(events)) == b"".join(single.feed(event) for event in events)
    assert known(together) == known(single)
    assert shown(decode_events(b"".join(events))) == [told for event in events for told in shown(decode_events(event))]


def test_whole_events_come_back_as_the_same_object() -> None:
    data = Case("plain").body
    reader = MessageStream(prompt_bytes=0)
    assert reader.feed(data) is data
    data = block("a") + block("b")
    assert reader.feed(data) is data


@pytest.mark.parametrize(
    ("name", "held"),
    [("plain", 3), ("thinking", 2), ("thinking_omitted", 2), ("tools", 2), ("server_tools", 1), ("compaction", 2)],
)
def test_what_comes_before_the_first_output_is_told_apart(name: str, held: int) -> None:
    events = [event + b"\n\n" for event in Case(name).body.split(b"\n\n")]
    reader = MessageStream(prompt_bytes=0)
    for event in events[:held]:
        assert reader.feed(event) == event
        assert not reader.output
    reader.feed(events[held])
    assert reader.output
    assert not reader.done


def test_usage_is_known_at_any_time() -> None:
    reader = MessageStream(prompt_bytes=41)
    assert reader.usage == Usage(input_tokens=11, estimated=True)
    start, *_ = Case("plain").body.split(b"\n\n")
    reader.feed(start + b"\n\n")
    assert reader.usage == Usage(input_tokens=12, output_tokens=1)
    reader.feed(block("12345"))
    assert reader.usage == Usage(input_tokens=12, output_tokens=2, estimated=True)


def test_an_event_without_end() -> None:
    reader = MessageStream(prompt_bytes=0)
    first = block("a")
    assert reader.feed(first + b"data: ") == first
    for _ in range(MAX_EVENT // 65536 + 1):
        assert reader.feed(b"x" * 65536) == b""
    assert isinstance(reader.error, ProtocolError)
    assert reader.feed(first) == b""
    assert told_by(reader.end())["details"] == {"error_code": "protocol_error"}


def test_the_error_that_ended_it_is_told_once() -> None:
    reader = MessageStream(prompt_bytes=0)
    reader.feed(block("a"))
    cause = UpstreamTimeout("Silent for 30 s.", do="Try again.")
    told = told_by(reader.end(cause))
    assert told == {
        "type": "timeout_error",
        "message": "Silent for 30 s. Try again.",
        "details": {"error_code": "upstream_timeout"},
    }
    assert reader.error is cause
    assert reader.end() == b""


def test_nothing_goes_on_behind_an_error() -> None:
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    stop = b'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    for pieces in ([block("a") + error + block("b") + stop], [block("a"), error, block("b"), block("c"), stop]):
        reader = MessageStream(prompt_bytes=0)
        passed = b"".join(reader.feed(piece) for piece in pieces) + reader.end()
        assert passed.endswith(error)
        assert isinstance(reader.error, UpstreamError)
        assert not reader.done


def test_a_last_word_alone_is_no_answer() -> None:
    reader = MessageStream(prompt_bytes=0)
    reader.feed(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert not reader.output
    reader.end()
    assert isinstance(reader.error, StreamInterrupted)


def test_a_good_end_outweighs_what_comes_after_it() -> None:
    reader = MessageStream(prompt_bytes=0)
    reader.feed(Case("no_message_stop").body)
    assert reader.end(UpstreamTimeout("Silent for 1 s.")) == b""
    assert reader.error is None


def test_what_a_relay_of_ours_told_keeps_its_class() -> None:
    reader = MessageStream(prompt_bytes=0)
    reader.feed(block("a"))
    (event,) = decode_events(reader.end(UpstreamTimeout("Silent for 30 s.", do="Try again.")))
    assert isinstance(event.error, UpstreamTimeout)
    assert str(event.error) == "Silent for 30 s. Try again."


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_decode_events_takes_any_bytes(data: bytes) -> None:
    try:
        decode_events(b"{" + data)
        decode_events(b"data: " + data)
    except PenstockError:
        pytest.fail("decode_events raises nothing")


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        (b'{"x": 1}', '{"x": 1}'),
        (b'"{\\"x\\": 1}"', '{"x": 1}'),
        (b"null", "{}"),
        (b'""', "{}"),
        (b'" "', "{}"),
        (b'"free"', '"free"'),
        (b"{}", "{}"),
        (b"[1]", "[1]"),
    ],
)
def test_an_input_that_is_no_object(written: bytes, arguments: str) -> None:
    """Compatible servers write null, or the JSON as a string; where its pieces follow, mostly an empty one."""
    block = b'{"type":"tool_use","id":"a","name":"f","input":%b}' % written
    (call,) = collect(decode_events(b'{"type":"message","model":"m","content":[%b]}' % block)).tool_calls
    assert call.arguments == arguments
    start = b'event: content_block_start\ndata: {"type":"content_block_start","index":0,"content_block":%b}\n\n' % block
    piece = b'{"type":"content_block_delta","index":0,"delta":{"type":"input_json_delta","partial_json":"{}"}}'
    (call,) = collect(decode_events(start + b"event: content_block_delta\ndata: %b\n\n" % piece)).tool_calls
    # What a first piece tells whole, a second one only tells again.
    told = arguments if arguments in ("{}", '{"x": 1}') else arguments + "{}"
    assert call.arguments == told
