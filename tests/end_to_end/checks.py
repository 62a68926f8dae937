"""What must hold of one exchange. Each check returns its complaints, none where all is well."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from penstock.wire.h1 import HttpRequest
from tests.end_to_end.asked import CALLER_SECRET, Asked, members_of
from tests.end_to_end.expected import Expected, blocks_of, data_of, json_of
from tests.end_to_end.replay import PROVIDER_SECRET, Replay, kind_of
from tests.end_to_end.vendors import AUTH_HEADERS, path_of, vendor_of
from tests.stage import Answer
from tests.wire.corpus import Recording

__all__ = [
    "OURS", "check_address", "check_failure", "check_headers_down", "check_line", "check_request", "check_stream",
    "check_unbegun", "check_usage_asked", "check_whole", "difference", "error_of",
]  # fmt: skip

# What the recording says went wrong, the first that fits, and the code of our error for it.
_SAID = {
    "error_quota": "upstream_quota",
    "error_auth": "upstream_credential",
    "rate_limited": "upstream_rate_limited",
    "error_context_length": "context_too_long",
    "content_filter": "content_filtered",
    "error_in_200": "content_filtered",
    "error_404": "upstream_not_found",
    "error_400": "upstream_refused",
    "error_5xx": "unavailable",
}
# Some say with 400 what others have a status for (xAI, Gemini's compatible route, OpenRouter).
_WORDS_IN_400 = {
    "upstream_credential": re.compile(rb"(incorrect|invalid) api key|api key not valid", re.I),
    "upstream_not_found": re.compile(rb"model [^ ]+ does not exist|not a valid model", re.I),
}
OURS = ("upstream_quota", "upstream_credential")

_GOES_UP = {"host", "user-agent", "accept", "accept-encoding", "content-type", "content-length"}
_COMES_DOWN = {
    "content-type", "content-length", "transfer-encoding", "connection", "date", "retry-after", "x-should-retry",
    "x-request-id", "x-penstock-target", "x-penstock-attempts", "x-penstock-cache", "x-penstock-overhead-us",
    "x-penstock-cost-usd", "request-id",
}  # fmt: skip


def error_of(recording: Recording) -> str | None:
    """The code that the log must give the exchange, None for a good one."""
    if recording.status == 200 and "error_in_200" not in recording.features:
        return None
    for code, words in _WORDS_IN_400.items():
        if recording.status == 400 and words.search(recording.body):
            return code
    return next(code for feature, code in _SAID.items() if feature in recording.features)


def check_request(asked: Asked, replay: Replay) -> Iterator[str]:
    """What reached the provider."""
    if len(replay.provider.requests) != 1:
        yield f"{len(replay.provider.requests)} requests reached the provider"
        return
    request = replay.provider.requests[0]
    yield from check_address(asked, request, asked.query)
    yield from _check_headers_up(asked, request)
    raw = b"".join(replay.provider.received)
    if CALLER_SECRET.encode() in raw:
        yield "the caller's credential reached the provider"
    sent, got = members_of(asked.body), members_of(request.body)
    if list(sent) != [name for name in got if name in sent] and "model" in sent:
        yield f"fields in another order: {list(got)}"
    if json.loads(got.pop("model")) != asked.model:
        yield "another model was asked for"
    sent.pop("model", None)
    if asked.fields.get("stream") and not asked.anthropic:
        yield from check_usage_asked(asked, {name: json.loads(value) for name, value in got.items()})
        for members in (sent, got):
            members.pop("stream_options", None)
    messages = asked.fields.get("messages")
    if messages and asked.vendor.retold(messages) != messages:
        if json.loads(got.pop("messages")) != asked.vendor.retold(messages):
            yield "the messages are not as this vendor wants them"
        sent.pop("messages")
    for name in sent.keys() | got.keys():
        if sent.get(name) != got.get(name):
            yield f"field {name} changed: {difference(str(sent.get(name)), str(got.get(name)))}"


def check_address(asked: Asked, request: HttpRequest, query: str = "") -> Iterator[str]:
    """That it was asked where it was recorded; with the version that Azure's older form is asked by."""
    if request.path.decode() != path_of(asked.recording):
        yield f"asked for {request.path!r}, not {asked.recording.path}"
    if request.query.decode() != (asked.vendor.version or query):
        yield f"asked with {request.query!r}"
    yield from _check_credential(asked, request)


