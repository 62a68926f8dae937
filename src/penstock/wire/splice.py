"""The top level of a JSON object: read it, change a few fields, keep the other values byte for byte.

The top level is always written anew from what was read, so that what policy read is what the provider reads
(a duplicate key can't say one thing here and another there). Values stay the caller's bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from penstock.errors import InvalidRequest

__all__ = ["decode_object", "encode_object", "kind", "raw", "raw_text", "replaced"]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BYTE = re.compile(r" \(byte (\d+)\)$")
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)
_MEND = "Mend the JSON and send it again."
_KINDS = {b"{": "an object", b"[": "an array", b'"': "a string", b"t": "a boolean", b"f": "a boolean", b"n": "null"}


def decode_object(body: bytes) -> dict[str, msgspec.Raw]:
    """Read the top level; a key that comes twice counts as its last value, in its first place.

    The values are checked to be JSON throughout (RFC 8259: no NaN, no trailing comma, no lone surrogate, valid
    UTF-8), and nested no deeper than the interpreter's recursion limit allows, about 1,000 levels.

    Raises:
        InvalidRequest: with the place of the fault.
    """
    try:
        if not body.isascii():
            str(body, "utf-8")  # msgspec skips over values without looking at their UTF-8
        return _OBJECT.decode(body)
    except UnicodeDecodeError as error:
        raise _invalid(body, "invalid UTF-8", error.start) from None
    except msgspec.ValidationError:
        raise InvalidRequest(f"The body must be a JSON object, not {kind(body)}.", do=_MEND) from None
    except msgspec.DecodeError as error:
        raise _malformed(body, str(error)) from None
    except RecursionError:
        raise InvalidRequest("The body is nested too deeply.", do="Send it with fewer levels.") from None


# Writes an object: the fields in their order, without spaces between them, values as they are.
encode_object: Callable[[Mapping[str, msgspec.Raw]], bytes] = msgspec.json.Encoder().encode


def replaced(value: msgspec.Raw | None, changes: Mapping[str, msgspec.Raw]) -> msgspec.Raw:
    """A nested object with some fields changed or added; None and null count as empty.

    Raises:
        InvalidRequest: it is not an object.
    """
    fields = {} if value is None or bytes(value) == b"null" else decode_object(bytes(value))
    return msgspec.Raw(encode_object({**fields, **changes}))


def raw(value: Any) -> msgspec.Raw:
    """A value as the bytes of its JSON.

    Raises:
        InvalidRequest: it cannot be written as JSON.
    """
    try:
        return msgspec.Raw(msgspec.json.encode(value))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidRequest(f"A value cannot be written as JSON: {error}.", do="Use plain JSON values.") from None


@lru_cache(1024)
def raw_text(value: str) -> msgspec.Raw:
    """A string as the bytes of its JSON, kept: for the few names that every request carries."""
    return raw(value)


def kind(value: bytes | msgspec.Raw) -> str:
    """What a JSON value is, in the words of an error message."""
    return _KINDS.get(bytes(value).lstrip()[:1], "a number")


def _malformed(body: bytes, message: str) -> InvalidRequest:
    found = _BYTE.search(message)
    if found is not None:
        reason = message[: found.start()].removeprefix("JSON is malformed: ")
        past = reason == "trailing characters"  # the one fault whose place msgspec gives as the byte after it
        return _invalid(body, reason, int(found.group(1)) - past)
    if not body.strip():
        return InvalidRequest("The body is empty; it must be a JSON object.", do="Send a JSON object.")
    place = _lone_surrogate(body)
    if place is not None:
        return _invalid(body, "a lone surrogate", place)
    return _invalid(body, "it ends too early", len(body))


def _lone_surrogate(body: bytes) -> int | None:
    """Where a \\u escape is half of a pair. msgspec calls a text that goes on after one "truncated"."""
    high: int | None = None
    for escape in _ESCAPE.finditer(body):
        code = int(escape.group(1) or b"0", 16)
        low = 0xDC00 <= code <= 0xDFFF
        if high is not None and not (low and escape.start() == high + 6):
            return high
        if low and high is None:
            return escape.start()
        high = escape.start() if 0xD800 <= code <= 0xDBFF else None
    return high


def _invalid(body: bytes, reason: str, offset: int) -> InvalidRequest:
    line = body.count(b"\n", 0, offset) + 1
    begin = body.rfind(b"\n", 0, offset) + 1
    column = len(body[begin:offset].decode("utf-8", "replace")) + 1
    return InvalidRequest(
        f"The body is not valid JSON: {reason} at line {line}, column {column} (byte {offset}).", do=_MEND
    )
