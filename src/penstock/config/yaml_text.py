"""Values as YAML text that a person would write: plain where it can be, quoted where it must. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

__all__ = ["flow", "scalar"]

# Values that YAML takes for something else than text when they stand without quotes are in the second.
_PLAIN = re.compile(
    r"[A-Za-z/._][A-Za-z0-9_./:+-]*[A-Za-z0-9_./+-]|[A-Za-z_]|[0-9]+[A-Za-z][A-Za-z0-9]*|[0-9][0-9.]*:[0-9]+"
)
_NOT_TEXT = re.compile(
    r"true|false|null|yes|no|on|off|y|n|0x[0-9a-f]+|0o[0-7]+|[0-9]+e[0-9]+|[.+-]?(inf|nan)|[.0-9]+", re.I
)


def scalar(value: object) -> str:
    """One value."""
    if isinstance(value, bool) or not isinstance(value, str):
        return json.dumps(value)
    plain = _PLAIN.fullmatch(value) and not _NOT_TEXT.fullmatch(value)
    return value if plain else json.dumps(value, ensure_ascii=False)


def flow(value: object) -> str:
    """Any value on one line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{scalar(key)}: {flow(entry)}" for key, entry in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(map(flow, value)) + "]"
    return scalar(value)
