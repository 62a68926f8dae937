"""Anthropic's error envelope both ways, and the table from a provider's signal to our error class.

https://platform.claude.com/docs/en/api/errors, .../api/rate-limits: `error.type` follows the status, and where it is
not fine enough `error.details.error_code` names the cause. Ours stands in the same place: clients that do not know
a code shall go by the type.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock import errors as e
from penstock.wire import signals
from penstock.wire.signals import WORDS, Sentence, Signals, unanswered
from penstock.wire.sse import encode_event
from penstock.wire.tolerant_json import repaired

__all__ = ["classify", "classify_body", "encode_error", "encode_stream_error", "no_answer"]

_REFUSED = frozenset((400, 403, 413, 422))
_ACCOUNT = frozenset((400, 403, 429))

_SIGNALS = Signals(
    words={
        **WORDS,
        # Larger than any request may be: a shorter one, or another model, is what helps.
        "request_too_large": e.UpstreamContextTooLong,
        "billing_error": e.UpstreamQuota,
        "contract_spend_limit_reached": e.UpstreamQuota,
        "linked_organization_billing_unavailable": e.UpstreamQuota,
        "organization_on_hold": e.UpstreamCredential,
    },
    endings=("_spend_limit_reached", "_spend_limit_exceeded", "_usage_limit_exceeded"),
    implied={
        "invalid_request_error": 400,
        "authentication_error": 401,
        "permission_error": 403,
        "not_found_error": 404,
        "conflict_error": 409,
        "rate_limit_error": 429,
        "api_error": 500,
        "timeout_error": 504,
        "overloaded_error": 529,
    },
    sentences=(
        Sentence(
            e.UpstreamContextTooLong,
            re.compile(r"prompt is too long|exceed context limit|maximum context length|context window", re.I),
            _REFUSED,
        ),
        # The balance comes with 400, a limit the organization has set itself with 400, one of its plan with 429.
        Sentence(
            e.UpstreamQuota,
            re.compile(
                r"credit balance|API usage limits|spend(ing)? limit|(usage credits|extra usage)\b.* required", re.I
            ),
            _ACCOUNT,
        ),
        Sentence(
            e.UpstreamCredential,
            re.compile(
                r"organization has been disabled|credential is only authorized|(invalid|incorrect) .*api.key", re.I
            ),
            _REFUSED,
        ),
        Sentence(e.ContentFiltered, re.compile(r"content[ _]filter", re.I), _REFUSED),
        Sentence(
            e.UpstreamNotFound,
            re.compile(r"model\b.{0,120}(does not exist|not found)|not a valid model|access to .{0,40}\bmodel", re.I),
            _REFUSED,
        ),
        # A file or container that the caller named, or what the model cannot do: nothing is wrong with the deployment.
        Sentence(
            e.UpstreamRefused,
            re.compile(r"^(file|container|skill|batch)\b.*not found|endpoints found that support", re.I),
            frozenset((404,)),
        ),
    ),
    statuses={
        401: e.UpstreamCredential,
        402: e.UpstreamQuota,
        403: e.UpstreamCredential,
        404: e.UpstreamNotFound,
        408: e.Unavailable,
        409: e.Unavailable,
        413: e.UpstreamContextTooLong,  # as request_too_large, which Cloudflare says in HTML
        429: e.UpstreamRateLimited,
        498: e.UpstreamRateLimited,  # as with OpenAI's dialect
        504: e.UpstreamTimeout,
        524: e.UpstreamTimeout,
    },
)

# Our status -> Anthropic's type; of the others, below 500 the request is to blame, from 500 on the API.
_TYPES: dict[int, str] = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


def classify(status: int, headers: dict[bytes, bytes], body: bytes, now: float | None = None) -> e.UpstreamError:
    """What an answer other than a 200 means.

    Args:
        status: 200 stands for "unknown": the body's own words decide.
        now: Unix time, for a retry-after that is a date; without it the answer's own `date` serves.
    """
    return signals.classify(_SIGNALS, status, headers, body, now)


def classify_body(body: bytes) -> e.UpstreamError:
    """What an error object means that came where an answer should be: in a stream or with a 200."""
    return signals.classified(_SIGNALS, body)


def no_answer(value: Any, body: bytes, what: str) -> e.UpstreamError:
    """The error for a 200 without an answer: the one it holds, classified, else a ProtocolError.

    Args:
        value: the decoded body, None if it is not JSON.
        what: what there should have been, with its article.
    """
    if isinstance(value, dict) and (value.get("error") or value.get("type") == "error"):
        return classify_body(body)
    return unanswered(_SIGNALS, body, what)


def encode_error(error: e.PenstockError, request_id: str) -> bytes:
    """Our error in Anthropic's envelope; the message ends with what to do."""
    return msgspec.json.encode({"type": "error", "error": _told(error), "request_id": request_id})


def encode_stream_error(error: e.PenstockError) -> bytes:
    """Our error as the event that Anthropic's clients raise on."""
    return encode_event(msgspec.json.encode({"type": "error", "error": _told(error)}), b"error")


def _told(error: e.PenstockError) -> dict[str, Any]:
    message = error.told
    if isinstance(error, e.ContextTooLong) and "prompt is too long" not in message.lower():
        message = f"Prompt is too long: {message}"  # by which Claude Code knows that it has to compact
    # By this Anthropic's SDK knows that it has to send the whole conversation:
    # https://platform.claude.com/docs/en/build-with-claude/message-threads
    unthreaded = isinstance(error, e.InvalidRequest) and error.param == "thread"
    code = "thread_unsupported_request" if unthreaded else error.code
    return {"type": _type(error), "message": repaired(message), "details": {"error_code": code}}


def _type(error: e.PenstockError) -> str:
    if isinstance(error, e.UpstreamRateLimited):
        return "rate_limit_error"
    default = "invalid_request_error" if error.status < 500 else "api_error"
    return _TYPES.get(error.status, default)
