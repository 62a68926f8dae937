"""Real Anthropic-shaped messages and counts of tokens through the dialects: what passes, and what is known of it.

What is expected is worked out here from the recording alone, by other means than the dialect's.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from typing import Any

import pytest

from penstock.errors import (
    ContextTooLong,
    PenstockError,
    Unavailable,
    UpstreamCredential,
    UpstreamError,
    UpstreamNotFound,
    UpstreamQuota,
    UpstreamRateLimited,
)
from penstock.events import collect, merged
from penstock.messages import Usage
from penstock.wire.anthropic_count_tokens import AnthropicCountTokens, estimate_body
from penstock.wire.anthropic_messages import AnthropicMessages
from penstock.wire.anthropic_stream import MessageStream
from penstock.wire.dialect import Dialect
from tests.wire.corpus import UNSET, Recording, recordings

if not recordings():
    pytest.skip(UNSET, allow_module_level=True)

MESSAGES, COUNT = AnthropicMessages(), AnthropicCountTokens()

FEATURES: dict[str, type[PenstockError]] = {
    "error_quota": UpstreamQuota,
    "error_auth": UpstreamCredential,
    "error_context_length": ContextTooLong,
    "error_404": UpstreamNotFound,
    "rate_limited": UpstreamRateLimited,
    "error_5xx": Unavailable,
}
REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


def shaped(keep: Callable[[Recording], bool] = lambda recording: True) -> list[Recording]:
    """Those of Anthropic's messages and counts, told by the path."""
    paths = ("/messages", "/messages/count_tokens")
    return [recording for recording in recordings() if recording.path.endswith(paths) and keep(recording)]


def is_count(recording: Recording) -> bool:
    return recording.path.endswith("/count_tokens")


def dialect_of(recording: Recording) -> Dialect:
    return COUNT if is_count(recording) else MESSAGES


STREAMS = shaped(lambda recording: recording.streaming)
ANSWERS = shaped(lambda r: not r.streaming and r.status == 200 and not is_count(r))
COUNTS = shaped(lambda recording: recording.status == 200 and is_count(recording))
FAILURES = shaped(lambda recording: recording.status != 200)
REQUESTS = shaped(lambda recording: recording.request is not None)


def test_enough_of_them() -> None:
    least = 100 if "PENSTOCK_CORPUS_MIN" in os.environ else 1
    assert len(STREAMS) + len(ANSWERS) + len(FAILURES) >= least


def told(body: bytes) -> list[dict[str, Any]]:
    """The events' data, up to the first end."""
    found = [json.loads(line[5:]) for line in body.decode().splitlines() if line.startswith("data:")]
    ends = [at for at, event in enumerate(found) if event["type"] == "message_stop"]
    return found[: ends[0] + 1] if ends else found


def first_message(body: bytes) -> bytes:
    """The stream up to the first end: some recordings are several answers, one after the other."""
    return re.split(rb"(?<=\"message_stop\"}\n\n)|(?<=\"message_stop\" }\n\n)", body)[0]


def run(body: bytes, size: int | None = None) -> tuple[bytes, MessageStream]:
    reader = MESSAGES.open_stream(keep_usage=False, prompt_bytes=400)
    step = size or len(body)
    passed = b"".join(reader.feed(body[at : at + step]) for at in range(0, len(body), step))
    return passed + reader.end(), reader


def facts_of(reader: MessageStream) -> tuple[object, ...]:
    error = None if reader.error is None else reader.error.code
    return reader.usage, reader.model, reader.finish_reason, reader.done, reader.output, reader.dropped, error


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_passes(recording: Recording) -> None:
    """Byte for byte; the one that broke told its client so itself."""
    whole, reader = run(recording.body)
    assert whole == recording.body
    assert reader.dropped == 0
    broken = "mid_stream_error" in recording.features
    assert (reader.error is not None) == broken
    assert reader.done != broken


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_in_any_pieces(recording: Recording) -> None:
    whole, reader = run(recording.body)
    for size in (1, 7, 1400) if len(recording.body) < 100_000 else (1, 1400):
        again, other = run(recording.body, size)
        assert again == whole
        assert facts_of(other) == facts_of(reader)


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_without_its_end(recording: Recording) -> None:
    """Cut before the stop reason, it ends with an error event."""
    body = recording.body.partition(b"event: message_delta")[0]
    passed, reader = run(body)
    if b'"stop_reason":"' in body or body == recording.body:
        return
    assert reader.error is not None
    assert reader.error.code == "stream_interrupted"
    assert passed.startswith(body)
    assert passed[len(body) :].startswith(b'event: error\ndata: {"type":"error","error":{"type":"api_error"')
    assert reader.usage.input_tokens >= 1


