"""OpenAI's error envelope both ways, and the table from a provider's signal to our error class.

https://platform.openai.com/docs/guides/error-codes, and what recorded providers of this dialect send beside it.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock import errors as e
from penstock.wire import signals
from penstock.wire.signals import WORDS, Said, Sentence, Signals, read_error, unanswered
from penstock.wire.sse import encode_event
from penstock.wire.tolerant_json import repaired

__all__ = ["Said", "classify", "classify_body", "encode_error", "encode_stream_error", "no_answer", "read_error"]

# Statuses that leave the cause open.
_OPEN = frozenset((400, 403, 413, 422))

_SIGNALS = Signals(
    words=WORDS,
    endings=("_spend_limit_exceeded", "_usage_limit_exceeded"),
    implied={
        "invalid_request_error": 400,
        "badrequesterror": 400,
        "tool_use_failed": 400,
        "authentication_error": 401,
        "permission_error": 403,
        "permission_denied": 403,
        "not_found_error": 404,
        "request_timeout": 408,
        "rate_limit_error": 429,
        "rate_limit_exceeded": 429,
        "rate_limited": 429,
        "ratelimitreached": 429,
        "tokens": 429,
        "requests": 429,
        "timeout": 504,
        "timeout_error": 504,
    },
    sentences=(
        # DeepSeek, OpenRouter, Perplexity, llama.cpp, Anthropic's compatible route; Moonshot (MoonshotAI/kimi-cli#2011)
        Sentence(
            e.UpstreamContextTooLong,
            re.compile(
                r"maximum context length|context (window|size)|prompt is too long|messages is too long"
                r"|exceeded model token limit",
                re.I,
            ),
            _OPEN,
        ),
        # xAI sends these with 403 and 400, Anthropic its balance with 400, Fireworks its own with 412 (amd/gaia#3766)
        Sentence(
            e.UpstreamQuota,
            re.compile(
                r"(have|has) any credits|purchase credits|credit balance|insufficient credits|monthly spending limit"
                r"|key limit exceeded",  # OpenRouter's
                re.I,
            ),
            _OPEN | {412},
        ),
        # xAI and Gemini's compatible route send a bad key as 400
        Sentence(
            e.UpstreamCredential,
            re.compile(r"(incorrect|invalid) api key|api key (not valid|not found|expired)", re.I),
            _OPEN,
        ),
        # xAI's, with 403, itself and through OpenRouter: what one caller asks must not pause the credential of all
        Sentence(
            e.ContentFiltered,
            re.compile(
                r"content management policy|content[ _]filter|was flagged"
                r"|violates? (our |the )?(usage|content|safety) (guideline|polic)",
                re.I,
            ),
            _OPEN,
        ),
        # OpenRouter and OpenAI say with 404 that the model cannot do what one request asks for: nor its deployment
        Sentence(
            e.UpstreamRefused,
            re.compile(r"endpoints found that support|is not supported in this model", re.I),
            frozenset((404,)),
        ),
        # A file that the caller named: Gemini says so with 403, OpenAI with 404
        Sentence(
            e.UpstreamRefused,
            re.compile(r"permission to access the file|no such file object|^file .{0,80}not found", re.I),
            frozenset((403, 404)),
        ),
        # OpenRouter and Mistral send an unknown model as 400, OpenAI a forbidden one as 403, and so one that is asked
        # for what it cannot do: "You are not allowed to generate embeddings from this model"
        Sentence(
            e.UpstreamNotFound,
            re.compile(
                r"model\b.{0,120}(does not exist|not found|decommissioned)|not a valid model|invalid model:"
                r"|not allowed to .{0,40} from this model",
                re.I,
            ),
            _OPEN,
        ),
    ),
    statuses={
        401: e.UpstreamCredential,
        402: e.UpstreamQuota,
        403: e.UpstreamCredential,
        404: e.UpstreamNotFound,
        408: e.Unavailable,
        409: e.Unavailable,
        429: e.UpstreamRateLimited,
        498: e.UpstreamRateLimited,  # Groq: flex capacity exceeded
        504: e.UpstreamTimeout,
        524: e.UpstreamTimeout,
    },
)


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
    if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
        return classify_body(body)
    return unanswered(_SIGNALS, body, what)


def encode_error(error: e.PenstockError, request_id: str) -> bytes:
    """Our error in OpenAI's envelope; the message ends with what to do."""
    fields = _envelope(error)
    fields["request_id"] = request_id
    return msgspec.json.encode({"error": fields})


def encode_stream_error(error: e.PenstockError) -> bytes:
    """Our error as the event that OpenAI's clients raise on."""
    fields = _envelope(error)
    if isinstance(error, e.BudgetExceeded):
        fields["code"] = error.code  # OpenAI has no word for an answer that is cut off for its cost
    return encode_event(msgspec.json.encode({"error": fields}))


# Where OpenAI's clients decide by its own code (platform.openai.com, "Error codes").
_CODES: tuple[tuple[type[e.PenstockError], str], ...] = (
    (e.Unauthenticated, "invalid_api_key"),
    (e.UnknownModel, "model_not_found"),
    (e.ContextTooLong, "context_length_exceeded"),
    (e.ContentFiltered, "content_filter"),
    (e.UpstreamRateLimited, "rate_limit_exceeded"),
    (e.RateLimited, "rate_limit_exceeded"),
    (e.BudgetExceeded, "insufficient_quota"),
)


def _envelope(error: e.PenstockError) -> dict[str, str | None]:
    code = _own_code(error) or next((code for kind, code in _CODES if isinstance(error, kind)), error.code)
    return {
        "message": repaired(error.told),
        "type": _type(error),
        "param": None if error.param is None else repaired(error.param),
        "code": code,
    }


def _own_code(error: e.PenstockError) -> str:
    """What OpenAI itself says of a caller's own credential; "" of anything else."""
    if not isinstance(error, e.UpstreamError) or not error.callers_own:
        return ""
    return {e.UpstreamCredential: "invalid_api_key", e.UpstreamQuota: "insufficient_quota"}.get(type(error), "")


def _type(error: e.PenstockError) -> str:
    if isinstance(error, e.BudgetExceeded):
        return "insufficient_quota"
    if isinstance(error, e.RateLimited):
        return error.unit  # OpenAI's own says of what there were too many, `requests` or `tokens`
    if isinstance(error, e.UpstreamRateLimited) or (isinstance(error, e.LimitError) and error.status == 429):
        return "rate_limit_error"
    if isinstance(error, e.UpstreamCredential | e.UpstreamQuota) and error.callers_own:
        return "invalid_request_error"
    asked_wrong = isinstance(error, e.CallerError | e.UpstreamRefused | e.UpstreamNotFound | e.ContentFiltered)
    asked_wrong |= isinstance(error, e.PolicyError) and error.status < 500
    return "invalid_request_error" if asked_wrong else "server_error"
