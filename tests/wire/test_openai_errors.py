"""From a provider's signal to our error class, and from our error to OpenAI's envelope."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import errors as e
from penstock.wire.openai_errors import classify, encode_error, encode_stream_error, no_answer
from penstock.wire.retry_after import retry_after


def said(**fields: Any) -> bytes:
    return json.dumps({"error": {"message": "m", **fields}}).encode()


@pytest.mark.parametrize(
    ("status", "body", "kind", "shown"),
    [
        (400, said(type="invalid_request_error", param="n"), e.UpstreamRefused, 400),
        (413, b"<html>", e.UpstreamRefused, 413),
        (422, b'{"detail":[{"msg":"field required"}]}', e.UpstreamRefused, 422),
        (400, said(code="context_length_exceeded"), e.UpstreamContextTooLong, 400),
        (400, said(message="Your prompt is too long: 9 tokens"), e.UpstreamContextTooLong, 400),
        (400, said(message="Your request exceeded model token limit: 9"), e.UpstreamContextTooLong, 400),
        (500, said(code="context_length_exceeded"), e.UpstreamContextTooLong, 500),
        (400, said(code="content_filter"), e.ContentFiltered, 400),
        (400, said(innererror={"code": "ResponsibleAIPolicyViolation"}), e.ContentFiltered, 400),
        (401, said(code="invalid_api_key"), e.UpstreamCredential, 502),
        (401, b"", e.UpstreamCredential, 502),
        (403, said(), e.UpstreamCredential, 502),
        (403, b"", e.UpstreamCredential, 502),
        (403, b"<!DOCTYPE html><title>Attention Required!</title>", e.Unavailable, 403),
        (403, said(message="Project p does not have access: model x does not exist"), e.UpstreamNotFound, 403),
        (403, said(message="You are not allowed to generate embeddings from this model"), e.UpstreamNotFound, 403),
        (403, b'{"code":"denied","error":"The team has no credits. You can purchase credits."}', e.UpstreamQuota, 502),
        (400, b'{"code":"c","error":"Incorrect API key provided: xx"}', e.UpstreamCredential, 502),
        (400, b'[{"error":{"code":400,"message":"API key not valid."}}]', e.UpstreamCredential, 502),
        (402, said(), e.UpstreamQuota, 502),
        (429, said(code="insufficient_quota"), e.UpstreamQuota, 502),
        (429, said(type="insufficient_quota", code=None), e.UpstreamQuota, 502),
        (429, said(code="workspace_spend_limit_exceeded"), e.UpstreamQuota, 502),
        (429, said(code="daily_usage_limit_exceeded"), e.UpstreamQuota, 502),
        (429, said(type="exceeded_current_quota_error"), e.UpstreamQuota, 502),
        (429, said(code="1113"), e.UpstreamQuota, 502),
        (400, said(code="Arrearage"), e.UpstreamQuota, 502),
        (412, said(message="Account a is suspended: monthly spending limit reached"), e.UpstreamQuota, 502),
        (412, said(), e.UpstreamRefused, 412),
        (429, said(code="rate_limit_exceeded"), e.UpstreamRateLimited, 429),
        (498, b"", e.UpstreamRateLimited, 498),
        (404, said(code="model_not_found"), e.UpstreamNotFound, 404),
        (404, b"<html>not here</html>", e.UpstreamNotFound, 404),
        (404, said(message="No endpoints found for x/y."), e.UpstreamNotFound, 404),
        (403, said(message="Key limit exceeded (total limit). Manage it there"), e.UpstreamQuota, 502),
        (
            403,
            said(message="You do not have permission to access the File f or it may not exist."),
            e.UpstreamRefused,
            403,
        ),
        (404, said(message="No such File object: file-1"), e.UpstreamRefused, 404),
        (404, said(message="No endpoints found that support tool use."), e.UpstreamRefused, 404),
        (404, said(message="tools is not supported in this model. For a list see"), e.UpstreamRefused, 404),
        (403, b'{"code":"no permission","error":"Content violates usage guidelines. Team: t"}', e.ContentFiltered, 403),
        (
            403,
            said(
                message="Provider returned error",
                metadata={"raw": '{"code":"c","error":"Content violates usage guidelines."}'},
            ),
            e.ContentFiltered,
            403,
        ),
        (400, said(message="x/y is not a valid model ID"), e.UpstreamNotFound, 400),
        (408, b"", e.Unavailable, 408),
        (409, b"", e.Unavailable, 409),
        (500, b"", e.Unavailable, 500),
        (503, b"<html>busy</html>", e.Unavailable, 503),
        (529, said(type="overloaded_error"), e.Unavailable, 529),
        (504, b"", e.UpstreamTimeout, 504),
        (524, b"", e.UpstreamTimeout, 524),
        (302, b"", e.ProtocolError, 502),
        (204, b"", e.ProtocolError, 502),
        (200, said(type="rate_limit_error"), e.UpstreamRateLimited, 429),
        (200, said(code=401), e.UpstreamCredential, 502),
        (200, said(code="429"), e.UpstreamRateLimited, 429),
        (200, said(status=503), e.Unavailable, 503),
        (200, said(type="invalid_request_error"), e.UpstreamRefused, 400),
        (200, said(), e.Unavailable, 502),
        (200, b'{"error":"out of memory"}', e.Unavailable, 502),
    ],
)
def test_classes(status: int, body: bytes, kind: type[e.UpstreamError], shown: int) -> None:
    error = classify(status, {b"content-type": b"x"}, body)
    assert type(error) is kind
    assert error.status == shown
    assert error.answer is not None
    assert (error.answer.body, error.answer.headers) == (body, {b"content-type": b"x"})
    assert error.answer.status == (status if status >= 400 else error.status)
    assert error.do


def test_what_the_provider_said_is_quoted_but_for_our_account() -> None:
    assert str(classify(400, {}, said(message="no\n tool"))) == "The provider refused the request (400): no tool"
    assert classify(400, {}, said(param="tools[0]")).param == "tools[0]"
    for status in (401, 402, 403):
        assert "sk-" not in str(classify(status, {}, said(message="bad key sk-123")))
    assert len(str(classify(400, {}, said(message="x" * 10_000)))) < 400
    assert "�" in str(classify(400, {}, b'{"error":{"message":"half \\ud800 of it"}}'))


def test_a_request_that_costs_more_than_is_left_says_nothing_of_a_smaller_one() -> None:
    words = "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only"
    error = classify(402, {}, said(message=f"{words} afford 1234. To increase, visit https://openrouter.ai/credits"))
    assert type(error) is e.UpstreamQuota
    assert error.partly
    assert "max_tokens" in error.do
    assert "1234" not in str(error)
    for nothing in (f"{words} afford 0.", "Insufficient credits"):
        error = classify(402, {}, said(message=nothing))
        assert type(error) is e.UpstreamQuota
        assert not error.partly


@given(st.sampled_from([200, 302, 400, 401, 403, 404, 429, 500]), st.binary(max_size=60))
def test_any_body_is_classified(status: int, body: bytes) -> None:
    quoted = b'{"error":{"message":"' + body + b'"}}'
    for text in (body, b'{"error":' + body, quoted, b'{"error":{"code":[' + body + b"]}}"):
        error = classify(status, {b"retry-after": body}, text)
        assert isinstance(error, e.UpstreamError)
        json.loads(encode_error(error, "id"))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({b"retry-after": b"3"}, 3.0),
        ({b"retry-after": b" 0.5 "}, 0.5),
        ({b"retry-after": b"0"}, 0.0),
        ({b"retry-after-ms": b"1500"}, 1.5),
        ({b"retry-after-ms": b"250", b"retry-after": b"1"}, 0.25),
        ({b"retry-after-ms": b"0", b"retry-after": b"1"}, 1.0),
        ({b"retry-after-ms": b"0"}, 0.0),
        ({b"retry-after-ms": b"nan", b"retry-after": b"2"}, 2.0),
        ({b"retry-after": b"nan"}, None),
        ({b"retry-after": b"inf"}, None),
        ({b"retry-after": b"1e999"}, None),
        ({b"retry-after": b"99999999999999999999"}, 86_400.0),
        ({b"retry-after-ms": b"99999999999999999999"}, 86_400.0),
        ({b"retry-after": b"Wed, 21 Oct 2099 07:28:00 GMT"}, 86_400.0),
        ({b"retry-after": b"-1"}, None),
        ({b"retry-after": b"soon"}, None),
        ({b"retry-after": b"\xff"}, None),
        ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 GMT"}, 60.0),
        ({b"retry-after": b"Wed, 21 Oct 2015 07:28:00 -0000"}, 60.0),
        ({b"retry-after": b"Wed, 21 Oct 2015 07:00:00 GMT"}, 0.0),
        ({b"retry-after": b"Wed, 99 Oct 2015 07:00:00 GMT"}, None),
    ],
)
def test_retry_after(headers: dict[bytes, bytes], seconds: float | None) -> None:
    now = 1445412420.0  # Wed, 21 Oct 2015 07:27:00 GMT
    assert retry_after(headers, now) == seconds
    assert classify(429, headers, b"", now).retry_after == seconds


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [
        ("38s", 38.0),
        ("45.837906927s", 45.837906927),
        ("0s", 0.0),
        ("38", None),
        ("-1s", None),
        ("soons", None),
        (9, None),
    ],
)
def test_google_says_in_the_body_how_long_to_wait(delay: str | int, seconds: float | None) -> None:
    details = [
        {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
        {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
    ]
    answers = (said(code=429, details=details), b"[" + said(code=429, details=details) + b"]")
    for body in answers:
        assert classify(429, {}, body).retry_after == seconds
        assert classify(429, {b"retry-after": b"3"}, body).retry_after == 3.0
    assert classify(429, {}, said(details=details[:1])).retry_after is None


def test_a_date_is_counted_from_the_answers_own() -> None:
    headers = {b"retry-after": b"Wed, 21 Oct 2015 07:28:00 GMT"}
    assert retry_after(headers) is None
    assert retry_after({**headers, b"date": b"Wed, 21 Oct 2015 07:27:30 GMT"}) == 30.0


@pytest.mark.parametrize(
    ("error", "type_", "code"),
    [
        (e.InvalidRequest("No.", param="model"), "invalid_request_error", "invalid_request"),
        (e.Unauthenticated("No."), "invalid_request_error", "invalid_api_key"),
        (e.Forbidden("No."), "invalid_request_error", "forbidden"),
        (e.UnknownModel("No."), "invalid_request_error", "model_not_found"),
        (e.ContextTooLong("No."), "invalid_request_error", "context_length_exceeded"),
        (e.UpstreamContextTooLong("No."), "invalid_request_error", "context_length_exceeded"),
        (e.ContentFiltered("No."), "invalid_request_error", "content_filter"),
        (e.UpstreamRefused("No."), "invalid_request_error", "upstream_refused"),
        (e.UpstreamRateLimited("No."), "rate_limit_error", "rate_limit_exceeded"),
        (e.RateLimited("No."), "requests", "rate_limit_exceeded"),
        (e.RateLimited("No.", unit="tokens"), "tokens", "rate_limit_exceeded"),
        (e.LargerThanLimit("No.", param="max_tokens"), "invalid_request_error", "larger_than_limit"),
        (e.Overloaded("No."), "server_error", "overloaded"),
        (e.UpstreamCredential("No."), "server_error", "upstream_credential"),
        (e.UpstreamQuota("No."), "server_error", "upstream_quota"),
        (e.DeadlineExceeded("No."), "server_error", "deadline_exceeded"),
        (e.PenstockError("No."), "server_error", "penstock_error"),
    ],
)
def test_envelope(error: e.PenstockError, type_: str, code: str) -> None:
    error.do = "Do this."
    body = json.loads(encode_error(error, "0198"))
    fields = {"message": "No. Do this.", "type": type_, "param": error.param, "code": code}
    assert body == {"error": {**fields, "request_id": "0198"}}
    event = encode_stream_error(error)
    assert event.endswith(b"\n\n")
    assert json.loads(event.removeprefix(b"data: ")) == {"error": fields}


def test_a_spent_budget_is_told_in_the_word_by_which_clients_stop() -> None:
    error = e.BudgetExceeded("No.", retry_after=60.0)
    told = json.loads(encode_error(error, "0198"))["error"]
    assert (told["type"], told["code"]) == ("insufficient_quota", "insufficient_quota")
    assert (error.status, error.retryable) == (429, False)
    event = json.loads(encode_stream_error(error).removeprefix(b"data: "))["error"]
    assert (event["type"], event["code"]) == ("insufficient_quota", "budget_exceeded")


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b'{"detail":"Not authenticated"}', e.ProtocolError, "not a chat completion: Not authenticated."),
        (b'{"message":"Welcome to the API"}', e.ProtocolError, "not a chat completion: Welcome to the API."),
        (b'{"data":[]}', e.ProtocolError, "not a chat completion. "),
        (b'{"base_resp":{"status_code":1004,"status_msg":"invalid api key"}}', e.UpstreamCredential, "credential"),
    ],
)
def test_a_200_that_is_no_answer_tells_what_it_says(body: bytes, kind: type[e.UpstreamError], words: str) -> None:
    error = no_answer(json.loads(body), body, "a chat completion")
    assert type(error) is kind
    assert words in error.told


def test_a_redirect_is_told_as_one() -> None:
    error = classify(301, {b"location": b"https://elsewhere.test"}, b"")
    assert isinstance(error, e.ProtocolError)
    assert "redirect (301)" in error.told
    assert "base_url" in error.told