WHOLE = [recording for recording in STREAMS if "mid_stream_error" not in recording.features]


@pytest.mark.parametrize("recording", WHOLE, ids=repr)
def test_stream_with_other_line_ends(recording: Recording) -> None:
    _, reader = run(recording.body)
    body = recording.body.replace(b"\n", b"\r\n")
    passed, other = run(body)
    assert passed == body
    assert facts_of(other) == facts_of(reader)


@pytest.mark.parametrize("recording", WHOLE, ids=repr)
def test_stream_with_an_event_that_is_none(recording: Recording) -> None:
    _, reader = run(recording.body)
    begin, end = recording.body.partition(b"event: content_block_stop")[::2]
    bad = b'event: ping\ndata: {"type": "ping"\n\n'
    passed, other = run(begin + bad + b"event: content_block_stop" + end)
    assert passed == recording.body
    assert other.dropped == 1
    assert facts_of(other)[:5] == facts_of(reader)[:5]


@pytest.mark.parametrize("recording", WHOLE, ids=repr)
def test_stream_with_an_error_in_the_middle(recording: Recording) -> None:
    begin = recording.body.partition(b"event: content_block_stop")[0]
    error = b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}\n\n'
    passed, reader = run(begin + error)
    assert passed == begin + error
    assert isinstance(reader.error, Unavailable)
    assert reader.error.status == 529
    (told_error,) = (event.error for event in MESSAGES.decode_events(passed) if event.kind == "error")
    assert type(told_error) is type(reader.error)


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_facts(recording: Recording) -> None:
    _, reader = run(recording.body)
    events = told(recording.body)
    starts = [event["message"] for event in events if event["type"] == "message_start"]
    deltas = [event for event in events if event["type"] == "message_delta"]
    if not starts:
        assert reader.model is None
        assert isinstance(reader.error, Unavailable)
        return
    assert reader.model == starts[0]["model"]
    reasons = [started["stop_reason"] for started in starts] + [delta["delta"]["stop_reason"] for delta in deltas]
    assert reader.finish_reason == REASONS[next(reason for reason in reversed(reasons) if reason)]
    counts = {**starts[0]["usage"], **(deltas[-1]["usage"] if deltas else {})}
    assert reader.usage == counted(counts)
    assert reader.output


def counted(usage: dict[str, Any]) -> Usage:
    """A count, with the sums that run beside it."""
    names = ("cache_read_input_tokens", "cache_creation_input_tokens")
    parts = [usage, *(i for i in usage.get("iterations") or [] if i["type"] in ("compaction", "advisor_message"))]
    read, written = (sum(part.get(name) or 0 for part in parts) for name in names)
    taken_in = sum(part["input_tokens"] for part in parts) + read + written
    given_out = sum(part["output_tokens"] for part in parts)
    details = usage.get("output_tokens_details") or {}
    longer = (usage.get("cache_creation") or {}).get("ephemeral_1h_input_tokens") or 0
    searches = (usage.get("server_tool_use") or {}).get("web_search_requests") or 0
    place = usage.get("inference_geo") or "global"
    return Usage(
        *(taken_in, given_out, read, written, details.get("thinking_tokens", 0)),
        cache_write_1h_tokens=longer,
        web_searches=searches,
        tier="" if place in ("global", "not_available") else f"in_{place}"[:23],
    )


