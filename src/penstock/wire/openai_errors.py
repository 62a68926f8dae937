"""OpenAI's error envelope both ways, and the table from a provider's signal to our error class.

The table's rows are those of the design's "Attempts, retries, fallbacks". Providers that speak OpenAI's dialect
spell errors in many ways; what is read here is what recorded ones send.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from penstock import errors as e
from penstock.wire.retry_after import retry_after
from penstock.wire.sse import encode_event
from penstock.wire.tolerant_json import decode_tolerant, repaired

__all__ = ["Said", "classify", "classify_body", "encode_error", "encode_stream_error", "no_answer", "read_error"]

_LONGEST_QUOTE = 300


class Said:
    """What a provider's error body says, wherever it says it; "" and 0 for what it leaves out."""

    __slots__ = ("code", "message", "param", "status", "type")

    def __init__(self, message: str, type: str, code: str, param: str, status: int) -> None:
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.status = status


# Words that settle the class at any status; compared in lower case, with code and type alike.
_WORDS: dict[str, type[e.UpstreamError]] = {
    "insufficient_quota": e.UpstreamQuota,
    "credit_balance_exhausted": e.UpstreamQuota,
    "billing_hard_limit_reached": e.UpstreamQuota,
    "billing_not_active": e.UpstreamQuota,
    "enforced_spend_limit_reached": e.UpstreamQuota,
    "insufficient_balance": e.UpstreamQuota,
    "insufficient_credits": e.UpstreamQuota,
    "invalid_api_key": e.UpstreamCredential,
    "incorrect_api_key": e.UpstreamCredential,
    "api_key_invalid": e.UpstreamCredential,
    "account_deactivated": e.UpstreamCredential,
    "model_not_found": e.UpstreamNotFound,
    "model_not_available": e.UpstreamNotFound,
    "model_decommissioned": e.UpstreamNotFound,
    "invalid_model": e.UpstreamNotFound,
    "unknown_model": e.UpstreamNotFound,
    "deploymentnotfound": e.UpstreamNotFound,
    "context_length_exceeded": e.UpstreamContextTooLong,
    "context_window_exceeded": e.UpstreamContextTooLong,
    "exceed_context_size_error": e.UpstreamContextTooLong,
    "too_many_prompt_tokens": e.UpstreamContextTooLong,
    "content_filter": e.ContentFiltered,
    "content_policy_violation": e.ContentFiltered,
    "responsibleaipolicyviolation": e.ContentFiltered,
    "data_inspection_failed": e.ContentFiltered,
}
_QUOTA_ENDINGS = ("_spend_limit_exceeded", "_usage_limit_exceeded")

# Where the status says it.
_STATUS: dict[int, type[e.UpstreamError]] = {
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
}

# Where there is no status, as in a stream or beside a 200: the status that the words stand for.
_STATUS_OF: dict[str, int] = {
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
}

# Vendors that say it in the message alone; read for statuses that leave the cause open.
_SENTENCES: tuple[tuple[type[e.UpstreamError], re.Pattern[str]], ...] = (
    # DeepSeek, OpenRouter, Perplexity, llama.cpp, Anthropic's compatible route
    (
        e.UpstreamContextTooLong,
        re.compile(r"maximum context length|context (window|size)|prompt is too long|messages is too long", re.I),
    ),
    # xAI sends these with 403 and 400, Anthropic its balance with 400
    (e.UpstreamQuota, re.compile(r"(have|has) any credits|purchase credits|credit balance|insufficient credits", re.I)),
    # xAI and Gemini's compatible route send a bad key as 400
    (e.UpstreamCredential, re.compile(r"(incorrect|invalid) api key|api key (not valid|not found|expired)", re.I)),
    (e.ContentFiltered, re.compile(r"content management policy|content[ _]filter|was flagged", re.I)),
    # OpenRouter and Mistral send an unknown model as 400, OpenAI a forbidden one as 403
    (
        e.UpstreamNotFound,
        re.compile(r"model\b.{0,120}(does not exist|not found|decommissioned)|not a valid model|invalid model:", re.I),
    ),
)
_OPEN_STATUSES = frozenset((400, 403, 413, 422))

_TELLS: dict[type[e.UpstreamError], tuple[str, str]] = {
    e.UpstreamCredential: (
        "The provider refuses the credential configured for it",
        "Check this provider's api_key in the configuration.",
    ),
    e.UpstreamQuota: (
        "The provider says that the account has no quota or credit left",
        "Add credit or raise the limit there, or ask for another model.",
    ),
    e.UpstreamRateLimited: ("The provider's rate limit is reached", "Wait and try again."),
    e.UpstreamNotFound: (
        "The provider does not have this model or path",
        "Check the target's model name and this provider's base_url.",
    ),
    e.UpstreamContextTooLong: (
        "The prompt does not fit the model's context window",
        "Shorten it, or ask for a model with a larger window.",
    ),
    e.ContentFiltered: ("The provider's content filter refused the request", "Change the prompt."),
    e.UpstreamRefused: ("The provider refused the request", "Mend the request."),
    e.UpstreamTimeout: ("The provider timed out", "Try again."),
    e.Unavailable: ("The provider failed", "Try again, or ask for another model."),
    e.ProtocolError: ("The provider answered with something that is no answer", "Check this provider's base_url."),
}
# What these two say about our account is not the caller's business, and may hold a piece of the key.
_UNQUOTED = (e.UpstreamCredential, e.UpstreamQuota)


