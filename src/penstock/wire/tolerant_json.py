"""JSON as providers write it, read as leniently as the grammar allows.

Half a surrogate pair as an escape, or a number too large for a float, is JSON by RFC 8259's grammar, and some
servers send such; NaN, Infinity and invalid UTF-8 are not. The strict reading of requests is in `splice`.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

import msgspec

__all__ = ["BEFORE", "decode_tolerant", "repaired"]

# What may stand before a value: white space, and a byte order mark (RFC 8259, section 8.1), by its bytes.
BEFORE = b" \t\r\n\xef\xbb\xbf"


def decode_tolerant(data: bytes) -> Any:
    """The decoded value. Raises ValueError for what is not JSON, or is nested too deeply."""
    try:
        return msgspec.json.decode(data)
    except (ValueError, RecursionError):
        pass
    try:
        return json.loads(str(data, "utf-8-sig"), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def repaired(text: str) -> str:
    """`text` with halves of surrogate pairs replaced, so that it can be written as UTF-8."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")
