"""Strings and numbers for a JSON schema: within its bounds, and lively where the property's name says what it is.

Pure; `schema.py` is the only caller.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.providers.simulated.chance import Dice
from penstock.providers.simulated.pattern import PatternError, text_matching
from penstock.providers.simulated.words import CITIES, NOUNS, PEOPLE, PLACES, STREETS, VERBS

__all__ = ["Misfit", "make_number", "make_string"]

_TOO_LONG = 20_000


class Misfit(ValueError):
    """Bounds that no value fits, or a format or pattern that is not known."""


def _date(dice: Dice) -> str:
    return f"{dice.between(2001, 2030)}-{dice.between(1, 12):02d}-{dice.between(1, 28):02d}"


def _time(dice: Dice) -> str:
    return f"{dice.below(24):02d}:{dice.below(60):02d}:{dice.below(60):02d}"


def _host(dice: Dice) -> str:
    return f"{dice.choice(('lake', 'weir', 'mill', 'gate'))}{dice.below(100)}.example.com"


def _uuid(dice: Dice) -> str:
    digits = f"{dice.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-8{digits[17:20]}-{digits[20:]}"


_FORMATS: Mapping[str, Callable[[Dice], str]] = {
    "date": _date,
    "time": lambda dice: _time(dice) + "Z",
    "date-time": lambda dice: f"{_date(dice)}T{_time(dice)}Z",
    "duration": lambda dice: f"PT{dice.between(1, 90)}M",
    "email": lambda dice: f"ada.park{dice.below(1000)}@example.com",
    "idn-email": lambda dice: f"zoë{dice.below(1000)}@example.com",
    "hostname": _host,
    "idn-hostname": _host,
    "ipv4": lambda dice: f"192.0.2.{dice.between(1, 254)}",
    "ipv6": lambda dice: f"2001:db8::{dice.between(1, 0xFFFF):x}",
    "uuid": _uuid,
    "uri": lambda dice: f"https://{_host(dice)}/page/{dice.below(1000)}",
    "iri": lambda dice: f"https://{_host(dice)}/page/{dice.below(1000)}",
    "uri-reference": lambda dice: f"/page/{dice.below(1000)}",
    "json-pointer": lambda dice: f"/items/{dice.below(10)}",
    "regex": lambda dice: "^[a-z]+$",
    "byte": lambda dice: "d2F0ZXI=",
    "password": lambda dice: dice.name(16),
}

# Words in a property's name, first match wins; only where no format or pattern rules.
_NAMED: Sequence[tuple[tuple[str, ...], Callable[[Dice], str]]] = (
    (("city", "location", "place", "town", "destination", "origin"), lambda dice: dice.choice(CITIES)),
    (("country",), lambda dice: dice.choice(("Portugal", "Norway", "Kenya", "Japan", "Ecuador"))),
    (("street", "address"), lambda dice: f"{dice.choice(STREETS)}, {dice.choice(CITIES)}"),
    (("email",), _FORMATS["email"]),
    (("url", "link", "website"), _FORMATS["uri"]),
    (("date", "day"), _date),
    (("phone",), lambda dice: f"+351 555 {dice.below(10_000):04d}"),
    (("currency",), lambda dice: dice.choice(("EUR", "USD", "JPY", "NOK"))),
    (("author", "person", "participant", "name"), lambda dice: dice.choice(PEOPLE)),
    (("title",), lambda dice: f"{dice.choice(NOUNS)} and {dice.choice(PLACES)}".title()),
)


def make_string(schema: Mapping[str, Any], name: str, dice: Dice, places: Sequence[str]) -> str:
    """A string under `format`, `pattern`, `minLength` and `maxLength`.

    Raises:
        Misfit: none can be made.
    """
    low, high = schema.get("minLength", 0), schema.get("maxLength", _TOO_LONG)
    if not (isinstance(low, int) and isinstance(high, int)) or not 0 <= low <= min(high, _TOO_LONG):
        raise Misfit(f"no string is between {low} and {high} long")
    if "pattern" in schema:
        return _matching(schema["pattern"], low, high, dice)
    known = _FORMATS.get(str(schema.get("format")))
    if known is not None:
        text = known(dice)
        if not low <= len(text) <= high:
            raise Misfit(f"no {schema['format']} between {low} and {high} long is made here")
        return text
    text = _named(name.lower(), dice, places)
    while len(text) < low:
        text += f" {dice.choice(VERBS)} {dice.choice(PLACES)}"
    return text[:high]


def _matching(pattern: Any, low: int, high: int, dice: Dice) -> str:
    if not isinstance(pattern, str):
        raise Misfit("'pattern' must be a string")
    for _ in range(32):
        try:
            text = text_matching(pattern, dice)
        except PatternError as error:
            raise Misfit(f"the pattern '{pattern[:80]}' is not supported: {error}") from None
        if low <= len(text) <= high:
            return text
    raise Misfit(f"no text of the pattern '{pattern[:80]}' is between {low} and {high} long")


def _named(name: str, dice: Dice, places: Sequence[str]) -> str:
    for words, make in _NAMED:
        if any(word in name for word in words):
            if places and words[0] == "city":
                return dice.choice(places)
            return make(dice)
    return f"{dice.choice(NOUNS)} {dice.choice(VERBS)} {dice.choice(PLACES)}"


def make_number(schema: Mapping[str, Any], kind: str, name: str, dice: Dice) -> int | float:
    """A number under `minimum`, `maximum`, their exclusive forms and `multipleOf`.

    Raises:
        Misfit: none can be made.
    """
    low, high = _range(schema, name.lower())
    step = _real(schema, "multipleOf")
    if step is not None and step <= 0:
        raise Misfit("'multipleOf' must be above 0")
    if kind == "integer" or step is not None:
        unit = 1 if step is None else step
        if kind == "integer" and unit != int(unit):
            raise Misfit("an integer that is a multiple of a fraction is not made here")
        return _multiple(schema, low, high, unit, dice)
    value = round(low + (high - low) * dice.random(), 2)
    return value if _inside(schema, value) else _middle(schema, low, high)


def _range(schema: Mapping[str, Any], name: str) -> tuple[float, float]:
    lows = [edge for key in ("minimum", "exclusiveMinimum") if (edge := _real(schema, key)) is not None]
    highs = [edge for key in ("maximum", "exclusiveMaximum") if (edge := _real(schema, key)) is not None]
    usual = (1950, 2025) if "year" in name else (18, 90) if name == "age" else (0, 100)
    if not lows and not highs:
        return usual
    low = max(lows) if lows else min(highs) - 100
    high = min(highs) if highs else low + 100
    if low > high:
        raise Misfit(f"no number is at least {low} and at most {high}")
    return low, high


def _real(schema: Mapping[str, Any], key: str) -> float | None:
    value = schema.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Misfit(f"'{key}' must be a number")
    return value


def _multiple(schema: Mapping[str, Any], low: float, high: float, unit: float, dice: Dice) -> int | float:
    first, last = math.ceil(low / unit), math.floor(high / unit)
    if first * unit in (schema.get("exclusiveMinimum"),):
        first += 1
    if last * unit in (schema.get("exclusiveMaximum"),):
        last -= 1
    if first > last:
        raise Misfit(f"no multiple of {unit} is between {low} and {high}")
    value = dice.between(first, last) * unit
    return round(value, 9) if isinstance(value, float) and not value.is_integer() else int(value)


def _inside(schema: Mapping[str, Any], value: float) -> bool:
    return bool(
        schema.get("minimum", -math.inf) <= value <= schema.get("maximum", math.inf)
        and schema.get("exclusiveMinimum", -math.inf) < value < schema.get("exclusiveMaximum", math.inf)
    )


def _middle(schema: Mapping[str, Any], low: float, high: float) -> float:
    value = low + (high - low) / 2
    if not _inside(schema, value):
        raise Misfit(f"no number is between {low} and {high}")
    return value
