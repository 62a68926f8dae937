"""Each fault of the simulated provider, as it shows on the wire."""

from __future__ import annotations

import msgspec
import pytest

from tests.providers.sim import USER, Said, ask, body_of, message, message_body, stream

FINE = stream()
EVENTS = len(FINE.payloads)


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "invalid_value"),
        (401, "invalid_request_error", "invalid_api_key"),
        (402, "insufficient_credits", "insufficient_credits"),
        (403, "request_forbidden", "unsupported_country_region_territory"),
        (404, "invalid_request_error", "model_not_found"),
        (408, "timeout", None),
        (409, "conflict_error", None),
        (413, "server_error", None),
        (422, "invalid_request_error", "unprocessable_entity"),
        (429, "requests", "rate_limit_exceeded"),
        (500, "server_error", None),
        (502, "cf_bad_gateway", 502),
        (503, "cf_service_unavailable", 503),
        (504, "cf_gateway_timeout", 504),
        (529, "overloaded_error", None),
        (418, "invalid_request_error", None),
        (599, "server_error", None),
    ],
)
def test_statuses_have_their_real_bodies(status: int, kind: str, code: str | int | None) -> None:
    for answer in (ask(body_of(f"small:status={status}")), stream(f"status={status}")):
        assert (answer.status, answer.whole, answer.ended) == (status, True, None)
        assert answer.headers[b"content-type"] == b"application/json"
        assert list(answer.error) == ["message", "type", "param", "code"]
        assert (answer.error["type"], answer.error["code"]) == (kind, code)


def test_a_status_of_the_front_proxy_is_a_page() -> None:
    answer = ask(body_of(), "status=520")
    assert (answer.status, answer.headers[b"content-type"]) == (520, b"text/html; charset=UTF-8")
    assert answer.body.startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("script", "kind", "param"),
    [
        ("status=429,code=insufficient_quota", "insufficient_quota", None),
        ("status=400,code=context_length_exceeded", "invalid_request_error", "messages"),
        ("status=400,code=content_filter", None, "prompt"),
        ("status=401,code=account_deactivated", "invalid_request_error", None),
        ("status=429,code=something_else", "requests", None),
    ],
)
def test_codes_have_their_own_bodies(script: str, kind: str | None, param: str | None) -> None:
    error = ask(body_of(), script).error
    assert (error["type"], error["param"], error["code"]) == (kind, param, script.rpartition("=")[2])


def test_rate_limit_headers_come_with_rate_limits_only() -> None:
    limited, quota = ask(body_of(), "status=429"), ask(body_of(), "status=429,code=insufficient_quota")
    assert limited.headers[b"x-ratelimit-remaining-requests"] == b"0"
    assert b"x-ratelimit-remaining-requests" not in quota.headers


@pytest.mark.parametrize(
    ("wait", "seconds", "millis"), [("2", b"2", None), ("2s", b"2", None), ("250ms", b"1", b"250"), ("1m", b"60", None)]
)
def test_retry_after(wait: str, seconds: bytes, millis: bytes | None) -> None:
    headers = ask(body_of(), f"status=503,retry_after={wait}").headers
    assert (headers[b"retry-after"], headers.get(b"retry-after-ms")) == (seconds, millis)


def test_resets() -> None:
    before = ask(body_of(), "reset=before_headers")
    assert (before.raw, before.ended) == (b"", "reset")
    for after in (ask(body_of(), "reset=after_headers"), stream("reset=after_headers")):
        assert (after.status, after.body, after.ended) == (200, b"", "reset")


def test_silence() -> None:
    for answer in (ask(body_of(), "silence"), stream("silence")):
        assert (answer.raw, answer.ended) == (b"", None)


def test_a_model_that_cannot_go_on_with_its_answer() -> None:
    begun = [*USER, {"role": "assistant", "content": "Turbines are"}]
    refused = ask(body_of(messages=begun), "no_prefill")
    assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")
    assert "prefill" in refused.error["message"]
    assert ask(body_of(messages=begun)).status == ask(body_of(), "no_prefill").status == 200
    begun_there = message(message_body(messages=begun), "no_prefill")
    assert (begun_there.status, begun_there.error["type"]) == (400, "invalid_request_error")
    assert "must end with a user message" in begun_there.error["message"]