def _check_credential(asked: Asked, request: HttpRequest) -> Iterator[str]:
    """In the header where the recorded client had its own."""
    got = {name: value for name in AUTH_HEADERS if (value := request.headers.get(name.encode(), b"").decode())}
    place = asked.vendor.auth
    secret = f"Bearer {PROVIDER_SECRET}" if place == "authorization" else PROVIDER_SECRET
    if got != {place: secret}:
        yield f"the credential is not ours, or not in {place}: {list(got)}"
    recorded = asked.recording.request_headers.keys() & set(AUTH_HEADERS)
    if recorded and place not in recorded:
        yield f"the credential was in {recorded}, not in {place}"


def check_usage_asked(asked: Asked, fields: Mapping[str, Any]) -> Iterator[str]:
    """A stream's usage is asked for, where that is no reason to refuse it."""
    if asked.vendor.tells_usage:
        if "stream_options" in fields:
            yield "stream_options reached somebody who refuses them"
    elif fields.get("stream_options") != {**(asked.stream_options or {}), "include_usage": True}:
        yield "stream_options are not the caller's with include_usage"


def _check_headers_up(asked: Asked, request: HttpRequest) -> Iterator[str]:
    names = {name.decode() for name in request.headers}
    passing = asked.vendor.row.headers
    wanted = _GOES_UP | {asked.vendor.auth} | passing.defaults.keys() | (set(passing.up) & asked.headers.keys())
    for name in passing.up:
        if name in asked.headers and request.headers.get(name.encode()) != asked.headers[name].encode():
            yield f"{name} is not the caller's"
    if names != wanted:
        yield f"headers that should not differ: {sorted(names ^ wanted)}"


