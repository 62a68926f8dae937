"""The values inside an OpenAI request: each checked with its place, the complaints in OpenAI's words.

`Notes` gathers what a request sets beside what is read into the vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from penstock.errors import InvalidRequest

__all__ = [
    "Notes",
    "array",
    "flag",
    "integer",
    "invalid",
    "mapping",
    "missing",
    "number",
    "text",
    "word",
    "wrong_type",
]

_MEND = "Mend the request."
_LONGEST_QUOTE = 60


class Notes:
    """What is met while a request is read, as the `Prompt` remembers it: see there.

    Attributes:
        given, hints, demands: the fields of the `Prompt`.
    """

    __slots__ = ("_odd", "demands", "given", "hints")

    def __init__(self) -> None:
        self.given: dict[str, str] = {}
        self.hints: dict[str, Any] = {}
        self.demands: dict[str, Any] = {}
        self._odd: set[str] = set()

    def met(self, feature: str, name: str) -> None:
        """A feature the caller uses; the first name counts."""
        if feature not in self.given:
            self.given[feature] = name

    def rest(self, value: Mapping[str, Any], known: Collection[str], path: str) -> None:
        """Whatever else an inner object sets becomes a hint: of each field the first one met, empty ones left out."""
        for name, field in value.items():
            if name not in known and name not in self._odd and field not in (None, "", [], {}):
                self._odd.add(name)
                self.hints[f"{path}.{name}"] = field


def invalid(param: str, why: str) -> InvalidRequest:
    """The error for a value that its type alone doesn't rule out."""
    return InvalidRequest(f"Invalid '{param}': {why}.", do=_MEND, param=param)


def missing(param: str) -> InvalidRequest:
    """The error for a field that must be there."""
    return InvalidRequest(f"Missing required parameter: '{param}'.", do=_MEND, param=param)


def wrong_type(param: str, expected: str, value: Any) -> InvalidRequest:
    """The error for a value of another type, `expected` with its article."""
    return InvalidRequest(
        f"Invalid type for '{param}': expected {expected}, but got {_kind(value)} instead.", do=_MEND, param=param
    )


def text(value: Any, param: str) -> str:
    """A string. Raises InvalidRequest."""
    if value.__class__ is not str:
        raise missing(param) if value is None else wrong_type(param, "a string", value)
    return value


def mapping(value: Any, param: str) -> dict[str, Any]:
    """An object. Raises InvalidRequest."""
    if value.__class__ is not dict:
        raise missing(param) if value is None else wrong_type(param, "an object", value)
    return value


def array(value: Any, param: str) -> list[Any]:
    """An array. Raises InvalidRequest."""
    if value.__class__ is not list:
        raise missing(param) if value is None else wrong_type(param, "an array", value)
    return value


def flag(value: Any, param: str) -> bool:
    """A boolean. Raises InvalidRequest."""
    if value.__class__ is not bool:
        raise wrong_type(param, "a boolean", value)
    return value


def integer(value: Any, param: str, least: int) -> int:
    """A whole number of at least so much, also where it is written as 10.0. Raises InvalidRequest."""
    if value.__class__ is float and value.is_integer():
        value = int(value)
    if value.__class__ is not int:
        raise wrong_type(param, "an integer", value)
    if value < least:
        raise invalid(
            param, f"integer below minimum value. Expected a value >= {least}, but got {_quoted(value)} instead"
        )
    return value


def number(value: Any, param: str, least: float, most: float) -> float:
    """A number between two others. Raises InvalidRequest."""
    if value.__class__ is not int and value.__class__ is not float:
        raise wrong_type(param, "a decimal", value)
    for wrong, what, bound in (
        (value < least, "below minimum", f">= {least}"),
        (value > most, "above maximum", f"<= {most}"),
    ):
        if wrong:
            raise invalid(param, f"decimal {what} value. Expected a value {bound}, but got {_quoted(value)} instead")
    return value


def word(value: Any, param: str, words: Collection[str]) -> str:
    """One of a few strings. Raises InvalidRequest."""
    said = text(value, param)
    if said not in words:
        *some, last = (f"'{known}'" for known in words)
        known = f"{', '.join(some)} and {last}" if some else last
        raise InvalidRequest(f"Invalid value: '{_quoted(said)}'. Supported values are: {known}.", do=_MEND, param=param)
    return said


def _quoted(value: Any) -> str:
    try:
        written = str(value)
    except ValueError:  # an integer of thousands of digits
        return "a very large number"
    return written if len(written) <= _LONGEST_QUOTE else written[:_LONGEST_QUOTE] + "..."


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    kinds = {dict: "an object", list: "an array", str: "a string", bool: "a boolean", int: "an integer"}
    return kinds.get(value.__class__, "a decimal")
