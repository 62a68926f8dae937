"""What goes wrong, and what Anthropic's SDK makes of it: exceptions by class, retries, timeouts, cancellations."""

from __future__ import annotations

import asyncio
import re
import time
import urllib.request
from collections.abc import Callable

import anthropic
import pytest
from anthropic import _exceptions as more

from tests.end_to_end.process import Served
from tests.end_to_end.test_messages import hello
from tests.end_to_end.ways import APP_KEY, NARROW_KEY, Way

Ask = Callable[[anthropic.Anthropic, str], None]

STATUSES: list[tuple[int, type[anthropic.APIStatusError], str]] = [
    (400, anthropic.BadRequestError, "invalid_request_error"),
    (404, anthropic.NotFoundError, "not_found_error"),
    (409, anthropic.ConflictError, ""),
    (413, more.ContentTooLargeError, ""),
    (422, anthropic.UnprocessableEntityError, "invalid_request_error"),
    (429, anthropic.RateLimitError, "rate_limit_error"),
    (500, anthropic.InternalServerError, "api_error"),
    (503, more.ServiceUnavailableError, ""),
    (529, more.OverloadedError, "overloaded_error"),
]
# The provider's complaint about the gateway's own account is none of the caller's business.
OURS = [
    ("status=401", "upstream_credential"),
    ("status=402", "upstream_quota"),
    ("status=403,code=account_deactivated", "upstream_credential"),
    ("status=400,code=insufficient_quota", "upstream_quota"),
]


def code_of(error: anthropic.APIStatusError) -> str | None:
    """By the envelope's details; the envelope must be Anthropic's."""
    assert isinstance(error.body, dict)
    assert error.body["type"] == "error"
    assert error.api_message
    return error.error_code


def ask(client: anthropic.Anthropic, model: str) -> None:
    client.messages.create(model=model, max_tokens=500, messages=hello())


def ask_streamed(client: anthropic.Anthropic, model: str) -> None:
    with client.messages.stream(model=model, max_tokens=500, messages=hello()) as stream:
        stream.until_done()


BOTH = pytest.mark.parametrize("ask", [ask, ask_streamed])


# --- the provider refuses or fails


@BOTH
@pytest.mark.parametrize(("status", "expected", "kind"), STATUSES)
def test_a_provider_s_status(
    path: Way, claude: anthropic.Anthropic, ask: Ask, status: int, expected: type[anthropic.APIStatusError], kind: str
) -> None:
    with pytest.raises(expected) as raised:
        ask(claude, path.model("small", f"status={status}"))
    error = raised.value
    assert error.status_code == status
    assert not kind or error.type == kind
    assert error.api_message
    headers = error.response.headers
    assert error.request_id == headers["request-id"] == headers["x-request-id"]
    assert headers["x-penstock-target"] == path.model("small", f"status={status}")
    assert path.gateway.line(id=error.request_id)["attempts"][0]["status"] == status


@pytest.mark.parametrize(("script", "code"), OURS)
def test_a_complaint_about_our_account(path: Way, claude: anthropic.Anthropic, script: str, code: str) -> None:
    with pytest.raises(anthropic.InternalServerError) as raised:
        ask(claude, path.model("small", script))
    assert (raised.value.status_code, code_of(raised.value)) == (502, code)
    assert raised.value.type == "api_error"
    assert "sk-" not in raised.value.response.text
    assert "x-api-key" not in raised.value.response.text
    assert raised.value.response.headers["x-should-retry"] == "false"