def test_html_and_an_error_in_a_200() -> None:
    page = stream("html")
    assert (page.status, page.headers[b"content-type"]) == (200, b"text/html; charset=UTF-8")
    assert ask(body_of(), "html,status=502").status == 502
    error = stream("error_in_200,code=insufficient_quota")
    assert (error.status, error.error["code"]) == (200, "insufficient_quota")


def test_another_content_type() -> None:
    assert ask(body_of(), "content_type=text/plain").headers[b"content-type"] == b"text/plain"
    assert stream("content_type=application/octet-stream").headers[b"content-type"] == b"application/octet-stream"


# Streams


@pytest.mark.parametrize("count", [0, 1, 2, EVENTS - 1, EVENTS])
def test_cut_and_stalled_streams(count: int) -> None:
    cut, stalled = stream(f"cut={count}"), stream(f"stall={count}")
    assert cut.payloads == stalled.payloads == FINE.payloads[:count]
    assert (cut.whole, cut.ended) == (False, "eof")
    assert (stalled.whole, stalled.ended) == (False, None)


def test_a_cut_after_the_end_never_comes() -> None:
    answer = stream(f"cut={EVENTS + 1}")
    assert (answer.whole, answer.body) == (True, FINE.body)


@pytest.mark.parametrize("count", [0, 1, 20, EVENTS])
def test_a_stall_that_ends(count: int) -> None:
    answer = stream(f"stall={count},stall_for=30s")
    assert (answer.whole, answer.body) == (True, FINE.body)
    late = [piece for time, piece in zip(answer.times, answer.pieces, strict=True) if time >= 30]
    assert b"".join(late).count(b"data: ") == EVENTS - count
    assert answer.times[-1] == pytest.approx(30.0, abs=0.01) if count < EVENTS else answer.times[-1] < 0.01
    whole = ask(body_of(), "stall=10,stall_for=30s")
    assert (whole.whole, whole.json) == (True, ask(body_of()).json)
    assert whole.times[-1] == pytest.approx(30.0, abs=0.01)


@pytest.mark.parametrize("number", [1, 3, EVENTS - 1])
def test_one_malformed_event(number: int) -> None:
    answer = stream(f"malformed={number}")
    assert answer.whole
    assert answer.payloads[: number - 1] == FINE.payloads[: number - 1]
    assert answer.payloads[number:] == FINE.payloads[number:]
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(answer.payloads[number - 1])


def test_half_a_character() -> None:
    answer = stream("bad_utf8=3")
    with pytest.raises(UnicodeDecodeError):
        answer.payloads[2].decode()
    assert answer.payloads[2].replace(b"\xe2\x82", b"") == FINE.payloads[2]
    assert answer.payloads[3:] == FINE.payloads[3:]


def test_an_error_event() -> None:
    answer = stream("error_event=4")
    assert answer.payloads[:4] == FINE.payloads[:4]
    assert answer.whole
    (event,) = answer.payloads[4:]
    assert msgspec.json.decode(event)["error"]["type"] == "server_error"


def test_missing_ends() -> None:
    assert stream("no_done").payloads == FINE.payloads[:-1]
    unfinished = stream("no_finish", stream_options={"include_usage": True})
    assert (unfinished.whole, unfinished.ended) == (True, None)
    assert not any(choice["finish_reason"] for chunk in unfinished.chunks for choice in chunk["choices"])
    assert unfinished.text == FINE.text
    assert b"[DONE]" not in unfinished.body


def test_framing() -> None:
    crlf = stream("crlf")
    assert crlf.body == FINE.body.replace(b"\n", b"\r\n")
    comments = stream("comments")
    assert comments.body.count(b": keep-alive\n\n") == EVENTS
    assert comments.payloads == FINE.payloads


