"""What an error body of any shape says in words: vendors, proxies and web frameworks put it in many places."""

from __future__ import annotations

from typing import Any

from penstock.wire.tolerant_json import decode_tolerant

__all__ = ["decode_error", "words_of"]

# Where a message stands, the likeliest first: OpenAI's, Anthropic's and most; FastAPI's `detail`, a text or a list of
# `{loc, msg}` (https://fastapi.tiangolo.com/tutorial/handling-errors/); OAuth's (RFC 6749, section 5.2); AWS', MiniMax'
# and Apigee's.
_NAMES = (
    *("message", "msg", "Message", "error_description", "detail", "error_message", "error_msg", "error", "errors"),
    *("messages", "details", "innererror", "status_msg", "base_resp", "faultstring", "fault", "reason", "title"),
)
_DEPTH = 4
_SEVERAL = 3
# A page of HTML or a log is no sentence to tell a caller.
_LONGEST_TEXT = 2000


def decode_error(body: bytes) -> Any:
    """The body's JSON; else its text, where that is a plain sentence; else None."""
    try:
        return decode_tolerant(body)
    except ValueError:
        pass
    if len(body) > _LONGEST_TEXT:
        return None
    try:
        text = str(body, "utf-8").strip()
    except UnicodeDecodeError:
        return None
    return text if text.isprintable() and not text.startswith(("<", "{", "[")) else None


def words_of(value: Any) -> str:
    """The message in a decoded error body, or in a part of one; "" where there is none."""
    return _words(value, _DEPTH)


def _words(value: Any, depth: int) -> str:
    if isinstance(value, str):
        return value
    if not depth:
        return ""
    if isinstance(value, list):
        found = [text for each in value[:_SEVERAL] if (text := _words(each, depth - 1))]
        return "; ".join(found)
    if not isinstance(value, dict):
        return ""
    told = next((text for name in _NAMES if (text := _words(value.get(name), depth - 1))), "")
    if not told:
        return ""
    place = value.get("loc")
    if isinstance(place, list):  # which field of the request FastAPI means
        named = ".".join(str(step) for step in place if step != "body" and isinstance(step, str | int))
        return f"{named}: {told}" if named else told
    return _relayed(told, value.get("metadata"), depth)


def _relayed(told: str, metadata: Any, depth: int) -> str:
    """OpenRouter says "Provider returned error", and in `metadata.raw` what the provider said, as it came.

    https://openrouter.ai/docs/api-reference/errors
    """
    raw = metadata.get("raw") if isinstance(metadata, dict) else None
    if not isinstance(raw, str) or not raw:
        return told
    theirs = _words(decode_error(raw.encode("utf-8", "surrogatepass")), depth - 1)
    return f"{told}: {theirs}" if theirs and theirs not in told else told