def check_headers_down(recording: Recording, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """What reached the caller beside the body."""
    more = answer.headers.keys() - _COMES_DOWN - set(vendor_of(recording).row.headers.down)
    if more:
        yield f"headers of the provider's passed: {sorted(more)}"
    if answer.headers.get("x-request-id") != line["id"]:
        yield "x-request-id is not the log line's"
    if answer.headers.get("content-type") != kind_of(recording):
        yield f"content-type {answer.headers.get('content-type')}"


def check_whole(recording: Recording, expected: Expected, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """A good unary answer."""
    yield from check_headers_down(recording, answer, line)
    if answer.status != recording.status or not answer.whole:
        yield f"status {answer.status}, whole: {answer.whole}: {answer.body[:200]!r}"
    elif answer.body != expected.body:
        yield f"the body differs: {difference(expected.body, answer.body)}"


def check_stream(recording: Recording, expected: Expected, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """A stream that began."""
    yield from check_headers_down(recording, answer, line)
    body, wanted = answer.body, expected.body
    if answer.status != 200 or not answer.whole:
        yield f"status {answer.status}, whole: {answer.whole}: {body[:200]!r}"
    elif not expected.broken:
        if body != wanted:
            yield f"the body differs: {difference(wanted, body)}"
    elif body[: len(wanted)] != wanted:
        yield f"the body differs: {difference(wanted, body)}"
    else:
        rest = body[len(wanted) :]
        if not re.fullmatch(rb"(\r?\n)*data: \{[^\n]*\}\n\n", rest):
            yield f"no error event at the end, but {rest[:300]!r}"
        elif not {"message", "type", "param", "code"} <= json_of(data_of(rest.lstrip()) or b"")["error"].keys():
            yield f"the error event is none of OpenAI's: {rest!r}"


def check_unbegun(recording: Recording, expected: Expected, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """A stream that failed before it said anything: an error like any other."""
    if answer.status < 400 or answer.headers.get("content-type") != "application/json" or not answer.whole:
        yield f"status {answer.status}, {answer.headers.get('content-type')}: {answer.body[:200]!r}"
    elif not answer.error["message"] or (expected.told and not _holds(expected.body, answer.body)):
        yield f"the error is {answer.body!r}"
    if not line.get("error") or line["status"] != answer.status or line["attempts"][0]["outcome"] != line["error"]:
        yield f"the log says {line}"


def _holds(stream: bytes, told: bytes) -> bool:
    return told in stream or any(data_of(block) == told for block in blocks_of(stream))


def check_failure(recording: Recording, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """An error of the provider's, instead of an answer."""
    code = error_of(recording)
    if line.get("error") != code or line.get("attempts", [{}])[0].get("outcome") != code:
        yield f"the log says {line.get('error')}, the recording {code}"
    if line["status"] != answer.status:
        yield f"the log says {line['status']}, the caller got {answer.status}"
    if code in OURS:
        yield from _check_ours(recording, answer, code or "")
        return
    yield from check_headers_down(recording, answer, line)
    if answer.body != recording.body:
        yield f"the body differs: {difference(recording.body, answer.body)}"
    if answer.status != recording.status and not (recording.status == 200 and answer.status >= 400):
        yield f"status {answer.status}"
    wait = recording.headers.get(b"retry-after", b"")
    if wait.isdigit() and int(answer.headers.get("retry-after", "0")) < int(wait):
        yield f"retry-after {answer.headers.get('retry-after')}"


def _check_ours(recording: Recording, answer: Answer, code: str) -> Iterator[str]:
    if answer.status != 502 or answer.headers.get("content-type") != "application/json":
        yield f"status {answer.status}, {answer.headers.get('content-type')}"
    error = answer.error
    if error["code"] != code or not error["message"] or not {"type", "param"} <= error.keys():
        yield f"the error is {error}"
    if answer.headers.get("x-should-retry") != "false":
        yield "nothing says that a retry cannot help"
    said = re.findall(r'"(?:message|detail|error)":\s*"([^"]{12,})', recording.body.decode())
    if not said or any(text[:40] in error["message"] for text in said):
        yield "the provider's words about our account reached the caller"


def check_line(asked: Asked, expected: Expected, answer: Answer, line: dict[str, Any]) -> Iterator[str]:
    """The log line of an answer, whole or streamed."""
    said = {
        "status": answer.status,
        "stream": bool(asked.fields.get("stream")),
        "deployment": f"{asked.vendor.name}/{asked.model}",
    }
    said |= {"bytes_in": len(asked.body), "bytes_out": len(answer.body), "task": "replay"}
    said |= {"response_model": expected.model, "finish_reason": expected.finish_reason, "error": None}
    said["dropped_events"] = expected.dropped or None
    for name, value in said.items():
        if line.get(name) != value:
            yield f"the log's {name} is {line.get(name)!r}, not {value!r}"
    if "first_output_ms" not in line:
        yield "no first-output time"
    failed = expected.broken or expected.told
    outcome = line.get("attempts", [{}])[0].get("outcome")
    if failed != ("stream_error" in line) or (outcome == "ok") == failed:
        yield f"stream_error {line.get('stream_error')}, outcome {outcome}"
    yield from _check_tokens(expected.usage, line.get("tokens") or {})


def _check_tokens(usage: dict[str, Any] | None, tokens: dict[str, Any]) -> Iterator[str]:
    if usage is None:
        if not tokens.get("estimated") or not tokens.get("input"):
            yield f"nobody counted, yet the log says {tokens}"
        return
    took = usage.get("prompt_tokens", usage.get("input_tokens")) or 0
    gave = usage.get("completion_tokens") or 0
    total = max(usage.get("total_tokens") or 0, took + gave)
    if usage.get("cut"):  # before the count of the output: what passed is counted
        more = tokens.get("output", -1) - gave
        if tokens.get("input") != took or more < 0 or bool(tokens.get("estimated")) != (more > 0):
            yield f"the log says {tokens} of a stream that was cut, the provider {usage}"
    elif tokens.get("estimated") or tokens.get("input", -1) < took or tokens.get("output", -1) < gave:
        yield f"the log says {tokens}, the provider {usage}"
    elif tokens["input"] + tokens["output"] != total:
        yield f"the log's tokens are not the provider's total: {tokens}, {usage}"
    for part, name, ours in (
        ("prompt_tokens_details", "cached_tokens", "cache_read"),
        ("completion_tokens_details", "reasoning_tokens", "reasoning"),
    ):
        count = (usage.get(part) or {}).get(name)
        if count and tokens.get(ours) != count:
            yield f"{ours} is {tokens.get(ours)}, not {count}"


def difference(wanted: bytes | str, got: bytes | str) -> str:
    """Where two texts part, with what stands there."""
    at = next((i for i, pair in enumerate(zip(wanted, got, strict=False)) if pair[0] != pair[1]), -1)
    at = min(len(wanted), len(got)) if at < 0 else at
    begin = max(0, at - 40)
    return f"at {at} of {len(wanted)} and {len(got)}: {wanted[begin : at + 80]!r} became {got[begin : at + 80]!r}"
