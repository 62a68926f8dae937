"""From a provider's signal to our error class: reading error bodies of any known shape, and looking them up.

What a signal means is a table (`Signals`) of each dialect; its rows are those of the design's "Attempts, retries,
fallbacks". Providers bend the dialects they speak in many ways; what is read here is what recorded ones send.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from penstock import errors as e
from penstock.wire.error_words import decode_error, words_of
from penstock.wire.retry_after import retry_after, retry_info
from penstock.wire.tolerant_json import repaired

__all__ = ["WORDS", "Said", "Sentence", "Signals", "classified", "classify", "read_error", "relayed", "unanswered"]

_LONGEST_QUOTE = 300


class Said:
    """What a provider's error body says, wherever it says it; "", 0 and None for what it leaves out.

    Attributes:
        wait: seconds that it asks to be left alone.
    """

    __slots__ = ("code", "message", "param", "status", "type", "wait")

    def __init__(self, message: str, type: str, code: str, param: str, status: int, wait: float | None = None) -> None:
        self.message = message
        self.type = type
        self.code = code
        self.param = param
        self.status = status
        self.wait = wait


class Sentence(NamedTuple):
    """What some vendors say in the message alone.

    Attributes:
        statuses: it is looked for where the status is one of these.
    """

    kind: type[e.UpstreamError]
    pattern: re.Pattern[str]
    statuses: frozenset[int]


class Signals(NamedTuple):
    """One dialect's table, in the order it is asked.

    Attributes:
        words: codes and types, in lower case, that settle the class at any status.
        endings: endings of such words that mean a quota.
        implied: the status that a type or code stands for where there is none: in a stream, or beside a 200.
        sentences: looked for in the message.
        statuses: where the status says it. Others are the request's fault below 500, the provider's from 500 on.
    """

    words: Mapping[str, type[e.UpstreamError]]
    endings: tuple[str, ...]
    implied: Mapping[str, int]
    sentences: tuple[Sentence, ...]
    statuses: Mapping[int, type[e.UpstreamError]]


# Vendors' own words, which they keep whatever dialect they speak.
WORDS: Mapping[str, type[e.UpstreamError]] = {
    "insufficient_quota": e.UpstreamQuota,
    "budget_exceeded": e.UpstreamQuota,  # another Penstock
    "credit_balance_exhausted": e.UpstreamQuota,
    "billing_hard_limit_reached": e.UpstreamQuota,
    "billing_not_active": e.UpstreamQuota,
    "enforced_spend_limit_reached": e.UpstreamQuota,
    "insufficient_balance": e.UpstreamQuota,
    "insufficient_credits": e.UpstreamQuota,
    "exceeded_current_quota_error": e.UpstreamQuota,  # Moonshot: forum.moonshot.ai/t/429-insufficient-balance/244
    "arrearage": e.UpstreamQuota,  # Alibaba, with 400: help.aliyun.com/en/model-studio/error-code
    "1113": e.UpstreamQuota,  # Z.ai, with 429: docs.z.ai/api-reference/api-code
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
        "Check the target's model name, and this provider's base_url and api_version.",
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
_OURS: dict[str, type[e.UpstreamError]] = {
    kind.code: kind
    for kind in (
        *(e.Unavailable, e.UpstreamTimeout, e.UpstreamRateLimited, e.UpstreamQuota, e.UpstreamCredential),
        *(e.ProtocolError, e.StreamInterrupted, e.ContentFiltered, e.UpstreamRefused, e.UpstreamNotFound),
    )
}
# OpenRouter reserves what a request may cost at most: "You requested up to 65536 tokens, but can only afford 1234."
# A smaller one passes, so what one caller asks must not stop the credential of all.
_AFFORDS = re.compile(r"can only afford [1-9]", re.I)
# What these two say about our account is not the caller's business, and may hold a piece of the key.
_UNQUOTED = (e.UpstreamCredential, e.UpstreamQuota)


def classify(
    signals: Signals, status: int, headers: dict[bytes, bytes], body: bytes, now: float | None = None
) -> e.UpstreamError:
    """What an answer other than a 200 means.

    Args:
        status: 200 stands for "unknown": the body's own words decide.
        now: Unix time, for a retry-after that is a date; without it the answer's own `date` serves.
    """
    said = read_error(decode_error(body))
    if status < 400:
        said.status = said.status or _implied(signals, said)
    kind = _kind(signals, status, said)
    if status == 403 and kind is e.UpstreamCredential and body.lstrip()[:1] == b"<":
        # An API says in JSON that it knows no such key. A firewall before it goes by the request, or by where that is
        # from: what one caller writes must not pause the credential of all.
        kind, said.message = e.Unavailable, "a page of HTML, as a firewall before it sends"
    error = _error(kind, status if status >= 400 else said.status, said)
    if isinstance(error, e.UpstreamQuota) and _AFFORDS.search(said.message):
        error.partly, error.do = True, "Ask for less output (`max_tokens`), or another model; or add credit there."
    if 300 <= status < 400:
        error = kind(f"The provider answered with a redirect ({status}), which is not followed.", do=error.do)
    wait = retry_after(headers, now)
    error.retry_after = said.wait if wait is None else wait
    error.answer = e.ProviderAnswer(status if status >= 400 else error.status, headers, body)
    return error


def classified(signals: Signals, body: bytes) -> e.UpstreamError:
    """What an error object means that came where an answer should be: in a stream or with a 200."""
    return classify(signals, 200, {}, body)


def relayed(error: e.UpstreamError, body: bytes) -> e.UpstreamError:
    """The same error as the class it was told as, where a relay of our own told it: it has been classified before."""
    said = read_error(decode_error(body))
    kind = _OURS.get(said.code)
    return error if kind is None else kind(said.message, param=said.param or None)


def unanswered(signals: Signals, body: bytes, what: str) -> e.UpstreamError:
    """The error for a 200 that holds neither an answer nor an error. `what` there should have been, with article.

    What it says instead is told, and goes by its words where they are known (MiniMax tells of a bad key so).
    """
    said = read_error(decode_error(body))
    kind = _kind(signals, 400, said)  # no status says so, but as words of a refusal they would be these
    if kind in _UNQUOTED:
        return _error(kind, 0, said)
    message, quote = f"The provider answered 200 with something that is not {what}", _quote(said.message)
    error = e.ProtocolError(message + (f": {quote}" if quote else "."), do="Check this provider's base_url.")
    error.answer = e.ProviderAnswer(200, {}, body)
    return error


def read_error(value: Any) -> Said:
    """Find message, type, code, param, status and wait in a decoded error body of any known shape."""
    outer = _mapping(value)
    inner = outer.get("error")
    body = inner if isinstance(inner, dict) else outer
    nested = body.get("error")  # GPUStack: {"detail": ..., "error": {"message": ...}}
    if isinstance(nested, dict):
        body = {**body, **nested}
    message = words_of(body) or words_of(outer) or words_of(value)
    code, type_ = body.get("code"), body.get("type")
    details = body.get("details")
    if code is None:  # Azure's place, and Anthropic's
        code = _mapping(body.get("innererror")).get("code") or _mapping(details).get("error_code")
    numbers = (body.get("status"), body.get("status_code"), outer.get("raw_status_code"), code)
    return Said(message, _text(type_), _text(code), _text(body.get("param")), _status(numbers), retry_info(details))


def _kind(signals: Signals, status: int, said: Said) -> type[e.UpstreamError]:
    for word in (said.code.lower(), said.type.lower()):
        if word in signals.words:
            return signals.words[word]
        if word.endswith(signals.endings):
            return e.UpstreamQuota
    if status < 400:
        if status != 200:
            return e.ProtocolError  # a redirect, or a success without an answer
        status = said.status or 500
    for sentence in signals.sentences:
        if status in sentence.statuses and sentence.pattern.search(said.message):
            return sentence.kind
    if status in signals.statuses:
        return signals.statuses[status]
    return e.Unavailable if status >= 500 else e.UpstreamRefused


def _implied(signals: Signals, said: Said) -> int:
    """The status that its words stand for, 0 for none."""
    found = (signals.implied.get(word.lower()) for word in (said.type, said.code))
    return next((status for status in found if status is not None), 0)


def _error(kind: type[e.UpstreamError], status: int, said: Said) -> e.UpstreamError:
    what, do = _TELLS[kind]
    ours = kind in _UNQUOTED or kind is e.ProtocolError
    message = f"{what} ({status})" if status else what
    quote = "" if ours else _quote(said.message)
    message += f": {quote}" if quote else "."
    kept = None if ours or not 400 <= status < 600 else status
    return kind(message, do=do, param=said.param or None, status=kept)


def _quote(words: str) -> str:
    """A provider's words in one line, and not too many of them."""
    quote = repaired(" ".join(words.split()))
    return quote if len(quote) <= _LONGEST_QUOTE else quote[:_LONGEST_QUOTE].rstrip() + "..."


def _mapping(value: Any) -> dict[str, Any]:
    if isinstance(value, list) and value:  # Gemini's compatible route wraps the object in a list
        value = value[0]
    return value if isinstance(value, dict) else {}


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
