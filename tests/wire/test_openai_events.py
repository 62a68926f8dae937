"""What OpenAI's answers hold beside text and calls: ids, seals, logprobs, citations, errors and the end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import (
    ContentFiltered,
    PenstockError,
    ProtocolError,
    StreamInterrupted,
    Unavailable,
    UpstreamRateLimited,
    UpstreamTimeout,
)
from penstock.events import Event, ToolCallDelta, collect
from penstock.usage import Usage
from penstock.wire.openai_chat import OpenAIChat
from penstock.wire.openai_errors import encode_stream_error
from penstock.wire.openai_events import decode_events


def body(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


def chunk(delta: dict[str, Any], **choice: Any) -> bytes:
    return b"data: " + body(choices=[{"index": 0, "delta": delta, **choice}]) + b"\n\n"


def answer(message: dict[str, Any], **choice: Any) -> bytes:
    return body(choices=[{"index": 0, "message": message, **choice}])


def error_in(data: bytes) -> PenstockError:
    (found,) = (event.error for event in decode_events(data) if event.kind == "error")
    assert found is not None
    return found


def test_every_chunk_says_whose_it_is() -> None:
    stream = b"data: " + body(id="a", model="m", choices=[]) + b"\n\n"
    assert decode_events(stream * 2) == [Event("start", "a", model="m")] * 2
    assert decode_events(b"data: " + body(id="", model="", choices=[]) + b"\n\n") == []
    assert decode_events(body(id="a", choices=[])) == [Event("start", "a")]


def test_an_empty_custom_call_beside_a_function_is_none() -> None:
    function = {"name": "look", "arguments": "{}"}
    for custom in (None, {}, {"name": "", "input": ""}):
        (event,) = decode_events(answer({"tool_calls": [{"id": "c", "function": function, "custom": custom}]}))
        assert event.tool_call == ToolCallDelta(0, "c", "look", "{}")
    (event,) = decode_events(answer({"tool_calls": [{"id": "c", "custom": {"name": "say", "input": "hi"}}]}))
    assert event.tool_call == ToolCallDelta(0, "c", "say", "hi")


def test_the_same_bytes_give_the_same_events_wherever_they_stand() -> None:
    first, second = chunk({"content": "a"}), chunk({"content": "b"}, finish_reason="stop")
    assert decode_events(first + second) == decode_events(first) + decode_events(second)


def test_done_is_the_end() -> None:
    events = decode_events(chunk({"content": "a"}) + b"data: [DONE]\n\n")
    assert events == [Event("text", "a"), Event("end")]


LOGPROBS = {"content": [{"token": "a", "logprob": -0.5}], "refusal": None}


def test_logprobs_come_with_the_text() -> None:
    assert decode_events(chunk({"content": "a"}, logprobs=LOGPROBS)) == [Event("text", "a", data=LOGPROBS)]
    assert decode_events(answer({"content": "a"}, logprobs=LOGPROBS)) == [Event("text", "a", data=LOGPROBS)]
    assert decode_events(chunk({"content": ""}, logprobs=LOGPROBS)) == [Event("text", "", data=LOGPROBS)]
    assert decode_events(chunk({"content": ""}, logprobs={"content": []})) == []
    assert decode_events(chunk({"content": "a"}, logprobs="none")) == [Event("text", "a")]


CITED = {"url": "https://a.test", "title": "A", "start_index": 0, "end_index": 1}


def test_annotations_are_citations() -> None:
    message = {"content": "a", "annotations": [{"type": "url_citation", "url_citation": CITED}, {"type": "file"}, 7]}
    citation = Event("citation", data={"type": "url_citation", **CITED})
    lost = [Event("unsaid", "message.annotations")] * 2
    assert decode_events(answer(message)) == decode_events(chunk(message)) == [Event("text", "a"), citation, *lost]
    assert decode_events(chunk({"content": "a", "annotations": {}})) == [Event("text", "a")]
    message["tool_calls"] = [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]
    assert [event.kind for event in decode_events(answer(message))] == [
        *("text", "citation", "unsaid", "unsaid", "tool_call"),
    ]


def test_what_has_no_event_is_named() -> None:
    said = {"content": [{"type": "text", "text": "a"}, {"type": "reference", "reference_ids": [1]}]}
    lost = {"images": [{"image_url": {"url": "u"}}], "audio": {"id": "x"}, "context": {"citations": [{}]}}
    nothing: dict[str, Any] = {
        "images": [],
        "audio": {"data": "", "expires_at": 0, "id": "", "transcript": ""},
        "context": None,
    }
    names = ["message.images", "message.audio", "message.context", "message.content[].reference"]
    for made in (answer, chunk):
        assert [event.text for event in decode_events(made(said | lost)) if event.kind == "unsaid"] == names
        assert [event.kind for event in decode_events(made({"content": "a", **nothing}))] == ["text"]


def test_a_message_in_a_stream_is_heard_where_no_delta_stands_beside_it() -> None:
    """Perplexity tells beside each delta all that was said so far; some servers tell nothing else."""
    alone = {"id": "c", "choices": [{"index": 0, "message": {"content": "ab"}, "finish_reason": "stop"}]}
    beside = {"id": "c", "choices": [{"index": 0, "message": {"content": "ab"}, "delta": {"content": "b"}}]}
    texts = [
        [event.text for event in decode_events(b"data: %b\n\n" % json.dumps(each).encode()) if event.kind == "text"]
        for each in (alone, beside)
    ]
    assert texts == [["ab"], ["b"]]


def detail(**fields: Any) -> dict[str, Any]:
    return {"type": "reasoning.text", "format": "anthropic-claude-v1", "index": 0, **fields}


@pytest.mark.parametrize(
    ("delta", "events"),
    [
        (
            {"reasoning": "Hm.", "reasoning_details": [detail(text="Hm.")]},
            [Event("reasoning", "Hm.")],
        ),
        (
            {"reasoning": "Hm.", "reasoning_details": [detail(text="Hm.", signature="S")]},
            [Event("reasoning", "Hm.", signature="S")],
        ),
        (
            {"reasoning_details": [detail(signature="S", index=2)]},
            [Event("reasoning", signature="S", index=2)],
        ),
        (
            {"reasoning_details": [detail(text="Hm.", signature="S"), {**detail(index=1), "data": "X"}]},
            [Event("reasoning", "Hm.", signature="S"), Event("reasoning", redacted="X", index=1)],
        ),
        (
            {"reasoning": "Other.", "reasoning_details": [detail(text="Hm.", signature="S")]},
            [Event("reasoning", "Other."), Event("reasoning", signature="S")],
        ),
        (
            {"reasoning": "Hm.", "reasoning_details": [detail(text="Hm.", signature="S", format="google-gemini-v1")]},
            [Event("reasoning", "Hm.")],
        ),
        ({"reasoning_details": [detail(data="X", format="openai-responses-v1"), 5]}, []),
    ],
)
def test_thoughts_with_seals(delta: dict[str, Any], events: list[Event]) -> None:
    assert decode_events(chunk(delta)) == events
    assert decode_events(answer(delta)) == events


def test_a_stream_that_repeats_the_whole_message_says_only_what_is_new() -> None:
    """Perplexity's chunks hold both; its whole answers too."""
    both = {"index": 0, "delta": {"content": "b"}, "message": {"content": "ab"}}
    assert collect(decode_events(b"data: " + body(choices=[both]) + b"\n\n")).text == "b"
    assert collect(decode_events(body(choices=[both]))).text == "ab"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b'data: {"error":{"message":"Slow down.","type":"rate_limit_error"}}\n\n', UpstreamRateLimited),
        (b'data: {"object":"error","message":"Gone.","code":500}\n\n', Unavailable),
        (b'data: {"object":"error","message":"Gone.","code":500,"usage":{"prompt_tokens":3}}\n\n', Unavailable),
        (b'error: {"error":{"message":"failed to decode"}}\n\n', Unavailable),
        (b"event: error\ndata: broken\n\n", Unavailable),
        (b'event: error\ndata: {"error":{"message":"x","code":429}}\n\n', UpstreamRateLimited),
        (chunk({}, finish_reason="error")[:-3] + b',"error":{"code":502,"message":"x"}}\n\n', Unavailable),
        (b'{"error":{"message":"no","code":"content_filter"}}', ContentFiltered),
    ],
)
def test_errors_in_the_places_where_vendors_put_them(data: bytes, kind: type[PenstockError]) -> None:
    assert type(error_in(data)) is kind


