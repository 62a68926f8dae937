"""The top level of a JSON object: read it, change a few fields, keep the other values byte for byte.

The top level is always written anew from what was read, so that what policy read is what the provider reads
(a duplicate key can't say one thing here and another there). Values stay the caller's bytes.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec

from penstock.errors import InvalidRequest

__all__ = ["decode_object", "encode_object", "kind", "raw", "raw_text", "replaced"]

_OBJECT = msgspec.json.Decoder(dict[str, msgspec.Raw])

# Every field at the top costs half a microsecond: a body that consists of them takes the loop for as long as a hundred
# honest ones. What holds most of an honest body is skipped over, and the rest may be so large (37,000 small fields).
SMALL = 256 * 1024
FEW_FIELDS = 30_000
# For the place of one fault, in a body that may consist of what looks like it.
LONGEST_SEARCHED = 1024 * 1024


class _Bulk(msgspec.Struct, gc=False):
    """The fields of any dialect that may rightly be large."""

    messages: msgspec.Raw = msgspec.Raw()
    system: msgspec.Raw = msgspec.Raw()
    prompt: msgspec.Raw = msgspec.Raw()
    input: msgspec.Raw = msgspec.Raw()
    tools: msgspec.Raw = msgspec.Raw()
    functions: msgspec.Raw = msgspec.Raw()
    documents: msgspec.Raw = msgspec.Raw()
    prediction: msgspec.Raw = msgspec.Raw()
    contents: msgspec.Raw = msgspec.Raw()


_BULK = msgspec.json.Decoder(_Bulk)
_BYTE = re.compile(r" \(byte (\d+)\)$")
_LONE = re.compile(
    rb"\\u[dD](?:[89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..\\u[dD])[c-fC-F])",
    re.DOTALL,
)
_MEND = "Mend the JSON and send it again."
_KINDS = {b"{": "an object", b"[": "an array", b'"': "a string", b"t": "a boolean", b"f": "a boolean", b"n": "null"}


def decode_object(body: bytes) -> dict[str, msgspec.Raw]:
    """Read the top level; a key that comes twice counts as its last value, in its first place.

    The values are checked to be JSON throughout (RFC 8259: no NaN, no trailing comma, no lone surrogate, valid
    UTF-8), and nested no deeper than the interpreter's recursion limit allows, about 1,000 levels.

    Raises:
        InvalidRequest: with the place of the fault; or it has too many fields.
    """
    try:
        if not body.isascii():
            str(body, "utf-8")  # msgspec skips over values without looking at their UTF-8
        if len(body) > SMALL and body.count(b":") > FEW_FIELDS:
            _check_fields(body)
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


def _check_fields(body: bytes) -> None:
    bulk = _BULK.decode(body)
    rest = len(body) - sum(memoryview(value).nbytes for value in msgspec.structs.astuple(bulk))
    if rest > SMALL:
        raise InvalidRequest(
            "The body has too many fields, or too large ones, beside the conversation.", do="Send fewer fields."
        )


def _malformed(body: bytes, message: str) -> InvalidRequest:
    found = _BYTE.search(message)
    if found is not None:
        reason = message[: found.start()].removeprefix("JSON is malformed: ")
        if body.startswith(codecs.BOM_UTF8):
            reason = "a byte order mark before it"
        past = reason == "trailing characters"  # the one fault whose place msgspec gives as the byte after it
        return _invalid(body, reason, int(found.group(1)) - past)
    if not body.strip():
        return InvalidRequest("The body is empty; it must be a JSON object.", do="Send a JSON object.")
    if len(body) > LONGEST_SEARCHED:
        return InvalidRequest("The body is not valid JSON: it ends too early, or has a lone surrogate.", do=_MEND)
    place = _lone_surrogate(body)
    if place is not None:
        return _invalid(body, "a lone surrogate", place)
    return _invalid(body, "it ends too early", len(body))


def _lone_surrogate(body: bytes) -> int | None:
    """Where a \\u escape is half of a pair. msgspec calls a text that goes on after one "truncated"."""
    # Without escaped backslashes, in as many bytes, whatever looks like an escape is one. One search, since a body may
    # consist of escapes.
    found = _LONE.search(body.replace(b"\\\\", b"__"))
    return found.start() if found is not None else None


def _invalid(body: bytes, reason: str, offset: int) -> InvalidRequest:
    line = body.count(b"\n", 0, offset) + 1
    begin = body.rfind(b"\n", 0, offset) + 1
    column = len(body[begin:offset].decode("utf-8", "replace")) + 1
    return InvalidRequest(
        f"The body is not valid JSON: {reason} at line {line}, column {column} (byte {offset}).", do=_MEND
    )
