"""The units a scenario's values are written in, beside those of a configuration: pure, as `config/values.py`."""

from __future__ import annotations

import re

from penstock.config import values
from penstock.routing.nearest import quoted

__all__ = ["jump", "positive", "rate", "share"]

_RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)/(s|min|h)")
_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0}
_PERCENT = re.compile(r"(100|[0-9]{1,2}(?:\.[0-9]{1,4})?)%")


def rate(value: object) -> float:
    """Requests a second."""
    found = _RATE.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise ValueError(f"{_shown(value)} is not a rate: write 5/s, 120/min or 300/h")
    return float(found[1]) / _SECONDS[found[2]]


def share(value: object) -> float:
    """From 0 to 1."""
    found = _PERCENT.fullmatch(value) if isinstance(value, str) else None
    if found is not None:
        return float(found[1]) / 100
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    raise ValueError(f"{_shown(value)} is not a part: write 50%, or a number from 0 to 1")


def positive(value: object) -> float:
    """A number, more than nothing."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e9:
        raise ValueError(f"{_shown(value)} is not a number of more than 0")
    return float(value)


def jump(value: object) -> float:
    """Seconds, forwards or backwards."""
    if not isinstance(value, str) or value[:1] not in ("+", "-"):
        raise ValueError(f"{_shown(value)} does not say which way: write +1h or -30s")
    return values.duration(value[1:]) * (-1 if value[0] == "-" else 1)


def _shown(value: object) -> str:
    if isinstance(value, dict | list):
        return "a mapping" if isinstance(value, dict) else "a list"
    return "nothing" if value is None else quoted(str(value).lower() if isinstance(value, bool) else str(value))