def test_a_prompt_that_does_not_fit(path: Way, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        ask(claude, path.model("small", "status=400,code=context_length_exceeded"))
    # The words by which Claude Code knows that it has to compact.
    assert "prompt is too long" in (raised.value.api_message or "").lower()
    line = path.gateway.line(id=raised.value.request_id)
    assert (line["error"], line["attempts"][0]["status"]) == ("context_too_long", 400)


def test_retry_after(path: Way, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.RateLimitError) as raised:
        ask(claude, path.model("small", "status=429,retry_after=131"))
    assert raised.value.response.headers["retry-after"] == "131"
    assert "x-should-retry" not in raised.value.response.headers


def test_the_sdk_tries_again(path: Way) -> None:
    # Of the two ways to one provider each has a script of its own, as it counts them.
    model = path.model("small", f"status=529,times=1,tokens={len(path.prefix)}")
    with path.claude(max_retries=1) as client:
        raw = client.messages.with_raw_response.create(model=model, max_tokens=500, messages=hello())
    assert raw.retries_taken == 1
    assert path.gateway.line(id=raw.headers["request-id"])["status"] == 200
    assert [line["status"] for line in path.gateway.lines if line["model"] == model] == [529, 200]


@BOTH
def test_reset_before_the_answer(path: Way, claude: anthropic.Anthropic, ask: Ask) -> None:
    with pytest.raises(anthropic.InternalServerError) as raised:
        ask(claude, path.model("small", "reset=before_headers"))
    assert (raised.value.status_code, code_of(raised.value)) == (502, "unavailable")


@pytest.mark.parametrize("script", ["html", "malformed=1"])
def test_an_answer_that_is_none(path: Way, claude: anthropic.Anthropic, script: str) -> None:
    with pytest.raises(anthropic.InternalServerError) as raised:
        ask(claude, path.model("small", script))
    assert (raised.value.status_code, code_of(raised.value)) == (502, "protocol_error")


@BOTH
def test_an_error_with_status_200(path: Way, claude: anthropic.Anthropic, ask: Ask) -> None:
    with pytest.raises(anthropic.InternalServerError):
        ask(claude, path.model("small", "error_in_200"))


def test_a_gateway_that_loses_patience(gateway: Served) -> None:
    with Way(gateway, "", APP_KEY, None).claude() as client, pytest.raises(more.GatewayTimeoutError) as raised:
        ask(client, "hasty")
    assert (code_of(raised.value), raised.value.type) == ("upstream_timeout", "timeout_error")


def test_a_provider_that_is_not_there(gateway: Served) -> None:
    with Way(gateway, "gone/", APP_KEY, None).claude() as client:
        with pytest.raises(anthropic.InternalServerError) as raised:
            ask(client, "gone/small")
        assert code_of(raised.value) == "unavailable"
        # Nobody has to be asked for an estimate.
        assert client.messages.count_tokens(model="gone/small", messages=hello()).input_tokens > 0


# --- the caller's own mistakes


def test_an_unknown_model(path: Way, claude: anthropic.Anthropic) -> None:
    known, typed = ("fast", "fats") if path.provider else ("small", "smal")
    with pytest.raises(anthropic.NotFoundError) as raised:
        ask(claude, typed)
    assert (code_of(raised.value), raised.value.type) == ("unknown_model", "not_found_error")
    assert f'did you mean "{known}"' in (raised.value.api_message or "")


@pytest.mark.parametrize("key", ["wrong", NARROW_KEY + "x", "sk-up-0123456789abcdef"])
def test_a_wrong_key(gateway: Served, key: str) -> None:
    with Way(gateway, "claude/", key, None).claude() as client:
        for call in (
            lambda: ask(client, "fast"),
            client.models.list,
            lambda: client.messages.count_tokens(model="fast", messages=hello()),
        ):
            with pytest.raises(anthropic.AuthenticationError) as raised:
                call()
            assert raised.value.type == "authentication_error"
            assert key not in raised.value.response.text


def test_a_wrong_type(path: Way, claude: anthropic.Anthropic) -> None:
    for wrong in ({"temperature": "hot"}, {"max_tokens": "many"}, {"messages": "Hi"}, {"stop_sequences": [1]}):
        with pytest.raises(anthropic.BadRequestError) as raised:
            claude.messages.create(model=path.model(), max_tokens=9, messages=hello(), extra_body=wrong)
        assert raised.value.type == "invalid_request_error"
        assert next(iter(wrong)) in (raised.value.api_message or "")


@pytest.mark.parametrize("base", ["/v1", "/anthropic/v1"])
def test_a_base_url_with_the_version_in_it(path: Way, base: str) -> None:
    with path.claude(base_url=path.gateway.url + base) as client, pytest.raises(anthropic.NotFoundError) as raised:
        ask(client, path.model())
    assert "end the base URL before it" in (raised.value.api_message or "")


def test_a_route_of_a_later_version(claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError) as raised:
        claude.messages.batches.list()
    assert raised.value.type == "not_found_error"


def test_a_header_of_a_later_version(path: Way, claude: anthropic.Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError) as raised:
        claude.messages.create(
            model=path.model(), max_tokens=9, messages=hello(), extra_headers={"x-penstock-cache-control": "no-store"}
        )
    assert code_of(raised.value) == "not_available"


def test_a_body_above_the_cap(gateway: Served) -> None:
    with Way(gateway, "claude/", APP_KEY, None).claude() as client, pytest.raises(more.ContentTooLargeError) as raised:
        client.messages.create(model="claude/small", max_tokens=9, messages=hello("x" * 5 * 1024 * 1024))
    # https://platform.claude.com/docs/en/api/errors has it, the SDK's types do not.
    assert str(raised.value.type) == "request_too_large"


# --- streams that do not end well


@pytest.mark.parametrize("script", ["cut=6", "error_event=6", "no_finish"])
def test_a_stream_that_breaks(path: Way, claude: anthropic.Anthropic, script: str) -> None:
    model = path.model("small", f"{script},between=1ms")
    with claude.messages.stream(model=model, max_tokens=500, messages=hello()) as stream:
        said = next(stream.text_stream)
        assert said
        with pytest.raises(anthropic.APIStatusError) as raised:
            stream.until_done()
    assert raised.value.api_message
    assert raised.value.type in ("api_error", "overloaded_error")
    line = path.gateway.line(id=stream.request_id)
    # The SDK leaves at the error event, before the stream is over on the wire.
    assert line["status"] in (200, 499)
    assert line["stream_error"]
    assert line["attempts"][0]["outcome"] == line["stream_error"]


@pytest.mark.parametrize("script", ["cut=0", "error_event=0", "cut=1", "error_event=1"])
def test_a_stream_that_fails_at_once(path: Way, claude: anthropic.Anthropic, script: str) -> None:
    """Nothing was said yet: it is an error like any other, which the SDK would try again."""
    with pytest.raises(anthropic.InternalServerError) as raised:
        claude.messages.create(model=path.model("small", script), max_tokens=9, messages=hello(), stream=True)
    assert raised.value.status_code >= 500


def test_a_malformed_event_is_dropped(path: Way, claude: anthropic.Anthropic) -> None:
    with claude.messages.stream(model=path.model("small", "malformed=6"), max_tokens=500, messages=hello()) as stream:
        assert stream.get_final_message().stop_reason == "end_turn"
    assert path.gateway.line(id=stream.request_id)["dropped_events"] == 1


def test_odd_streams_that_are_whole(path: Way, claude: anthropic.Anthropic) -> None:
    ids = []
    for script in ("no_done", "comments", "crlf", "close", "usage=none", "burst=5"):
        model = path.model("small", script)
        events = claude.messages.create(model=model, max_tokens=500, messages=hello(), stream=True)
        deltas = [event for event in events if event.type == "message_delta"]
        assert [event.delta.stop_reason for event in deltas] == ["end_turn"], script
        ids.append(events.response.headers["request-id"])
    for request_id in ids:
        line = path.gateway.line(id=request_id)
        assert "stream_error" not in line
        assert line["tokens"]["output"] > 0


# --- callers that leave


def test_a_client_that_loses_patience(path: Way) -> None:
    model = path.model("small", "silence,tokens=9")
    with path.claude(timeout=0.3) as client, pytest.raises(anthropic.APITimeoutError):
        ask(client, model)
    line = path.gateway.line(model=model)
    assert (line["status"], line["error"], line["attempts"][0]["outcome"]) == (499, "cancelled", "cancelled")
    seen = path.seen(model)
    assert seen is None or path.ended(seen) == "disconnected"


def test_a_client_that_leaves_a_stream(path: Way, claude: anthropic.Anthropic) -> None:
    took = []
    for attempt in range(3):
        # A script of its own, so that the provider's journal can tell one from the other.
        model = path.model("small", f"tokens={2000 + attempt},between=10ms")
        with claude.messages.stream(model=model, max_tokens=5000, messages=hello()) as stream:
            assert next(stream.text_stream)
            left = time.monotonic()
        line = path.gateway.line(id=stream.request_id)
        assert (line["status"], line["error"], line["attempts"][0]["outcome"]) == (499, "cancelled", "cancelled")
        seen = path.seen(model)
        if seen is None:
            break
        assert path.ended(seen) == "disconnected"
        assert seen.ended is not None
        took.append(seen.ended - left)
    # The machine may be busy; the gateway has no wait of its own in this.
    assert not took or min(took) < 0.25


def test_a_task_that_is_cancelled(path: Way) -> None:
    model = path.model("small", "silence,tokens=11")

    async def leave() -> None:
        async with path.async_claude() as client:
            asked = asyncio.create_task(client.messages.create(model=model, max_tokens=500, messages=hello()))
            # The provider has it, or the gateway answers others: it is under way.
            await client.models.list()
            if path.provider is not None:
                await asyncio.to_thread(path.seen, model)
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked

    asyncio.run(leave())
    if path.provider is not None:
        assert path.gateway.line(model=model)["status"] == 499


def test_nothing_is_left_open(path: Way, claude: anthropic.Anthropic) -> None:
    """Runs after all the failures of this file: what they left would show."""
    ask(claude, path.model())
    with urllib.request.urlopen(f"{path.gateway.admin_url}/metrics", timeout=10) as answer:
        metrics = answer.read().decode()
    assert re.search(r"^penstock_requests_in_flight 0(\.0)?$", metrics, re.MULTILINE)
    if path.provider is not None:
        path.provider.journal.wait_until_quiet()
