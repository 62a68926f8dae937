"""Errors as a caller must get them, in either vendor's envelope: told by the vendors' own pages, not by the package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tests.end_to_end.checks import OURS
from tests.end_to_end.expected import json_of
from tests.stage import Answer
from tests.wire.corpus import Recording

__all__ = ["check_envelope", "check_event", "last_error", "words_of"]

# https://platform.claude.com/docs/en/api/errors
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    500: "api_error",
    502: "api_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
# https://platform.openai.com/docs/guides/error-codes: where OpenAI's clients decide by its own codes.
_OPENAI_CODES = {
    "upstream_rate_limited": "rate_limit_exceeded",
    "context_too_long": "context_length_exceeded",
    "content_filtered": "content_filter",
}


def words_of(recording: Recording) -> list[str]:
    """What the provider says, wherever its body says it."""
    said = re.findall(r'"(?:message|detail|error)":\s*("(?:[^"\\]|\\.){12,}")', recording.body.decode())
    return [json.loads(text) for text in said]


def check_envelope(recording: Recording, answer: Answer, code: str, *, anthropic: bool) -> Iterator[str]:
    """An error instead of an answer, said anew in the caller's dialect."""
    ours = code in OURS
    status = 502 if ours else recording.status
    if answer.headers.get("content-type") != "application/json" or not answer.whole:
        yield f"status {answer.status}, {answer.headers.get('content-type')}, whole: {answer.whole}"
        return
    if answer.status != status and not (recording.status == 200 and answer.status >= 400):
        yield f"status {answer.status}, not {status}"
    body = answer.json()
    yield from check_event(body, answer.status, code, anthropic=anthropic)
    if (body if anthropic else body["error"]).get("request_id") != answer.headers.get("x-request-id"):
        yield "the request's id is not in the error"
    message = body["error"]["message"]
    said = words_of(recording)
    quoted = any(" ".join(text.split())[:40] in message for text in said)
    if ours and quoted:
        yield "the provider's words about our account reached the caller"
    if said and not ours and not quoted:
        yield f"the provider's words are not in {message!r}"
    wait = recording.headers.get(b"retry-after", b"")
    if wait.isdigit() and int(answer.headers.get("retry-after", "0")) < int(wait):
        yield f"retry-after {answer.headers.get('retry-after')}"
    if ours and answer.headers.get("x-should-retry") != "false":
        yield "nothing says that a retry cannot help"


def check_event(value: Any, status: int | None, code: str | None, *, anthropic: bool) -> Iterator[str]:
    """An error object of a body or of a stream's event. What is None is not looked at."""
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict) or not isinstance(error.get("message"), str) or not error["message"]:
        yield f"the error is {value!r}"
        return
    if anthropic:
        if value.get("type") != "error" or error.get("type") not in _ANTHROPIC_TYPES.values():
            yield f"no error of Anthropic's: {value!r}"
        elif status is not None and error["type"] != _ANTHROPIC_TYPES[status]:
            yield f"{error['type']} with status {status}"
        if code is not None and (error.get("details") or {}).get("error_code") != code:
            yield f"the details are {error.get('details')}"
    elif not {"message", "type", "param", "code"} <= error.keys() or not isinstance(error["type"], str):
        yield f"no error of OpenAI's: {value!r}"
    elif code is not None and error["code"] != _OPENAI_CODES.get(code, code):
        yield f"the code is {error['code']}"


def last_error(body: bytes, *, anthropic: bool) -> Any:
    """The JSON of the error event with which a stream ends, None where it ends otherwise."""
    head = b"event: error\n" if anthropic else b""
    found = re.search(rb"(?:\A|\n\n)" + head + rb"data: (\{[^\n]*\})\n\n\Z", body)
    return None if found is None else json_of(found.group(1))
