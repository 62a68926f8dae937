"""The stream of `POST /v1/generate`: its events, their order, and that no split of the answer changes them."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import Unavailable
from penstock.events import Event, ToolCallDelta
from penstock.usage import Usage
from penstock.wire.generate import Generate, Told
from penstock.wire.sse import parse, split
from tests.wire.test_generate import ANSWER, EVENTS

GENERATE = Generate()


def read(written: bytes) -> list[tuple[str, Any]]:
    found = [parse(block) for block in split(written)]
    return [(fields.event.decode(), json.loads(fields.data or b"")) for fields in found]


def streamed(events: list[Event], told: Told) -> list[tuple[str, Any]]:
    writer = GENERATE.open_result_writer(lambda: told)
    return read(writer.write(events) + writer.end())


def test_a_stream() -> None:
    told = Told(request_id="r1", attempts=2, latency_ms=5, dropped=["user"])
    events = streamed(ANSWER, told)
    assert events == [
        ("start", {"contract": "1", "request_id": "r1", "model": "brook-2"}),
        ("text", {"text": "It is "}),
        ("text", {"text": "high."}),
        ("usage", {**json.loads(GENERATE.encode_result(ANSWER, told))["usage"]}),
        ("done", json.loads(GENERATE.encode_result(ANSWER, told))),
    ]
    assert events[-1][1]["usage"]["output_tokens"] == 4


def test_pieces_of_every_kind() -> None:
    call = ToolCallDelta(3, "c1", "gauge", "")
    events = [
        Event("reasoning", "Hm"),
        Event("refusal", "No."),
        Event("tool_call", index=3, tool_call=call),
        Event("tool_call", index=3, tool_call=ToolCallDelta(3, arguments='{"a"')),
        Event("tool_call", index=3, tool_call=ToolCallDelta(3, arguments=":1}")),
        Event("finish", finish_reason="tool_calls"),
    ]
    found = streamed(events, Told(request_id="r1"))
    assert [kind for kind, _ in found] == ["start", "reasoning", "refusal", *["tool_call"] * 3, "usage", "done"]
    assert [data for kind, data in found if kind == "tool_call"] == [
        {"index": 0, "id": "c1", "name": "gauge", "arguments": ""},
        {"index": 0, "id": "", "name": "", "arguments": '{"a"'},
        {"index": 0, "id": "", "name": "", "arguments": ":1}"},
    ]
    assert found[-1][1]["tool_calls"] == [{"id": "c1", "name": "gauge", "arguments": '{"a":1}'}]
    assert call.arguments == ""  # the events are the reader's, and stay as they are


@pytest.mark.parametrize("further", ['{"n": 1}', "}", "\ud800"])
@pytest.mark.parametrize("late", [False, True])
def test_arguments_that_are_whole_stay_as_they_are(further: str, late: bool) -> None:
    """Some servers send them again at the end."""
    events = [Event("tool_call", tool_call=ToolCallDelta(0, "c1", "gauge", '{"n": 1}'))]
    events += [Event("tool_call", tool_call=ToolCallDelta(0, "", "", further)), Event("end")]
    if late:
        events.insert(0, Event("tool_call", tool_call=ToolCallDelta(0, "c1", "gauge", "")))
        events[1].tool_call = ToolCallDelta(0, "", "", '{"n": 1}')
    found = streamed(events, Told(request_id="r1"))
    assert "".join(data["arguments"] for kind, data in found if kind == "tool_call") == '{"n": 1}'
    assert found[-1][1]["tool_calls"] == [{"id": "c1", "name": "gauge", "arguments": '{"n": 1}'}]


def test_what_the_record_knows_is_asked_for_at_the_end() -> None:
    told = Told(request_id="r1", model="fast")
    writer = GENERATE.open_result_writer(lambda: told)
    begun = writer.write([Event("text", "Hi")])
    told.latency_ms, told.usage = 99, Usage(output_tokens=7, estimated=True)
    usage, done = (data for _, data in read(writer.end()))
    assert read(begun)[0][1]["model"] == done["model"] == "fast"
    assert (done["latency_ms"], done["usage"], usage) == (99, usage, {**usage, "output_tokens": 7, "estimated": True})


@pytest.mark.parametrize("error", [None, Unavailable("Gone.", do="Try again.")])
def test_an_error_ends_the_stream_with_what_was_said(error: Unavailable | None) -> None:
    events = [Event("text", "It "), Event("text", "is"), Event("error", error=error), Event("text", "!"), Event("end")]
    found = streamed(events, Told(request_id="r1"))
    assert [kind for kind, _ in found] == ["start", "text", "text", "error"]
    failed = found[-1][1]
    assert (failed["status"], failed["text"], failed["request_id"]) == ("failed", "It is", "r1")
    assert failed["error"]["code"] == ("stream_interrupted" if error is None else "unavailable")


def test_penstock_can_break_it_off_once() -> None:
    writer = GENERATE.open_result_writer(lambda: Told(request_id="r1"))
    writer.write([Event("text", "Hi")])
    ((kind, failed),) = read(writer.fail(Unavailable("Gone.")))
    assert (kind, failed["text"]) == ("error", "Hi")
    assert writer.fail(Unavailable("Gone.")) == writer.end() == writer.write(ANSWER) == b""


def test_a_writer_that_knows_only_the_id() -> None:
    writer = GENERATE.open_writer("r1", 0, keep_usage=False)
    written = writer.write(ANSWER)
    assert read(written)[-1] == ("done", json.loads(GENERATE.encode_answer(ANSWER, "r1", 0)))
    assert writer.end() == b""


@given(events=EVENTS, cuts=st.sets(st.integers(0, 8)))
def test_any_split_gives_the_same_stream(events: list[Event], cuts: set[int]) -> None:
    told = Told(request_id="r1")
    whole = GENERATE.open_result_writer(lambda: told)
    expected = whole.write(events) + whole.end()
    writer, written, edges = GENERATE.open_result_writer(lambda: told), b"", [0, *sorted(cuts), len(events)]
    for begin, end in itertools.pairwise(edges):
        written += writer.write(events[begin : max(begin, end)])
    assert written + writer.end() == expected
    assert read(expected)[-1] == ("done", json.loads(GENERATE.encode_result(events, told)))