@pytest.mark.parametrize("recording", STREAMS, ids=repr)
def test_stream_events(recording: Recording) -> None:
    body = first_message(recording.body)
    events = MESSAGES.decode_events(body)
    response = collect(events)
    _, reader = run(body)
    written = told(body)
    deltas = [event["delta"] for event in written if event["type"] == "content_block_delta"]
    blocks = [event["content_block"] for event in written if event["type"] == "content_block_start"]
    assert response.text == "".join(delta.get("text", "") for delta in deltas)
    assert response.message.reasoning == "".join(delta.get("thinking", "") for delta in deltas)
    calls = [block for block in blocks if block["type"] == "tool_use"]
    assert [(call.id, call.name) for call in response.tool_calls] == [(call["id"], call["name"]) for call in calls]
    for call in response.tool_calls:
        assert isinstance(json.loads(call.arguments or "{}"), dict)
    seals = "".join(event.signature for event in events)
    assert seals == "".join(delta.get("signature", "") for delta in deltas)
    cited = [event.data for event in events if event.kind == "citation"]
    assert cited == [delta["citation"] for delta in deltas if delta["type"] == "citations_delta"]
    assert response.finish_reason == reader.finish_reason
    usages = [event.usage for event in events if event.usage is not None]
    folded: Usage | None = None
    for usage in usages:
        folded = merged(folded, usage)
    assert folded is None or folded == reader.usage
    assert [event.kind for event in events].count("end") == (0 if reader.error else 1)


@pytest.mark.parametrize("recording", ANSWERS, ids=repr)
def test_answer(recording: Recording) -> None:
    written = json.loads(recording.body)
    facts = MESSAGES.decode_facts(recording.body, 400)
    response = MESSAGES.decode_response(recording.body)
    content = written["content"]
    assert facts.usage == response.usage == counted(written["usage"])
    assert facts.model == response.model == written["model"]
    assert facts.finish_reason == response.finish_reason == REASONS[written["stop_reason"]]
    assert response.text == "".join(block["text"] for block in content if block["type"] == "text")
    assert response.message.reasoning == "".join(b["thinking"] for b in content if b["type"] == "thinking")
    calls = [block for block in content if block["type"] == "tool_use"]
    assert [(c.id, c.name, json.loads(c.arguments)) for c in response.tool_calls] == [
        (call["id"], call["name"], call["input"]) for call in calls
    ]
    events = MESSAGES.decode_events(recording.body)
    known = ("text", "thinking", "redacted_thinking", "tool_use")
    others = [event.data for event in events if event.kind == "other"]
    assert others == [block for block in content if block["type"] not in known]
    assert response.raw == written


@pytest.mark.parametrize("recording", COUNTS, ids=repr)
def test_count(recording: Recording) -> None:
    expected = json.loads(recording.body)["input_tokens"]
    assert COUNT.decode_facts(recording.body).usage == Usage(expected)
    fields = COUNT.decode_request(json.dumps(recording.request).encode()).fields
    guess = json.loads(estimate_body(fields))
    assert guess["estimated"] is True
    if "tools" not in recording.request:  # which the vendor wraps in words of its own
        assert expected / 8 < guess["input_tokens"] < expected * 3


@pytest.mark.parametrize("recording", FAILURES, ids=repr)
def test_failure(recording: Recording) -> None:
    dialect = dialect_of(recording)
    error = dialect.classify(recording.status, recording.headers, recording.body)
    expected = next((kind for feature, kind in FEATURES.items() if feature in recording.features), UpstreamError)
    assert isinstance(error, expected), (recording.id, error)
    assert error.answer is not None
    assert error.answer.body == recording.body
    assert error.status in (recording.status, 502)
    again = recording.headers.get(b"x-should-retry")
    assert again is None or error.retryable == (again == b"true")
    if b"retry-after" in recording.headers:
        assert error.retry_after == float(recording.headers[b"retry-after"])
    body = json.loads(dialect.encode_error(error, "id"))
    assert error.message in body["error"]["message"]
    if recording.body and not isinstance(error, UpstreamCredential | UpstreamQuota):
        written = json.loads(recording.body)["error"]
        assert body["error"]["type"] == written["type"]
        assert " ".join(written["message"].split())[:200] in body["error"]["message"]


@pytest.mark.parametrize("recording", REQUESTS, ids=repr)
def test_request(recording: Recording) -> None:
    dialect = dialect_of(recording)
    sent = recording.request
    body = json.dumps(sent, ensure_ascii=False, indent=1).encode()
    decoded = dialect.decode_request(body)
    assert decoded.model == sent["model"]
    assert decoded.stream == decoded.usage_asked == bool(sent.get("stream"))
    again = json.loads(dialect.encode_request(decoded.fields, "other/model", stream=decoded.stream))
    assert again == {**sent, "model": "other/model"}
    assert list(again) == list(sent)