@pytest.mark.parametrize("before", [b"", b"data: {broken\n\n", chunk({"content": "a"})])
def test_an_error_without_an_envelope_that_tells_usage_is_no_usage(before: bytes) -> None:
    """Alone in its read or not: the reader fails, or its caller is told another reason."""
    bare = b'data: {"object":"error","message":"Gone.","code":500,"usage":{"prompt_tokens":3}}\n\n'
    for reads in ([before + bare], [before, bare]):
        reader = OpenAIChat().open_stream(keep_usage=True, prompt_bytes=9)
        for read in reads:
            reader.feed(read)
        assert type(reader.error) is Unavailable


def test_an_error_beside_an_answer_is_a_remark() -> None:
    remark = {"error": {"message": "x"}}
    assert decode_events(b"data: " + body(choices=[{"index": 0, "delta": {"content": "a"}}], **remark) + b"\n\n") == [
        Event("text", "a")
    ]


@pytest.mark.parametrize("kind", [StreamInterrupted, UpstreamTimeout, ProtocolError, Unavailable])
def test_an_error_that_was_told_by_a_relay_of_our_own_keeps_its_class(kind: type[PenstockError]) -> None:
    told = error_in(encode_stream_error(kind("It broke.", do="Try again.")))
    assert type(told) is kind
    assert told.message == "It broke. Try again."