def told(script: str) -> list[object]:
    """The usage of a whole answer, and of a streamed one."""
    streamed = stream(script, stream_options={"include_usage": True})
    return [ask(body_of(), script).json.get("usage"), streamed.chunks[-1].get("usage")]


def test_usage() -> None:
    assert told("usage=none") == [None, None]
    (true, _), (wrong, wrong_streamed) = told("tokens=20"), told("usage=wrong,tokens=20")
    assert isinstance(true, dict)
    assert isinstance(wrong, dict)
    assert wrong == wrong_streamed
    assert wrong["total_tokens"] != wrong["prompt_tokens"] + wrong["completion_tokens"]
    assert wrong["completion_tokens"] != true["completion_tokens"]
    for script, fits in (("zero", range(1)), ("huge", range(2**53, 2**63)), ("negative", range(-(10**6), 0))):
        for usage in told(f"usage={script}"):
            assert isinstance(usage, dict)
            assert all(usage[f"{name}_tokens"] in fits for name in ("prompt", "completion", "total"))


# Unary bodies


def test_unary_bodies_cut_stalled_and_broken() -> None:
    whole = ask(body_of())
    cut, stalled = ask(body_of(), "cut=10"), ask(body_of(), "stall=10")
    assert cut.body == stalled.body == whole.body[:10]
    assert cut.headers[b"content-length"] == whole.headers[b"content-length"]
    assert (cut.ended, stalled.ended) == ("eof", None)
    broken = ask(body_of(), "malformed=1")
    assert broken.whole
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(broken.body)
    with pytest.raises(UnicodeDecodeError):
        ask(body_of(), "bad_utf8=1").body.decode()


# Timing


def test_slow_first_token_and_gaps() -> None:
    answer = stream("first_token=2s,between=50ms,tokens=5")
    assert answer.times[0] < 0.01  # head and role chunk
    outputs = [time for time, piece in zip(answer.times, answer.pieces, strict=True) if b'"content":"' in piece][1:]
    assert outputs == pytest.approx([2.0 + 0.05 * index for index in range(5)], abs=0.01)


def test_a_whole_answer_takes_as_long_as_its_stream() -> None:
    assert ask(body_of(), "first_token=2s,between=50ms,tokens=5").times == pytest.approx([2.2], abs=0.01)


def test_a_slow_head() -> None:
    assert ask(body_of(), "head=3s").times == pytest.approx([3.0], abs=0.01)
    assert stream("head=3s,status=503").times == pytest.approx([3.0], abs=0.01)


def test_bursts() -> None:
    answer = stream("burst=10,between=1s,tokens=30")
    counts = [piece.count(b'"content":"') for piece in answer.pieces]
    assert [count for count in counts if count >= 10] == [11, 10, 10]  # the role chunk has a `content` too
    assert answer.times[-1] == pytest.approx(2.0, abs=0.01)


def test_a_tail_of_slow_tokens() -> None:
    answer = stream("between=10ms,tail=0.1,tokens=400")
    gaps = [round(later - earlier, 3) for earlier, later in zip(answer.times, answer.times[1:], strict=False)]
    assert set(gaps) <= {0.0, 0.01, 0.1}
    assert 15 <= gaps.count(0.1) <= 80


# The connection


def pieces_of(answer: Said) -> list[int]:
    return [len(piece) for piece in answer.pieces]


def test_every_byte_its_own_write() -> None:
    answer = stream("split=1,tokens=2")
    assert set(pieces_of(answer)) == {1}
    assert answer.raw == stream("tokens=2").raw


def test_random_pieces() -> None:
    sizes = pieces_of(stream("split=random"))
    assert len(set(sizes)) > 20
    assert max(sizes) <= 64


def test_surplus_bytes() -> None:
    for answer in (ask(body_of(), "surplus"), stream("surplus")):
        assert (answer.whole, answer.surplus, answer.ended) == (True, True, None)


def test_a_connection_that_closes_after_the_response() -> None:
    for answer in (ask(body_of(), "close"), stream("close")):
        assert answer.headers[b"connection"] == b"close"
        assert (answer.whole, answer.ended) == (True, "eof")
