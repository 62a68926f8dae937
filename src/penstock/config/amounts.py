"""How limits and budgets are written: `600/min`, `50 USD/day`, `0.05 USD`. Pure: text in, whole numbers out, and back.

Money is nano-dollars; no amount passes through a float. Every function raises ValueError with a sentence that says
what to write instead.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from penstock.reservation import Unit
from penstock.routing.nearest import quoted

__all__ = [
    "ALLOWANCE",
    "AMOUNT",
    "PERIODS",
    "RATE",
    "Allowance",
    "Rate",
    "allowance",
    "allowance_text",
    "amount",
    "amount_text",
    "number_text",
    "rate",
    "rate_text",
]

# Of a rate, in seconds.
_SPANS = {"s": 1, "min": 60, "h": 3600, "day": 86400}
PERIODS = ("minute", "hour", "day", "week", "month")
_UNITS: dict[str, Unit] = {"USD": "usd", "tokens": "tokens", "requests": "requests"}
_FACTORS = {"": 1, "k": 1_000, "M": 1_000_000}
NANOS = 1_000_000_000

_NUMBER = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(k|M|)"
RATE = re.compile(rf"{_NUMBER}/(s|min|h|day)")
AMOUNT = re.compile(rf"{_NUMBER} ?(USD|tokens)")
ALLOWANCE = re.compile(rf"{_NUMBER} ?(USD|tokens|requests)/(minute|hour|day|week|month)")

# The ledger's numbers have 64 bits, and sums of many must fit as well.
_MOST: dict[Unit, int] = {"usd": 10**9 * NANOS, "tokens": 10**15, "requests": 10**15}

_RATE_FORM = "write 600/min, 200k/min, 10/s, 5000/h or 1M/day"
_AMOUNT_FORM = "write 0.05 USD, or 20k tokens"
_ALLOWANCE_FORM = "write 50 USD/day, 2M tokens/day or 1000 requests/month"

# What people write instead, in lower case.
_LIKE_A_SPAN = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), "s"),
    **dict.fromkeys(("m", "min", "minute", "minutes"), "min"),
    **dict.fromkeys(("h", "hr", "hour", "hours"), "h"),
    **dict.fromkeys(("d", "day", "days"), "day"),
}
_LIKE_A_PERIOD = {
    **dict.fromkeys(("m", "min", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hour", "hours", "hourly"), "hour"),
    **dict.fromkeys(("d", "day", "days", "daily"), "day"),
    **dict.fromkeys(("w", "wk", "week", "weeks", "weekly"), "week"),
    **dict.fromkeys(("mo", "mon", "month", "months", "monthly"), "month"),
}
_LIKE_A_UNIT = {
    **dict.fromkeys(("$", "usd", "us$", "dollar", "dollars"), "USD"),
    **dict.fromkeys(("token", "tokens", "tok", "toks"), "tokens"),
    **dict.fromkeys(("request", "requests", "req", "reqs", "call", "calls"), "requests"),
}
# Money of others: what is most often written of it.
_CURRENCY = re.compile(
    r"[€£¥₹]|(?<![A-Za-z])(?:EUR|GBP|CHF|JPY|CNY|RMB|INR|CAD|AUD|SEK|NOK|DKK|PLN|KRW|BRL|euros?|pounds?|yen|yuan)"
    r"(?![A-Za-z])",
    re.IGNORECASE,
)
# A comma between thousands; what has others may be a fraction as some countries write it.
_LOOSE = re.compile(
    r"(?P<sign>\$?)\s*(?P<number>(?:[0-9]{1,3}(?:,[0-9]{3}){1,4}|[0-9][0-9_]{0,14})(?:\.[0-9]{1,9})?)\s*(?P<factor>[kKmM]?)\s*"
    r"(?P<unit>(?:US)?\$|[A-Za-z]*)\s*(?:(?:/|per\b|a\b|every\b)\s*(?P<period>[A-Za-z]{1,10}))?"
)


class Rate(NamedTuple):
    """So many within so many seconds."""

    limit: int
    seconds: int


class Allowance(NamedTuple):
    """So many nano-dollars, tokens or requests in each period of the calendar; `period` is "" for one request."""

    limit: int
    unit: Unit
    period: str = ""


def rate(value: object) -> Rate:
    """`600/min`: more than none, a whole number."""
    match = RATE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{_shown(value)} is not a rate: {_RATE_FORM}{_meant_rate(value)}")
    return Rate(_whole(value, match[1], match[2], "requests"), _SPANS[match[3]])


def amount(value: object) -> Allowance:
    """`0.05 USD`: of one request, more than none."""
    match = AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(
            f"{_shown(value)} is not what one request may use: {_AMOUNT_FORM}{_meant(value, period=False)}"
        )
    unit = _UNITS[match[3]]
    return Allowance(_whole(value, match[1], match[2], unit), unit)


def allowance(value: object) -> Allowance:
    """`50 USD/day`: more than none."""
    match = ALLOWANCE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{_shown(value)} is not a budget: {_ALLOWANCE_FORM}{_meant(value, period=True)}")
    unit = _UNITS[match[3]]
    return Allowance(_whole(value, match[1], match[2], unit), unit, match[4])


def _whole(written: object, number: str, factor: str, unit: Unit) -> int:
    """The number in whole units of what it counts."""
    exact = Decimal(number) * _FACTORS[factor] * (NANOS if unit == "usd" else 1)
    if exact % 1:
        least = "a billionth of a dollar" if unit == "usd" else "one"
        raise ValueError(f"{_shown(written)} is too fine: the smallest part is {least}")
    if exact <= 0:
        raise ValueError(f"{_shown(written)} allows nothing: write more than 0, or leave it out")
    if exact > _MOST[unit]:
        raise ValueError(f"{_shown(written)} is too much: at most {amount_text(_MOST[unit], unit)}")
    return int(exact)


def _shown(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        kinds = {dict: "a mapping", list: "a list", type(None): "nothing"}
        return kinds.get(type(value), quoted(str(value).lower()))
    return quoted(str(value))


# --- what was meant


def _meant_rate(value: object) -> str:
    found = _LOOSE.fullmatch(str(value).strip()) if isinstance(value, str | int) and value is not True else None
    if found is None or found["sign"]:
        return ""
    # `600 rpm` and `200k tpm` are what others call them.
    unit, period = found["unit"].lower(), (found["period"] or "").lower()
    if unit in ("rpm", "tpm") and not period:
        unit, period = "", "min"
    if unit in ("rps", "tps") and not period:
        unit, period = "", "s"
    if unit and unit not in _LIKE_A_UNIT:
        return ""
    span = _LIKE_A_SPAN.get(period, "" if period else "min")
    return _suggested(f"{_number(found)}/{span}", RATE) if span else ""


def _meant(value: object, *, period: bool) -> str:
    if isinstance(value, str) and _CURRENCY.search(value):
        return "; money is reckoned in USD alone, as prices are"
    found = _LOOSE.fullmatch(str(value).strip()) if isinstance(value, str) else None
    if found is None:
        return ""
    unit = "USD" if found["sign"] and not found["unit"] else _LIKE_A_UNIT.get(found["unit"].lower(), "")
    if not unit:
        return ""
    if not period:
        return _suggested(f"{_number(found)} {unit}", AMOUNT)
    span = _LIKE_A_PERIOD.get((found["period"] or "").lower(), "")
    return _suggested(f"{_number(found)} {unit}/{span}", ALLOWANCE) if span else ""


def _number(found: re.Match[str]) -> str:
    factor = {"k": "k", "K": "k", "m": "M", "M": "M"}.get(found["factor"], "")
    return found["number"].replace("_", "").replace(",", "") + factor


def _suggested(text: str, form: re.Pattern[str]) -> str:
    return f" (did you mean {quoted(text)}?)" if form.fullmatch(text) else ""


# --- back to text


def number_text(number: int) -> str:
    """With `k` or `M` where nothing of it is lost and it has at least four digits."""
    for factor in ("M", "k"):
        if number and number % _FACTORS[factor] == 0:
            return f"{number // _FACTORS[factor]}{factor}"
    return str(number)


def amount_text(number: int, unit: Unit) -> str:
    """`0.05 USD`, `20k tokens`."""
    if unit == "usd":
        return f"{(Decimal(number) / NANOS).normalize():f} USD"
    return f"{number_text(number)} {unit}"


def rate_text(limit: int, seconds: int) -> str:
    """`600/min`."""
    span = next(name for name, length in _SPANS.items() if length == seconds)
    return f"{number_text(limit)}/{span}"


def allowance_text(limit: int, unit: Unit, period: str) -> str:
    """`50 USD/day`."""
    return f"{amount_text(limit, unit)}/{period}"
