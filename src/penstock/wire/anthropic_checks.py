"""The values inside an Anthropic request: each checked with its place (`messages.1.content.0.type`).

The complaints are in Anthropic's words, which are pydantic's: `max_tokens: Field required`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from penstock.errors import InvalidRequest

__all__ = ["array", "flag", "integer", "invalid", "mapping", "maybe_text", "missing", "number", "text", "word"]

_MEND = "Mend the request."
_LONGEST_QUOTE = 60


def invalid(param: str, why: str) -> InvalidRequest:
    """The error for a value."""
    return InvalidRequest(f"{param}: {why}", do=_MEND, param=param)


def missing(param: str) -> InvalidRequest:
    """The error for a field that must be there."""
    return invalid(param, "Field required")


def text(value: Any, param: str) -> str:
    """A string. Raises InvalidRequest."""
    if value.__class__ is not str:
        raise missing(param) if value is None else invalid(param, "Input should be a valid string")
    return value


def maybe_text(value: Any, param: str) -> str | None:
    """A string or nothing; an empty one is nothing. Raises InvalidRequest."""
    return None if value is None else text(value, param) or None


def mapping(value: Any, param: str) -> dict[str, Any]:
    """An object. Raises InvalidRequest."""
    if value.__class__ is not dict:
        raise missing(param) if value is None else invalid(param, "Input should be a valid dictionary")
    return value


def array(value: Any, param: str) -> list[Any]:
    """An array. Raises InvalidRequest."""
    if value.__class__ is not list:
        raise missing(param) if value is None else invalid(param, "Input should be a valid list")
    return value


def flag(value: Any, param: str) -> bool:
    """A boolean; null counts as false. Raises InvalidRequest."""
    if value is None:
        return False
    if value.__class__ is not bool:
        raise invalid(param, "Input should be a valid boolean")
    return value


def integer(value: Any, param: str, least: int) -> int:
    """A whole number of at least so much, also where it is written as 10.0. Raises InvalidRequest."""
    if value.__class__ is float and value.is_integer():
        value = int(value)
    if value.__class__ is not int:
        raise missing(param) if value is None else invalid(param, "Input should be a valid integer")
    if value < least:
        raise invalid(param, f"Input should be greater than or equal to {least}")
    return value


def number(value: Any, param: str, least: float, most: float) -> float:
    """A number between two others. Raises InvalidRequest."""
    if value.__class__ is not int and value.__class__ is not float:
        raise invalid(param, "Input should be a valid number")
    if value < least:
        raise invalid(param, f"Input should be greater than or equal to {least:g}")
    if value > most:
        raise invalid(param, f"Input should be less than or equal to {most:g}")
    return value


def word(value: Any, param: str, words: Collection[str]) -> str:
    """One of a few strings. Raises InvalidRequest."""
    said = text(value, param)
    if said not in words:
        quoted = said if len(said) <= _LONGEST_QUOTE else said[:_LONGEST_QUOTE] + "..."
        *some, last = (f"'{known}'" for known in words)
        known = f"{', '.join(some)} or {last}" if some else last
        raise invalid(param, f"Input should be {known}, not '{quoted}'")
    return said
