"""Values as a provider may have written them, made into JSON that every client reads.

Half a surrogate pair, a number beyond a float's range, and nesting without end are left by the tolerant
reading of answers (`tolerant_json`); strict JSON, or a strict reader, has no place for them.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from penstock.wire.tolerant_json import repaired

__all__ = ["encode_plain", "plain"]

_DEEPEST = 200
_MOST_BITS = 1024  # as far as a float goes


def encode_plain(value: Any) -> bytes:
    """The JSON of it, mended where it has to be. Never raises for decoded JSON, `msgspec.Raw` in it included."""
    try:
        return msgspec.json.encode(value)
    except (ValueError, OverflowError, RecursionError, msgspec.MsgspecError):
        return msgspec.json.encode(plain(value))


def plain(value: Any, depth: int = 0) -> Any:
    """The value with what no strict reader takes replaced: by U+FFFD in a text, else by null."""
    if depth > _DEEPEST:
        return None
    if isinstance(value, str):
        return repaired(value)
    if isinstance(value, dict):
        return {repaired(name): plain(inner, depth + 1) for name, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner, depth + 1) for inner in value]
    if isinstance(value, int):
        return value if value.bit_length() <= _MOST_BITS else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
