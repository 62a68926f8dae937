"""The watcher of chat streams on our own cases: what passes, what it amounted to, for any chunking.

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

from penstock.errors import PenstockError, ProtocolError, StreamInterrupted, Unavailable, UpstreamError, UpstreamTimeout
from penstock.events import collect
from penstock.messages import Usage
from penstock.wire.openai_events import decode_events
from penstock.wire.openai_stream import ChatStream
from penstock.wire.sse import MAX_EVENT

CASES = Path(__file__).parent / "cases" / "openai_chat"
NAMES = sorted(path.stem for path in CASES.glob("*.json"))


class Case:
    def __init__(self, name: str) -> None:
        self.expected: dict[str, Any] = json.loads((CASES / f"{name}.json").read_text("utf-8"))
        self.body = (CASES / f"{name}.sse").read_bytes()
        out = CASES / f"{name}.out.sse"
        self.passed = out.read_bytes() if out.exists() else self.body

    def run(self, pieces: list[bytes]) -> tuple[bytes, ChatStream]:
        reader = ChatStream(keep_usage=self.expected.get("keep_usage", False), prompt_bytes=40)
        passed = [reader.feed(piece) for piece in pieces]
        return b"".join(passed) + reader.end(), reader


def cut(body: bytes, size: int) -> list[bytes]:
    return [body[at : at + size] for at in range(0, len(body), size)]


def known(reader: ChatStream) -> dict[str, Any]:
    return {
        "finish_reason": reader.finish_reason,
        "model": reader.model,
        "done": reader.done,
        "dropped": reader.dropped,
        "error": None if reader.error is None else reader.error.code,
        "output": reader.output,
        "usage": reader.usage,
    }


def told_by(passed: bytes, case: Case) -> Any:
    """The error event after what should pass, which must be all that follows."""
    assert passed.startswith(case.passed)
    rest = passed[len(case.passed) :].lstrip(b"\n")
    assert rest.startswith(b"data: ")
    assert rest.endswith(b"}\n\n")
    return json.loads(rest[6:])["error"]


@pytest.mark.parametrize("name", NAMES)
def test_case(name: str) -> None:
    case = Case(name)
    expected = case.expected
    passed, reader = case.run([case.body])
    if "told" in expected:
        told = told_by(passed, case)
        assert told["code"] == expected["told"]
        assert expected.get("says", "") in told["message"]
        assert told["type"] == "server_error"
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
    response = collect(decode_events(case.run([case.body])[0]))
    calls = [[call.id, call.name, call.arguments] for call in response.tool_calls]
    expected = case.expected
    assert response.text == expected["text"]
    assert response.message.reasoning == expected.get("reasoning", "")
    assert response.message.refusal == expected.get("refusal", "")
    assert calls == expected.get("tool_calls", [])
    assert response.finish_reason == expected["finish_reason"]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("size", [1, 2, 3, 5, 64])
def test_case_in_pieces(name: str, size: int) -> None:
    case = Case(name)
    whole, reader = case.run([case.body])
    again, other = case.run(cut(case.body, size))
    assert again == whole
    assert known(other) == known(reader)


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
    whole = ChatStream(keep_usage=False, prompt_bytes=3)
    first = whole.feed(body) + whole.end()
    parts = ChatStream(keep_usage=False, prompt_bytes=3)
    second, at, turn = b"", 0, 0
    while at < len(body):
        size = sizes[turn % len(sizes)]
        second += parts.feed(body[at : at + size])
        at, turn = at + size, turn + 1
    second += parts.end()
    assert first == second
    assert known(whole) == known(parts)
    decode_events(body)


def test_whole_events_come_back_as_the_same_object() -> None:
    data = Case("plain").body.partition(b"data: [DONE]")[0]
    reader = ChatStream(keep_usage=True, prompt_bytes=0)
    assert reader.feed(data) is data


def test_output_is_seen_with_the_first_words() -> None:
    role, words = Case("plain").body.split(b"\n\n")[:2]
    reader = ChatStream(keep_usage=False, prompt_bytes=0)
    reader.feed(role + b"\n\n")
    assert not reader.output
    reader.feed(words + b"\n\n")
    assert reader.output
    assert not reader.done


def test_usage_is_known_at_any_time() -> None:
    reader = ChatStream(keep_usage=False, prompt_bytes=41)
    assert reader.usage == Usage(input_tokens=11, estimated=True)
    reader.feed(b'data: {"choices":[{"delta":{"content":"12345"}}]}\n\n')
    assert reader.usage == Usage(input_tokens=11, output_tokens=2, estimated=True)


def test_an_event_without_end() -> None:
    reader = ChatStream(keep_usage=False, prompt_bytes=0)
    first = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert reader.feed(first + b"data: ") == first
    for _ in range(MAX_EVENT // 65536 + 1):
        assert reader.feed(b"x" * 65536) == b""
    assert isinstance(reader.error, ProtocolError)
    assert reader.feed(first) == b""
    assert json.loads(reader.end()[6:])["error"]["code"] == "protocol_error"


def test_the_error_that_ended_it_is_told_once() -> None:
    reader = ChatStream(keep_usage=False, prompt_bytes=0)
    reader.feed(b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n')
    cause = UpstreamTimeout("Silent for 30 s.", do="Try again.")
    assert json.loads(reader.end(cause)[6:])["error"]["message"] == "Silent for 30 s. Try again."
    assert reader.error is cause
    assert reader.end() == b""


def test_an_errors_body_behind_the_events_says_why_the_stream_broke_off() -> None:
    reader = ChatStream(keep_usage=False, prompt_bytes=0)
    said = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    assert reader.feed(said + b'{"error":{"message":"out of memory","type":"server_error"}}') == said
    assert "out of memory" in json.loads(reader.end()[6:])["error"]["message"]
    assert isinstance(reader.error, Unavailable)


def test_nothing_goes_on_behind_an_error() -> None:
    said = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
    error = b'data: {"error":{"message":"overloaded","code":"server_error"}}\n\n'
    end = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    for pieces in ([said + error + said + end], [said, error, said, said, end], [said * 5, error + said, end]):
        reader = ChatStream(keep_usage=False, prompt_bytes=0)
        passed = b"".join(reader.feed(piece) for piece in pieces) + reader.end()
        assert passed.endswith(error)
        assert isinstance(reader.error, UpstreamError)
        assert not reader.done


def test_a_last_word_alone_is_no_answer() -> None:
    reader = ChatStream(keep_usage=False, prompt_bytes=0)
    reader.feed(b"data: [DONE]\n\n")
    assert not reader.output
    reader.end()
    assert isinstance(reader.error, StreamInterrupted)


def test_a_good_end_outweighs_what_comes_after_it() -> None:
    reader = ChatStream(keep_usage=False, prompt_bytes=0)
    reader.feed(b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n')
    assert reader.end(UpstreamTimeout("Silent for 1 s.")) == b""
    assert reader.error is None


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200))
def test_decode_events_takes_any_bytes(data: bytes) -> None:
    try:
        decode_events(b"{" + data)
        decode_events(b"data: " + data)
    except PenstockError:
        pytest.fail("decode_events raises nothing")