def classify(status: int, headers: dict[bytes, bytes], body: bytes, now: float | None = None) -> e.UpstreamError:
    """What an answer other than a 200 means.

    Args:
        status: 200 stands for "unknown": the body's own words decide.
        now: Unix time, for a retry-after that is a date; without it the answer's own `date` serves.
    """
    said = read_error(_decoded(body))
    kind = _kind(status, said)
    error = _error(kind, status if status >= 400 else said.status, said)
    error.retry_after = retry_after(headers, now)
    error.answer = e.ProviderAnswer(status if status >= 400 else error.status, headers, body)
    return error


def classify_body(body: bytes) -> e.UpstreamError:
    """What an error object means that came where an answer should be: in a stream or with a 200."""
    return classify(200, {}, body)


def no_answer(value: Any, body: bytes, what: str) -> e.UpstreamError:
    """The error for a 200 without an answer: the one it holds, classified, else a ProtocolError.

    Args:
        value: the decoded body, None if it is not JSON.
        what: what there should have been, with its article.
    """
    if isinstance(value, dict) and (value.get("error") or value.get("object") == "error"):
        return classify_body(body)
    error = e.ProtocolError(
        f"The provider answered 200 with something that is not {what}.", do="Check this provider's base_url."
    )
    error.answer = e.ProviderAnswer(200, {}, body)
    return error


def read_error(value: Any) -> Said:
    """Find message, type, code, param and status in a decoded error body of any known shape."""
    outer = _mapping(value)
    inner = outer.get("error")
    body = inner if isinstance(inner, dict) else outer
    nested = body.get("error")  # GPUStack: {"detail": ..., "error": {"message": ...}}
    if isinstance(nested, dict):
        body = {**body, **nested}
    message = _first_text(
        body.get("message"), inner, outer.get("message"), body.get("detail"), outer.get("detail"), value
    )
    code, type_ = body.get("code"), body.get("type")
    details = _mapping(body.get("innererror"))
    if code is None:
        code = details.get("code")
    numbers = (body.get("status"), body.get("status_code"), outer.get("raw_status_code"), code)
    return Said(message, _text(type_), _text(code), _text(body.get("param")), _status(numbers))


def encode_error(error: e.PenstockError, request_id: str) -> bytes:
    """Our error in OpenAI's envelope; the message ends with what to do."""
    fields = _envelope(error)
    fields["request_id"] = request_id
    return msgspec.json.encode({"error": fields})


def encode_stream_error(error: e.PenstockError) -> bytes:
    """Our error as the event that OpenAI's clients raise on."""
    return encode_event(msgspec.json.encode({"error": _envelope(error)}))


# Where OpenAI's clients decide by its own code (platform.openai.com, "Error codes").
_CODES: tuple[tuple[type[e.PenstockError], str], ...] = (
    (e.Unauthenticated, "invalid_api_key"),
    (e.UnknownModel, "model_not_found"),
    (e.ContextTooLong, "context_length_exceeded"),
    (e.ContentFiltered, "content_filter"),
    (e.UpstreamRateLimited, "rate_limit_exceeded"),
)


def _envelope(error: e.PenstockError) -> dict[str, str | None]:
    code = next((code for kind, code in _CODES if isinstance(error, kind)), error.code)
    return {
        "message": repaired(error.told),
        "type": _type(error),
        "param": None if error.param is None else repaired(error.param),
        "code": code,
    }


def _type(error: e.PenstockError) -> str:
    if isinstance(error, e.UpstreamRateLimited) or (isinstance(error, e.LimitError) and error.status == 429):
        return "rate_limit_error"
    asked_wrong = isinstance(error, e.CallerError | e.UpstreamRefused | e.UpstreamNotFound | e.ContentFiltered)
    return "invalid_request_error" if asked_wrong else "server_error"


def _kind(status: int, said: Said) -> type[e.UpstreamError]:
    for word in (said.code.lower(), said.type.lower()):
        if word in _WORDS:
            return _WORDS[word]
        if word.endswith(_QUOTA_ENDINGS):
            return e.UpstreamQuota
    if status < 400:
        if status != 200:
            return e.ProtocolError  # a redirect, or a success without an answer
        status = said.status or _implied(said)
    if status in _OPEN_STATUSES:
        for kind, sentence in _SENTENCES:
            if sentence.search(said.message):
                return kind
    if status in _STATUS:
        return _STATUS[status]
    return e.Unavailable if status >= 500 else e.UpstreamRefused


def _implied(said: Said) -> int:
    for word in (said.type.lower(), said.code.lower()):
        if word in _STATUS_OF:
            return _STATUS_OF[word]
    return 500


def _error(kind: type[e.UpstreamError], status: int, said: Said) -> e.UpstreamError:
    what, do = _TELLS[kind]
    ours = kind in _UNQUOTED or kind is e.ProtocolError
    message = f"{what} ({status})" if status else what
    quote = "" if ours else repaired(" ".join(said.message.split()))
    if len(quote) > _LONGEST_QUOTE:
        quote = quote[:_LONGEST_QUOTE].rstrip() + "..."
    message += f": {quote}" if quote else "."
    kept = None if ours or not 400 <= status < 600 else status
    return kind(message, do=do, param=said.param or None, status=kept)


def _decoded(body: bytes) -> Any:
    try:
        return decode_tolerant(body)
    except ValueError:
        return None  # HTML, plain text: the status alone has to do


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, list) and value:  # Gemini's compatible route wraps the object in a list
        value = value[0]
    return value if isinstance(value, dict) else {}


def _first_text(*values: Any) -> str:
    return next((value for value in values if isinstance(value, str) and value), "")


def _text(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else ""


def _status(values: tuple[Any, ...]) -> int:
    for value in values:
        text = _text(value)
        if len(text) == 3 and text.isascii() and text.isdigit() and 400 <= int(text) <= 599:
            return int(text)
    return 0
