"""From a provider's signal to our error class, and from our error to Anthropic's envelope."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors as e
from penstock.wire.anthropic_errors import classify, encode_error, encode_stream_error, no_answer


def said(kind: str, message: str = "m", **fields: Any) -> bytes:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **fields}}).encode()


def invalid(message: str) -> bytes:
    return said("invalid_request_error", message)


def limited(message: str) -> bytes:
    return said("rate_limit_error", message)


WINDOW = "input length and `max_tokens` exceed context limit: 199759 + 21333 > 200000"
BALANCE = "Your credit balance is too low to access the Anthropic API."
OWN_LIMIT = "You have reached your specified API usage limits. You will regain access on 2026-04-01 at 00:00 UTC."
SPEND = {"error_code": "enforced_spend_limit_reached"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown"),
    [
        (400, invalid("messages: Field required"), e.UpstreamRefused, 400),
        (400, b"", e.UpstreamRefused, 400),
        (422, b'{"detail":[{"msg":"field required"}]}', e.UpstreamRefused, 422),
        (400, invalid("prompt is too long: 208310 tokens > 200000 maximum"), e.UpstreamContextTooLong, 400),
        (400, invalid(WINDOW), e.UpstreamContextTooLong, 400),
        (413, said("request_too_large", "Request exceeds the maximum size"), e.UpstreamContextTooLong, 413),
        (413, b"<html>", e.UpstreamContextTooLong, 413),
        (400, invalid(BALANCE), e.UpstreamQuota, 502),
        (400, invalid(OWN_LIMIT), e.UpstreamQuota, 502),
        (402, said("billing_error"), e.UpstreamQuota, 502),
        (403, said("billing_error"), e.UpstreamQuota, 502),
        (400, invalid("This organization has been disabled."), e.UpstreamCredential, 502),
        (400, said("invalid_request_error", details={"error_code": "organization_on_hold"}), e.UpstreamCredential, 502),
        (400, invalid("Output blocked by content filtering policy"), e.ContentFiltered, 400),
        (401, said("authentication_error", "invalid x-api-key"), e.UpstreamCredential, 502),
        (403, said("permission_error", "Request not allowed"), e.UpstreamCredential, 502),
        (403, said("permission_error", "You do not have access to this model."), e.UpstreamNotFound, 403),
        (404, said("not_found_error", "model: heron-9"), e.UpstreamNotFound, 404),
        (404, b"<html>", e.UpstreamNotFound, 404),
        (404, said("not_found_error", "File file_011 not found"), e.UpstreamRefused, 404),
        (409, said("conflict_error"), e.Unavailable, 409),
        (429, limited("This request would exceed your account's rate limit."), e.UpstreamRateLimited, 429),
        (429, b"", e.UpstreamRateLimited, 429),
        (498, b"", e.UpstreamRateLimited, 498),
        (429, said("rate_limit_error", details=SPEND), e.UpstreamQuota, 502),
        (429, said("rate_limit_error", details={"error_code": "ramp_limit_exceeded"}), e.UpstreamRateLimited, 429),
        (429, said("rate_limit_error", details={"error_code": "contract_spend_limit_reached"}), e.UpstreamQuota, 502),
        (429, limited("This request would exceed your account's monthly spend limit."), e.UpstreamQuota, 502),
        (429, limited("Extra usage is required for long context requests."), e.UpstreamQuota, 502),
        (500, said("api_error", "Internal server error"), e.Unavailable, 500),
        (503, b"<html>busy</html>", e.Unavailable, 503),
        (504, said("timeout_error"), e.UpstreamTimeout, 504),
        (529, said("overloaded_error", "Overloaded"), e.Unavailable, 529),
        (302, b"", e.ProtocolError, 502),
        (200, said("overloaded_error", "Overloaded"), e.Unavailable, 529),
        (200, said("rate_limit_error"), e.UpstreamRateLimited, 429),
        (200, said("invalid_request_error", "No."), e.UpstreamRefused, 400),
        (200, said("authentication_error"), e.UpstreamCredential, 502),
        (200, said("timeout_error"), e.UpstreamTimeout, 504),
        (200, said("api_error"), e.Unavailable, 500),
        (200, said("mystery_error"), e.Unavailable, 502),
        (200, b'{"error":{"message":"no","code":"insufficient_quota"}}', e.UpstreamQuota, 502),
        (200, b'{"error":"out of memory"}', e.Unavailable, 502),
    ],
)
def test_classes(status: int, body: bytes, kind: type[e.UpstreamError], shown: int) -> None:
    error = classify(status, {b"retry-after": b"3"}, body)
    assert type(error) is kind
    assert error.status == shown
    assert error.retry_after == 3.0
    assert error.answer is not None
    assert (error.answer.body, error.answer.headers) == (body, {b"retry-after": b"3"})
    assert error.answer.status == (status if status >= 400 else error.status)
    assert error.do


def test_what_the_provider_said_is_quoted_but_for_our_account() -> None:
    assert str(classify(400, {}, invalid("no\n tool"))) == "The provider refused the request (400): no tool"
    for status in (401, 402, 403):
        assert "sk-" not in str(classify(status, {}, said("x", "bad key sk-ant-123")))


@given(st.sampled_from([200, 302, 400, 401, 403, 404, 413, 429, 500, 529]), st.binary(max_size=60))
def test_any_body_is_classified(status: int, body: bytes) -> None:
    quoted = b'{"type":"error","error":{"message":"' + body + b'"}}'
    for text in (body, b'{"error":' + body, quoted, b'{"error":{"details":[' + body + b"]}}"):
        error = classify(status, {b"retry-after": body}, text)
        assert isinstance(error, e.UpstreamError)
        json.loads(encode_error(error, "id"))


def test_a_200_without_an_answer() -> None:
    body = said("overloaded_error")
    assert type(no_answer(json.loads(body), body, "a message")) is e.Unavailable
    error = no_answer(None, b"<html>", "a message")
    assert type(error) is e.ProtocolError
    assert "not a message" in str(error)
    assert error.answer is not None
    assert error.answer.body == b"<html>"


@pytest.mark.parametrize(
    ("error", "type_", "code"),
    [
        (e.InvalidRequest("No.", param="model"), "invalid_request_error", "invalid_request"),
        (e.InvalidRequest("No.", param="thread"), "invalid_request_error", "thread_unsupported_request"),
        (e.NotAvailable("No."), "invalid_request_error", "not_available"),
        (e.Unauthenticated("No."), "authentication_error", "unauthenticated"),
        (e.Forbidden("No."), "permission_error", "forbidden"),
        (e.UnknownModel("No."), "not_found_error", "unknown_model"),
        (e.NotFound("No."), "not_found_error", "not_found"),
        (e.NotFound("No.", status=405), "invalid_request_error", "not_found"),
        (e.Conflict("No."), "conflict_error", "conflict"),
        (e.TooLarge("No."), "request_too_large", "too_large"),
        (e.LimitError("No."), "rate_limit_error", "limit_error"),
        (e.RateLimited("No."), "rate_limit_error", "rate_limited"),
        (e.BudgetExceeded("No."), "rate_limit_error", "budget_exceeded"),
        (e.LargerThanLimit("No."), "invalid_request_error", "larger_than_limit"),
        (e.Overloaded("No."), "overloaded_error", "overloaded"),
        (e.ContentFiltered("No."), "invalid_request_error", "content_filtered"),
        (e.UpstreamRefused("No."), "invalid_request_error", "upstream_refused"),
        (e.UpstreamNotFound("No."), "not_found_error", "upstream_not_found"),
        (e.UpstreamRateLimited("No."), "rate_limit_error", "upstream_rate_limited"),
        (e.UpstreamRateLimited("No.", status=498), "rate_limit_error", "upstream_rate_limited"),
        (e.UpstreamTimeout("No."), "timeout_error", "upstream_timeout"),
        (e.DeadlineExceeded("No."), "timeout_error", "deadline_exceeded"),
        (e.Unavailable("No."), "api_error", "unavailable"),
        (e.Unavailable("No.", status=529), "overloaded_error", "unavailable"),
        (e.UpstreamCredential("No."), "api_error", "upstream_credential"),
        (e.UpstreamQuota("No."), "api_error", "upstream_quota"),
        (e.ProtocolError("No."), "api_error", "protocol_error"),
        (e.PenstockError("No."), "api_error", "penstock_error"),
    ],
)
def test_envelope(error: e.PenstockError, type_: str, code: str) -> None:
    error.do = "Do this."
    fields = {"type": type_, "message": "No. Do this.", "details": {"error_code": code}}
    assert json.loads(encode_error(error, "0198")) == {"type": "error", "error": fields, "request_id": "0198"}
    event = encode_stream_error(error)
    assert event.endswith(b"\n\n")
    head = b"event: error\ndata: "
    assert event.startswith(head)
    assert json.loads(event[len(head) :]) == {"type": "error", "error": fields}


def test_a_field_is_named_as_it_is_written() -> None:
    error = e.InvalidRequest("messages.0.role: Field required", do="mend it", param="messages.0.role")
    assert json.loads(encode_error(error, "0198"))["error"]["message"] == "messages.0.role: Field required. Mend it."


@pytest.mark.parametrize("kind", [e.ContextTooLong, e.UpstreamContextTooLong])
def test_a_full_window_is_told_in_the_words_by_which_clients_compact(kind: type[e.PenstockError]) -> None:
    told = json.loads(encode_error(kind("It does not fit."), "0198"))["error"]
    assert told["type"] == "invalid_request_error"
    assert told["message"] == "Prompt is too long: It does not fit."
    told = json.loads(encode_error(kind("The prompt is too long: 9 tokens."), "0198"))["error"]
    assert told["message"] == "The prompt is too long: 9 tokens."
