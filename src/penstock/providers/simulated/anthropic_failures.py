"""What Anthropic's API says when it fails: a status, headers and a body for each way, as recorded from the real one.

https://platform.claude.com/docs/en/api/errors
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from penstock.providers.simulated.failures import PAGES, ApiError, Headers, TooLong, html_page, retry_headers

__all__ = ["MessagesError", "invalid", "scripted_failure", "worded"]

INVALID = "invalid_request_error"

_CREDIT = (
    "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase "
    "credits."
)
_RATE = "This request would exceed your account's rate limit. Please try again later."

# status -> type, message
_BY_STATUS: Mapping[int, tuple[str, str]] = {
    400: (INVALID, "messages.0: Input does not match the expected shape."),
    401: ("authentication_error", "invalid x-api-key"),
    402: ("billing_error", "There is an issue with your billing or payment information."),
    403: ("permission_error", "Your API key does not have permission to use the specified resource."),
    404: ("not_found_error", "model: {model}"),
    405: (INVALID, "Method Not Allowed"),
    413: ("request_too_large", "Request exceeds the maximum size"),
    429: ("rate_limit_error", _RATE),
    500: ("api_error", "Internal server error"),
    504: ("timeout_error", "The request timed out while processing."),
    529: ("overloaded_error", "Overloaded"),
}

# The script's code -> type, message. Anthropic has no codes: an error's type does for one, and what OpenAI tells by
# code is told by type and text.
_BY_CODE: Mapping[str, tuple[str, str]] = {
    **{kind: (kind, message) for kind, message in reversed(list(_BY_STATUS.values()))},
    "insufficient_quota": (INVALID, _CREDIT),
    "billing_not_active": ("billing_error", _BY_STATUS[402][1]),
    "rate_limit_exceeded": ("rate_limit_error", _RATE),
    "context_length_exceeded": (INVALID, "prompt is too long: 208310 tokens > 200000 maximum"),
    "content_filter": (INVALID, "Output blocked by content filtering policy"),
    "content_policy_violation": (INVALID, "Output blocked by content filtering policy"),
    "invalid_api_key": _BY_STATUS[401],
    "model_not_found": _BY_STATUS[404],
    "account_deactivated": (INVALID, "This organization has been disabled."),
}

# https://platform.claude.com/docs/en/api/rate-limits#response-headers
_RATE_HEADERS: Headers = (
    (b"anthropic-ratelimit-requests-limit", b"50"),
    (b"anthropic-ratelimit-requests-remaining", b"0"),
    (b"anthropic-ratelimit-requests-reset", b"2026-01-01T00:00:20Z"),
)

# OpenAI's parameter, as the shared parts name it -> Anthropic's.
_PARAMETERS = {"response_format": "output_config.format.schema", "tools": "tools.0.custom.input_schema"}


class MessagesError(ApiError):
    """A refusal or failure in Anthropic's envelope.

    Attributes:
        request_id: the response's.
        details: what clients decide by where the type is not fine enough.
    """

    def __init__(self, status: int, type: str, message: str, headers: Headers = (), request_id: str = "") -> None:
        super().__init__(status, message, type, headers=headers)
        self.request_id = request_id
        self.details: dict[str, Any] = {}

    @property
    def body(self) -> bytes:
        """Anthropic's envelope; or the page."""
        return self.payload if self.page is None else self.page

    @property
    def payload(self) -> bytes:
        """The same for an event of a stream."""
        error: dict[str, Any] = {"type": self.fields["type"], "message": self.fields["message"]}
        if self.details:
            error["details"] = self.details
        envelope: dict[str, Any] = {"type": "error", "error": error, "request_id": self.request_id}
        return msgspec.json.encode(envelope)


def invalid(message: str) -> MessagesError:
    """A request that is not as it must be."""
    return MessagesError(400, INVALID, message)


def scripted_failure(status: int, code: str, retry_after: str, model: str) -> MessagesError:
    """The error a script asks for by status and, if given, by code."""
    kind, message = _BY_STATUS.get(status, _other(status))
    kind, message = _BY_CODE.get(code, (kind, message))
    headers = retry_headers(retry_after)
    if status == 429:
        headers += _RATE_HEADERS
    error = MessagesError(status, kind, message.format(model=model), headers)
    if status in PAGES and not code:
        error.page = html_page(status)
    return error


def worded(error: ApiError, request_id: str) -> MessagesError:
    """An error as Anthropic says it, whoever raised it."""
    told = error if isinstance(error, MessagesError) else _translated(error)
    again = told.status in (408, 409, 429) or told.status >= 500
    told.request_id = request_id
    told.headers = (*told.headers, (b"x-should-retry", b"true" if again else b"false"))
    return told


def _translated(error: ApiError) -> MessagesError:
    if isinstance(error, TooLong):
        return invalid(f"prompt is too long: {error.tokens} tokens > {error.window} maximum")
    where = _PARAMETERS.get(error.fields["param"], error.fields["param"])
    message = error.fields["message"]
    return MessagesError(error.status, INVALID, f"{where}: {message}" if where else message, error.headers)


def _other(status: int) -> tuple[str, str]:
    # 4xx of no type of their own: "We may also use this error type for other 4XX status codes".
    return (INVALID, "The request could not be processed.") if status < 500 else _BY_STATUS[500]
