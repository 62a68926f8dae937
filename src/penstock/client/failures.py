"""An error that was written into an answer, as the class it had where it was raised.

A gateway tells its errors in OpenAI's envelope, and a stream tells the one that ended it in an event; the `code` in
either is the class's own name, or OpenAI's for the few that OpenAI has a name for.
"""

from __future__ import annotations

from typing import Any

import msgspec

from penstock import errors
from penstock.errors import PenstockError, StreamInterrupted, UpstreamError
from penstock.wire.dialect import Dialect
from penstock.wire.openai_errors import read_error
from penstock.wire.sse import Framer, parse
from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["error_in", "error_of_gateway", "interrupted", "last_chunk", "last_value"]

_CLASSES: dict[str, type[PenstockError]] = {
    kind.code: kind
    for kind in (getattr(errors, name) for name in errors.__all__)
    if kind is not errors.UpstreamContextTooLong  # has its caller's code, and is told apart by the provider's answer
}
# What OpenAI's codes mean in a gateway's own errors, which alone carry a request id in the envelope.
_OF_GATEWAY: dict[str, type[PenstockError]] = {
    "invalid_api_key": errors.Unauthenticated,
    "model_not_found": errors.UnknownModel,
    "context_length_exceeded": errors.UpstreamContextTooLong,
    "content_filter": errors.ContentFiltered,
    "rate_limit_exceeded": errors.UpstreamRateLimited,
    "internal_error": errors.PenstockError,
    "insufficient_quota": errors.BudgetExceeded,
}
# Of the gateway's own refusal for too many of these OpenAI's envelope names the unit where a provider's has its type.
_UNITS = ("requests", "tokens")


def error_of_gateway(error: UpstreamError) -> PenstockError:
    """The error a gateway answered with: its own by its class, a provider's that it passed on as it was classified."""
    answer = error.answer
    value = _json(answer.body) if answer is not None else None
    envelope = value.get("error") if isinstance(value, dict) else None
    if answer is None or not isinstance(envelope, dict):
        return error
    said = read_error(value)
    if not answer.headers and said.code in _CLASSES:
        # Told in a stream that had begun before there was an answer; such an event names no id.
        return _CLASSES[said.code](said.message, retry_after=error.retry_after)
    if "request_id" not in envelope:
        return error
    kind = _OF_GATEWAY.get(said.code, _CLASSES.get(said.code))
    if kind is None:
        return error
    if kind is errors.UpstreamRateLimited and said.type in _UNITS:
        return errors.RateLimited(said.message, retry_after=error.retry_after, unit=said.type)
    told = kind(said.message, param=said.param or None, retry_after=error.retry_after, status=answer.status)
    if isinstance(told, UpstreamError):
        told.answer = answer
    return told


def error_in(data: bytes, dialect: Dialect) -> PenstockError | None:
    """The error that ends a stream, if these whole events hold one."""
    if b"error" not in data:
        return None
    reader = dialect.open_stream(keep_usage=True, prompt_bytes=0)
    reader.feed(data)
    error = reader.error
    if error is None:
        return None
    for value in reversed(_values(data)):
        said = read_error(value)
        if said.code in _CLASSES:
            return _CLASSES[said.code](said.message)
    return error


def interrupted(code: str) -> PenstockError:
    """The error of a stream of which only the code is known."""
    kind = _CLASSES.get(code, StreamInterrupted)
    return kind("The stream ended before the answer was complete.", do="Send the request again.")


def last_chunk(data: bytes) -> dict[str, Any] | None:
    """The last of these whole events that has choices, as decoded JSON."""
    found = (value for value in reversed(_values(data)) if value.get("choices"))
    return next(found, None)


def last_value(data: bytes) -> Any:
    """The last object in whole events, or the whole body, as decoded JSON; None if there is none."""
    if data.lstrip()[:1] == b"{":
        return _json(data)
    values = _values(data)
    return values[-1] if values else None


def _values(data: bytes) -> list[dict[str, Any]]:
    framer = Framer()
    payloads = (parse(block).data for block in (*framer.feed(data), framer.take_tail()))
    values = (_json(payload) for payload in payloads if payload)
    return [value for value in values if isinstance(value, dict)]


def _json(data: bytes) -> Any:
    try:
        return decode_tolerant(data)
    except (ValueError, RecursionError, msgspec.MsgspecError):
        return None
