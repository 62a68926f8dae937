"""What goes wrong, and what the OpenAI SDK makes of it: exceptions by class, retries, timeouts, cancellations, cuts."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable

import openai
import pytest

from tests.end_to_end.process import Served
from tests.end_to_end.ways import APP_KEY, NARROW_KEY, Way, user

Ask = Callable[[openai.OpenAI, str], None]

STATUSES = [
    (400, openai.BadRequestError),
    (404, openai.NotFoundError),
    (409, openai.ConflictError),
    (413, openai.APIStatusError),
    (422, openai.UnprocessableEntityError),
    (429, openai.RateLimitError),
    (500, openai.InternalServerError),
    (503, openai.InternalServerError),
]
# The provider's complaint about the gateway's own account is none of the caller's business.
OURS = [
    ("status=401", "upstream_credential"),
    ("status=402", "upstream_quota"),
    ("status=429,code=insufficient_quota", "upstream_quota"),
    ("status=403", "upstream_credential"),
    ("status=403,code=account_deactivated", "upstream_credential"),
]


def error_of(error: openai.APIError) -> tuple[str | None, str]:
    """Its code and message, as the SDK read them from the envelope."""
    assert isinstance(error.body, dict)
    return error.code, error.body["message"]


def ask(client: openai.OpenAI, model: str) -> None:
    client.chat.completions.create(model=model, messages=user("Hello"))


def ask_streamed(client: openai.OpenAI, model: str) -> None:
    for _ in client.chat.completions.create(model=model, messages=user("Hello"), stream=True):
        pass


BOTH = pytest.mark.parametrize("ask", [ask, ask_streamed])


# --- the provider refuses or fails


@BOTH
@pytest.mark.parametrize(("status", "expected"), STATUSES)
def test_a_provider_s_status(
    way: Way, client: openai.OpenAI, ask: Ask, status: int, expected: type[openai.APIStatusError]
) -> None:
    with pytest.raises(expected) as raised:
        ask(client, way.model("small", f"status={status}"))
    assert raised.value.status_code == status
    assert error_of(raised.value)[1]
    headers = raised.value.response.headers
    assert raised.value.request_id == headers["x-request-id"]
    assert headers["x-penstock-target"] == way.model("small", f"status={status}")
    assert way.gateway.line(id=raised.value.request_id)["attempts"][0]["status"] == status


@pytest.mark.parametrize(("script", "code"), OURS)
def test_a_complaint_about_our_account(way: Way, client: openai.OpenAI, script: str, code: str) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        ask(client, way.model("small", script))
    assert raised.value.status_code == 502
    assert error_of(raised.value)[0] == code
    assert "sk-" not in raised.value.response.text
    assert raised.value.response.headers["x-should-retry"] == "false"


def test_retry_after(way: Way, client: openai.OpenAI) -> None:
    with pytest.raises(openai.RateLimitError) as raised:
        ask(client, way.model("small", "status=429,retry_after=130"))
    assert raised.value.response.headers["retry-after"] == "130"
    assert error_of(raised.value)[0] == "rate_limit_exceeded"
    assert "x-should-retry" not in raised.value.response.headers


def test_the_sdk_tries_again(way: Way) -> None:
    # Of the ways to one provider each has a script of its own, as it counts them.
    model = way.model("small", f"status=503,times=1,tokens={len(way.prefix)}")
    with way.client(max_retries=1) as client:
        raw = client.chat.completions.with_raw_response.create(model=model, messages=user("Hello"))
    assert raw.retries_taken == 1
    assert way.gateway.line(id=raw.headers["x-request-id"])["status"] == 200
    assert [line["status"] for line in way.gateway.lines if line["model"] == model] == [503, 200]


def test_the_sdk_does_not_try_again_in_vain(way: Way) -> None:
    model = way.model("small", "status=401,retry_after=1")
    with way.client(max_retries=2) as client:
        with pytest.raises(openai.InternalServerError):
            ask(client, model)
        last = client.chat.completions.create(model=way.model(), messages=user("Hello"))
    way.gateway.line(id=last._request_id)
    assert len([line for line in way.gateway.lines if line["model"] == model]) == 1


def test_reset_before_the_answer(way: Way, client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        ask(client, way.model("small", "reset=before_headers"))
    assert raised.value.status_code == 502
    assert error_of(raised.value)[0] == "unavailable"


@pytest.mark.parametrize("script", ["html", "malformed=1", "content_type=text/html,html"])
def test_an_answer_that_is_none(way: Way, client: openai.OpenAI, script: str) -> None:
    with pytest.raises(openai.InternalServerError) as raised:
        ask(client, way.model("small", script))
    assert raised.value.status_code == 502
    assert error_of(raised.value)[0] == "protocol_error"


def test_an_error_with_status_200(way: Way, client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        ask(client, way.model("small", "error_in_200"))


def test_a_provider_that_is_not_there(gateway: Served) -> None:
    with Way(gateway, "gone/", APP_KEY, None).client() as client, pytest.raises(openai.InternalServerError) as raised:
        ask(client, "gone/small")
    assert error_of(raised.value)[0] == "unavailable"
    assert "refused" in error_of(raised.value)[1].lower()


@BOTH
def test_a_gateway_that_loses_patience(gateway: Served, ask: Ask) -> None:
    with Way(gateway, "", APP_KEY, None).client() as client, pytest.raises(openai.InternalServerError) as raised:
        ask(client, "hasty")
    assert raised.value.status_code == 504
    assert error_of(raised.value)[0] == "upstream_timeout"


@pytest.mark.parametrize("name", ["wary", "public"])
def test_a_certificate_nobody_vouches_for(gateway: Served, name: str) -> None:
    way = Way(gateway, f"{name}/", APP_KEY, None)
    with way.client() as client, pytest.raises(openai.InternalServerError) as raised:
        ask(client, way.model())
    code, message = error_of(raised.value)
    assert (raised.value.status_code, code) == (502, "unavailable")
    assert "certificate" in message
    assert "Traceback" not in gateway.told.text


# --- the caller's own mistakes


def test_an_unknown_model(way: Way, client: openai.OpenAI) -> None:
    known, typed = ("fast", "fats") if way.provider else ("small", "smal")
    with pytest.raises(openai.NotFoundError) as raised:
        ask(client, typed)
    code, message = error_of(raised.value)
    assert code == "model_not_found"
    assert f'did you mean "{known}"' in message


@pytest.mark.parametrize("key", ["wrong", NARROW_KEY + "x", "sk-up-0123456789abcdef"])
def test_a_wrong_key(gateway: Served, key: str) -> None:
    with Way(gateway, "up/", key, None).client() as client:
        for call in (lambda: ask(client, "fast"), client.models.list):
            with pytest.raises(openai.AuthenticationError) as raised:
                call()
            assert error_of(raised.value)[0] == "invalid_api_key"
            assert key not in raised.value.response.text


def test_a_wrong_type(way: Way, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(model=way.model(), messages=user("Hi"), temperature="hot")  # type: ignore[call-overload]
    assert raised.value.param == "temperature"


def test_a_route_of_a_later_version(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as raised:
        client.responses.create(model="fast", input="Hello")
    assert error_of(raised.value)[0] == "not_available"


def test_a_header_of_a_later_version(way: Way, client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as raised:
        client.chat.completions.create(
            model=way.model(), messages=user("Hi"), extra_headers={"x-penstock-cache-control": "no-store"}
        )
    assert error_of(raised.value)[0] == "not_available"


def test_a_body_above_the_cap(gateway: Served) -> None:
    with Way(gateway, "up/", APP_KEY, None).client() as client, pytest.raises(openai.APIStatusError) as raised:
        client.chat.completions.create(model="fast", messages=user("x" * 5 * 1024 * 1024))
    assert raised.value.status_code == 413


# --- streams that do not end well


@pytest.mark.parametrize("script", ["cut=6", "error_event=6", "no_finish"])
def test_a_stream_that_breaks(way: Way, client: openai.OpenAI, script: str) -> None:
    model = way.model("small", f"{script},between=1ms")
    stream = client.chat.completions.create(model=model, messages=user("Hello"), stream=True)
    assert next(stream).choices
    with pytest.raises(openai.APIError) as raised:
        list(stream)
    assert raised.value.message
    line = way.gateway.line(id=stream.response.headers["x-request-id"])
    # The SDK may leave at the error event, before the stream is over on the wire.
    assert line["status"] in (200, 499)
    assert line["stream_error"]
    assert line["attempts"][0]["outcome"] == line["stream_error"]


def test_a_stream_that_fails_at_once(way: Way, client: openai.OpenAI) -> None:
    with pytest.raises(openai.InternalServerError):
        ask_streamed(client, way.model("small", "cut=0"))


def test_a_malformed_event_is_dropped(way: Way, client: openai.OpenAI) -> None:
    model = way.model("small", "malformed=3")
    stream = client.chat.completions.create(model=model, messages=user("Hello"), stream=True)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "stop"
    assert way.gateway.line(id=stream.response.headers["x-request-id"])["dropped_events"] == 1


@pytest.mark.parametrize("script", ["no_done", "comments", "crlf", "close", "usage=none", "burst=5"])
def test_an_odd_stream_that_is_whole(way: Way, client: openai.OpenAI, script: str) -> None:
    stream = client.chat.completions.create(model=way.model("small", script), messages=user("Hello"), stream=True)
    chunks = list(stream)
    assert chunks[-1].choices[0].finish_reason == "stop"
    line = way.gateway.line(id=stream.response.headers["x-request-id"])
    assert "stream_error" not in line
    assert line["tokens"]["output"] > 0


# --- callers that leave


def test_a_client_that_loses_patience(way: Way) -> None:
    model = way.model("small", "silence,tokens=9")
    with way.client(timeout=0.3) as client, pytest.raises(openai.APITimeoutError):
        ask(client, model)
    line = way.gateway.line(model=model)
    assert (line["status"], line["error"], line["attempts"][0]["outcome"]) == (499, "cancelled", "cancelled")
    seen = way.seen(model)
    assert seen is None or way.ended(seen) == "disconnected"


def test_a_client_that_leaves_a_stream(way: Way, client: openai.OpenAI) -> None:
    took = []
    for attempt in range(3):
        # A script of its own, so that the provider's journal can tell one from the other.
        model = way.model("small", f"tokens={1000 + attempt},between=10ms")
        stream = client.chat.completions.create(model=model, messages=user("Hello"), stream=True)
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        left = time.monotonic()
        stream.close()
        line = way.gateway.line(id=stream.response.headers["x-request-id"])
        assert (line["status"], line["error"], line["attempts"][0]["outcome"]) == (499, "cancelled", "cancelled")
        seen = way.seen(model)
        if seen is None:
            break
        assert way.ended(seen) == "disconnected"
        assert seen.ended is not None
        took.append(seen.ended - left)
    # The machine may be busy; the gateway has no wait of its own in this.
    assert not took or min(took) < 0.25


def test_a_task_that_is_cancelled(way: Way) -> None:
    model = way.model("small", "silence,tokens=11")

    async def leave() -> None:
        async with way.async_client() as client:
            asked = asyncio.create_task(client.chat.completions.create(model=model, messages=user("Hello")))
            # The provider has it, or the gateway answers others: it is under way.
            await client.models.list()
            if way.provider is not None:
                await asyncio.to_thread(way.seen, model)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

    asyncio.run(leave())
    if way.provider is not None:
        assert way.gateway.line(model=model)["status"] == 499


def test_nothing_is_left_open(way: Way, client: openai.OpenAI) -> None:
    """Runs after all the failures of this file: what they left would show."""
    ask(client, way.model())
    with urllib.request.urlopen(f"{way.gateway.admin_url}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert re.search(r"^penstock_requests_in_flight 0(\.0)?$", metrics, re.MULTILINE)
    if way.provider is not None:
        way.provider.journal.wait_until_quiet()