def test_wrong_types_take_nothing_else_with_them() -> None:
    odd = {"index": 0, "delta": {"content": "a", "tool_calls": 5, "refusal": []}, "logprobs": []}
    stream = b"data: " + body(id=5, model="m", choices=[odd], usage={"prompt_tokens": 3}, object=1) + b"\n\n"
    usage = Event("usage", usage=Usage(input_tokens=3))
    assert decode_events(stream) == [Event("start", model="m"), Event("text", "a"), usage]


# --- many events are decoded in one go: with the same outcome as one by one

ODD: Any = st.sampled_from([None, "", "a", 5, [], ["x"], {}, {"text": "b"}, "\ud83d", True])
DELTAS = st.dictionaries(
    st.sampled_from(
        ["content", "reasoning", "reasoning_content", "refusal", "tool_calls", "annotations", "function_call"]
    ),
    ODD,
    max_size=3,
)
CHOICES = st.fixed_dictionaries(
    {},
    optional={
        "index": st.sampled_from([0, 1, "2"]),
        "delta": DELTAS,
        "finish_reason": ODD,
        "logprobs": ODD,
        "usage": ODD,
    },
)
PAYLOADS = st.fixed_dictionaries(
    {},
    optional={
        "id": ODD,
        "model": ODD,
        "choices": st.one_of(st.lists(CHOICES, max_size=2), ODD),
        "usage": st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}, 5]),
        "x_groq": st.sampled_from([None, {"usage": {"prompt_tokens": 1}}]),
        "error": st.sampled_from([None, None, None, {"message": "no"}, "no"]),
        "object": st.sampled_from(["chat.completion.chunk", "error"]),
    },
)
SAYING = st.builds(
    lambda text: {"id": "a", "model": "m", "choices": [{"delta": {"content": text}}]}, st.text(max_size=4)
)
BLOCKS = st.one_of(
    st.builds(lambda value: b"data: " + json.dumps(value).encode() + b"\n\n", st.one_of(PAYLOADS, SAYING, SAYING)),
    st.sampled_from(
        [
            b"data: [DONE]\n\n",
            b": ping\n\n",
            b'data: {"id":"a","choices":[]}{"id":"b","choices":[]}\n\n',
            b"data: {\n\n",
            b'data: {"id":"\xff"}\n\n',
        ]
    ),
)


def shown(events: list[Event]) -> list[Any]:
    return [(type(event.error), str(event.error)) if event.error else event for event in events]


@settings(max_examples=120, deadline=None)
@given(st.lists(BLOCKS, min_size=1, max_size=5))
def test_many_events_give_what_each_gives(blocks: list[bytes]) -> None:
    one_by_one = [event for block in blocks for event in decode_events(b": slowly\n\n" + block)]
    assert shown(decode_events(b"".join(blocks))) == shown(one_by_one)
