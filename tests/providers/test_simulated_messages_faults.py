"""Each fault of the simulated provider on Anthropic's side, as it shows on the wire."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.providers.sim import message, message_body, message_stream

FINE = message_stream()
EVENTS = len(FINE.events)


@pytest.mark.parametrize(
    ("status", "kind", "again"),
    [
        (400, "invalid_request_error", False),
        (401, "authentication_error", False),
        (402, "billing_error", False),
        (403, "permission_error", False),
        (404, "not_found_error", False),
        (408, "invalid_request_error", True),
        (409, "invalid_request_error", True),
        (413, "request_too_large", False),
        (422, "invalid_request_error", False),
        (429, "rate_limit_error", True),
        (500, "api_error", True),
        (502, "api_error", True),
        (503, "api_error", True),
        (504, "timeout_error", True),
        (529, "overloaded_error", True),
    ],
)
def test_statuses_have_their_real_bodies(status: int, kind: str, again: bool) -> None:
    for answer in (message(message_body(f"small:status={status}")), message_stream(f"status={status}")):
        assert (answer.status, answer.whole, answer.ended) == (status, True, None)
        assert answer.headers[b"content-type"] == b"application/json"
        assert list(answer.json) == ["type", "error", "request_id"]
        assert answer.error["type"] == kind
        assert answer.headers[b"x-should-retry"] == (b"true" if again else b"false")


def test_a_status_of_the_front_proxy_is_a_page() -> None:
    answer = message(message_body(), "status=520")
    assert (answer.status, answer.headers[b"content-type"]) == (520, b"text/html; charset=UTF-8")
    assert answer.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("script", "kind", "words"),
    [
        ("status=400,code=insufficient_quota", "invalid_request_error", "Your credit balance is too low"),
        ("status=400,code=context_length_exceeded", "invalid_request_error", "prompt is too long"),
        ("status=400,code=content_filter", "invalid_request_error", "Output blocked by content filtering policy"),
        ("status=404,code=model_not_found", "not_found_error", "model: small"),
        ("status=503,code=overloaded_error", "overloaded_error", "Overloaded"),
        ("status=400,code=invalid_request_error", "invalid_request_error", "expected shape"),
        ("status=429,code=something_else", "rate_limit_error", "rate limit"),
    ],
)
def test_codes_have_their_own_bodies(script: str, kind: str, words: str) -> None:
    error = message(message_body(), script).error
    assert error["type"] == kind
    assert words in error["message"]


def test_rate_limits_have_their_headers_and_the_wait() -> None:
    headers = message(message_body(), "status=429,retry_after=2").headers
    assert headers[b"anthropic-ratelimit-requests-remaining"] == b"0"
    assert headers[b"retry-after"] == b"2"
    assert b"x-ratelimit-remaining-requests" not in headers
    assert message(message_body(), "status=529,retry_after=250ms").headers[b"retry-after-ms"] == b"250"


def test_an_error_in_a_200() -> None:
    answer = message_stream("error_in_200")
    assert (answer.status, answer.json["type"], answer.error["type"]) == (200, "error", "api_error")


def test_silence_and_resets() -> None:
    assert message(message_body(), "silence").raw == b""
    assert message_stream("reset=before_headers").ended == "reset"
    after = message_stream("reset=after_headers")
    assert (after.status, after.body, after.ended) == (200, b"", "reset")


# Streams


@pytest.mark.parametrize("count", [0, 1, 3, EVENTS - 1])
def test_cut_and_stalled_streams(count: int) -> None:
    cut, stalled = message_stream(f"cut={count}"), message_stream(f"stall={count}")
    assert cut.events == stalled.events == FINE.events[:count]
    assert (cut.whole, cut.ended) == (False, "eof")
    assert (stalled.whole, stalled.ended) == (False, None)


def test_one_malformed_event_keeps_its_name() -> None:
    answer = message_stream("malformed=4")
    assert [name for name, _ in answer.events] == [name for name, _ in FINE.events]
    assert answer.events[4:] == FINE.events[4:]
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.events[3][1])


def test_half_a_character_is_where_the_text_is() -> None:
    _, data = message_stream("bad_utf8=4").events[3]
    with pytest.raises(UnicodeDecodeError):
        data.decode()
    assert data.replace(b"\xe2\x82", b"") == FINE.events[3][1]
    assert b'"type":"content_block_delta"' in data
    with pytest.raises(UnicodeDecodeError):
        message(message_body(), "bad_utf8=1").body.decode()


@pytest.mark.parametrize(
    ("script", "kind"), [("error_event=4", "overloaded_error"), ("error_event=4,code=api_error", "api_error")]
)
def test_an_error_event(script: str, kind: str) -> None:
    answer = message_stream(script)
    assert answer.events[:4] == FINE.events[:4]
    assert answer.whole
    ((name, data),) = answer.events[4:]
    event = msgspec.json.decode(data)
    assert (name, event["type"], event["error"]["type"]) == ("error", "error", kind)
    assert event["request_id"].encode() == answer.headers[b"request-id"]


def test_missing_ends() -> None:
    assert message_stream("no_done").events == FINE.events[:-1]
    assert message_stream("no_finish").events == FINE.events[:-2]
    assert FINE.events[-1] == ("message_stop", b'{"type":"message_stop"}')


def test_framing() -> None:
    assert message_stream("crlf").body == FINE.body.replace(b"\n", b"\r\n")
    comments = message_stream("comments")
    assert comments.body.count(b": keep-alive\n\nevent: ") == EVENTS
    assert comments.events == FINE.events


def told(script: str) -> list[Any]:
    """The usage of a whole answer, and those at the start and at the end of a streamed one."""
    events = [msgspec.json.decode(data) for _, data in message_stream(script).events]
    return [
        message(message_body(), script).json.get("usage"),
        events[0]["message"].get("usage"),
        events[-2].get("usage"),
    ]


def test_usage() -> None:
    assert told("usage=none") == [None, None, None]
    true, wrong = told("tokens=20"), told("usage=wrong,tokens=20")
    assert [usage["output_tokens"] for usage in true] == [20, 1, 20]
    assert [usage["output_tokens"] for usage in wrong] == [10, 1, 10]
    assert [usage["input_tokens"] for usage in wrong] == [true[0]["input_tokens"] * 3 + 7] * 3
    for script, fits in (("zero", range(1)), ("huge", range(2**53, 2**63)), ("negative", range(-(10**6), 0))):
        for usage in told(f"usage={script}")[::2]:
            assert usage["input_tokens"] in fits
            assert usage["output_tokens"] in fits


# Unary bodies, timing


def test_unary_bodies_cut_and_broken() -> None:
    whole = message(message_body())
    cut = message(message_body(), "cut=10")
    assert (cut.body, cut.ended) == (whole.body[:10], "eof")
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(message(message_body(), "malformed=1").body)


def test_slow_first_token_and_gaps() -> None:
    answer = message_stream("first_token=2s,between=50ms,tokens=5")
    assert answer.times[0] < 0.01
    outputs = [time for time, piece in zip(answer.times, answer.pieces, strict=True) if b"text_delta" in piece]
    assert outputs == pytest.approx([2.0 + 0.05 * index for index in range(5)], abs=0.01)
    assert message(message_body(), "first_token=2s,between=50ms,tokens=5").times == pytest.approx([2.2], abs=0.01)
