"""What OpenAI's API says when it fails: a status, headers and a body for each way, as recorded from the real one.

Bodies of the front proxy (502, 503, 504: Cloudflare) have a number as `code`; that is so in reality too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

__all__ = ["PAGES", "ApiError", "Headers", "TooLong", "html_page", "retry_headers", "scripted_error"]

Headers = tuple[tuple[bytes, bytes], ...]

INVALID = "invalid_request_error"

_QUOTA = (
    "You exceeded your current quota, please check your plan and billing details. For more information on this "
    "error, read the docs: https://platform.openai.com/docs/guides/error-codes/api-errors."
)
_RATE = (
    "Rate limit reached for {model} in organization org-sim on requests per min (RPM): Limit 3, Used 3, "
    "Requested 1. Please try again in 20s. Visit https://platform.openai.com/account/rate-limits to learn more."
)
_SERVER = (
    "The server had an error processing your request. Sorry about that! You can retry your request, or contact us "
    "through our help center at help.openai.com if you keep seeing this error."
)
_CONTEXT = (
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 131072 tokens. "
    "Please reduce the length of the messages."
)
_FILTER = (
    "The response was filtered due to the prompt triggering the content management policy. Please modify your "
    "prompt and retry."
)
_REGION = "Country, region, or territory not supported"

# status -> message, type, code
_BY_STATUS: Mapping[int, tuple[str, str | None, str | int | None]] = {
    400: ("Invalid value for the request.", INVALID, "invalid_value"),
    401: (
        "Incorrect API key provided: sk-*****sim. You can find your API key at "
        "https://platform.openai.com/account/api-keys.",
        INVALID,
        "invalid_api_key",
    ),
    402: ("Insufficient credits. Add more on the billing page.", "insufficient_credits", "insufficient_credits"),
    403: (_REGION, "request_forbidden", "unsupported_country_region_territory"),
    404: ("The model `{model}` does not exist or you do not have access to it.", INVALID, "model_not_found"),
    405: ("Only POST requests are accepted.", INVALID, "method_not_supported"),
    408: ("Request timed out.", "timeout", None),
    409: ("The resource was changed by another request. Please try again.", "conflict_error", None),
    413: ("Maximum content size limit (26214400) exceeded (26214401 bytes read)", "server_error", None),
    422: ("The request could not be processed.", INVALID, "unprocessable_entity"),
    429: (_RATE, "requests", "rate_limit_exceeded"),
    500: (_SERVER, "server_error", None),
    502: ("Bad gateway.", "cf_bad_gateway", 502),
    503: ("Service Unavailable.", "cf_service_unavailable", 503),
    504: ("Gateway timeout.", "cf_gateway_timeout", 504),
    529: ("Overloaded", "overloaded_error", None),
}

# code -> message, type, parameter
_BY_CODE: Mapping[str, tuple[str, str | None, str | None]] = {
    "insufficient_quota": (_QUOTA, "insufficient_quota", None),
    "billing_not_active": (
        "Your account is not active, please check your billing details on our website.",
        "billing_not_active",
        None,
    ),
    "rate_limit_exceeded": (_RATE, "requests", None),
    "context_length_exceeded": (_CONTEXT, INVALID, "messages"),
    "content_filter": (_FILTER, None, "prompt"),
    "content_policy_violation": ("Your request was rejected as a result of our safety system.", INVALID, None),
    "invalid_api_key": (_BY_STATUS[401][0], INVALID, None),
    "model_not_found": (_BY_STATUS[404][0], INVALID, None),
    "account_deactivated": (
        "The OpenAI account associated with this API key has been deactivated. Please check your email for more "
        "information.",
        INVALID,
        None,
    ),
}

# Cloudflare's own statuses come as a page, with nothing of the API in it.
PAGES = frozenset((520, 521, 522, 523, 524, 525, 526))

_RATE_HEADERS: Headers = (
    (b"x-ratelimit-limit-requests", b"3"),
    (b"x-ratelimit-remaining-requests", b"0"),
    (b"x-ratelimit-reset-requests", b"20s"),
)


class ApiError(Exception):
    """A refusal or failure, ready to be sent.

    Attributes:
        status: the HTTP status.
        headers: headers beyond content-type and content-length.
        page: a body of HTML to send instead of the JSON one.
    """

    def __init__(
        self,
        status: int,
        message: str,
        type: str | None = INVALID,
        param: str | None = None,
        code: str | int | None = None,
        headers: Headers = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers
        self.page: bytes | None = None
        self.fields: dict[str, Any] = {"message": message, "type": type, "param": param, "code": code}

    @property
    def content_type(self) -> bytes:
        """Of `body`."""
        return b"application/json" if self.page is None else b"text/html; charset=UTF-8"

    @property
    def body(self) -> bytes:
        """OpenAI's envelope, written over several lines as the real one is; or the page."""
        if self.page is not None:
            return self.page
        return msgspec.json.format(msgspec.json.encode({"error": self.fields}), indent=2) + b"\n"

    @property
    def payload(self) -> bytes:
        """The same for an event of a stream."""
        return msgspec.json.encode({"error": self.fields})


class TooLong(ApiError):
    """The prompt has more tokens than the model's window."""

    def __init__(self, tokens: int, window: int) -> None:
        message = (
            f"This model's maximum context length is {window} tokens. However, your messages resulted in "
            f"{tokens} tokens. Please reduce the length of the messages."
        )
        super().__init__(400, message, param="messages", code="context_length_exceeded")
        self.tokens = tokens
        self.window = window


def scripted_error(status: int, code: str, retry_after: str, model: str) -> ApiError:
    """The error a script asks for by status and, if given, by code."""
    message, kind, usual_code = _BY_STATUS.get(status, (_reason(status), _kind(status), None))
    param: str | None = None
    if code in _BY_CODE:
        message, kind, param = _BY_CODE[code]
    headers = retry_headers(retry_after)
    if status == 429 and code in ("", "rate_limit_exceeded"):
        headers += _RATE_HEADERS
    error = ApiError(status, message.format(model=model), kind, param, code or usual_code, headers)
    if status in PAGES and not code:
        error.page = html_page(status)
    return error


def retry_headers(retry_after: str) -> Headers:
    """`retry-after` in whole seconds; a wait that is none comes as `retry-after-ms` as well, as Azure sends it."""
    if not retry_after:
        return ()
    seconds = _seconds(retry_after)
    headers: Headers = ((b"retry-after", b"%d" % math.ceil(seconds)),)
    if seconds != int(seconds):
        headers = ((b"retry-after-ms", b"%d" % round(seconds * 1000)), *headers)
    return headers


def html_page(status: int) -> bytes:
    """A proxy's page, as it comes when the API itself was not reached."""
    title = _reason(status).encode()
    return (
        b'<!DOCTYPE html>\n<html lang="en-US">\n<head><title>api.example.com | %d: %b</title></head>\n'
        b"<body><h1>%b</h1><p>Error code %d</p></body>\n</html>\n" % (status, title, title, status)
    )


def _seconds(text: str) -> float:
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        if text.endswith(unit):
            return float(text[: -len(unit)]) * factor
    return float(text)


def _reason(status: int) -> str:
    if status == 520:
        return "Web server is returning an unknown error"
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def _kind(status: int) -> str:
    return INVALID if status < 500 else "server_error"
