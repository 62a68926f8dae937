"""Windows of the calendar: in which minute, hour, day, week or month of a zone a moment lies, and when that ends.

The windows of one period follow each other without a gap, whatever a zone's clocks do: a day may have 23 or 25 hours,
an hour that is lived through twice is two windows, and a midnight that is skipped or comes twice begins its day once,
at the first moment of it. Weeks begin on Mondays. Moments are Unix seconds. Pure.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["PERIODS", "Window", "load_zone", "window_at"]

PERIODS = ("minute", "hour", "day", "week", "month")
_SECONDS = {"minute": 60, "hour": 3600}
_DAY = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Window(NamedTuple):
    """From one moment on, up to but not including another."""

    start: int
    end: int


@lru_cache(maxsize=256)
def load_zone(name: str) -> tzinfo:
    """A zone by its name in the IANA database, which the system has or the package `tzdata`; UTC needs neither.

    Raises:
        ValueError: there is none of that name.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, LookupError, ValueError):  # a folder's name, an unknown one, one that leads elsewhere
        raise ValueError(f"no time zone is called {name!r}") from None


def window_at(period: str, zone: str, moment: float) -> Window:
    """The window of a period that a moment lies in.

    Raises:
        ValueError: no such zone.
        KeyError: no such period.
    """
    where, second = load_zone(zone), int(moment // 1)
    if period in _SECONDS:
        return _short(_SECONDS[period], where, second)
    return _long(_DATES[period], where, second)


def _short(size: int, zone: tzinfo, second: int) -> Window:
    """As the clock on the wall is divided; what changes the clocks divides it too."""
    offset = _offset(zone, second)
    start = second - (second + offset) % size
    end = start + size
    if _offset(zone, start) != offset:
        start = _first(start, second, lambda moment: _offset(zone, moment) == offset)
    if _offset(zone, end - 1) != offset:
        end = _first(second, end - 1, lambda moment: _offset(zone, moment) != offset)
    return Window(start, end)


def _long(step: Callable[[date, int], date], zone: tzinfo, second: int) -> Window:
    first = step(_local(zone, second).date(), 0)
    # Where clocks go back over midnight, the date of yesterday is read once more after today has begun.
    if second >= _begin(zone, step(first, 1)):
        first = step(first, 1)
    return Window(_begin(zone, first), _begin(zone, step(first, 1)))


def _begin(zone: tzinfo, day: date) -> int:
    """The first moment at which it is that day, or one after it, in a zone."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    found = int(midnight.timestamp())
    if _local(zone, found).replace(tzinfo=None) != midnight.replace(tzinfo=None):
        # There is no such midnight: clocks go forward over it.
        found = _first(found - _DAY, found, lambda moment: _local(zone, moment).date() >= day)
    return found


def _first(before: int, at: int, holds: Callable[[int], bool]) -> int:
    """The first moment after `before`, up to `at`, from which on something holds."""
    while at - before > 1:
        middle = (before + at) // 2
        if holds(middle):
            at = middle
        else:
            before = middle
    return at


def _local(zone: tzinfo, second: int) -> datetime:
    return (_EPOCH + timedelta(seconds=second)).astimezone(zone)


def _offset(zone: tzinfo, second: int) -> int:
    away = _local(zone, second).utcoffset()
    return int(away.total_seconds()) if away is not None else 0


def _days(day: date, ahead: int) -> date:
    return day + timedelta(days=ahead)


def _weeks(day: date, ahead: int) -> date:
    return day + timedelta(days=7 * ahead - day.weekday())


def _months(day: date, ahead: int) -> date:
    months = day.year * 12 + day.month - 1 + ahead
    return date(months // 12, months % 12 + 1, 1)


_DATES = {"day": _days, "week": _weeks, "month": _months}
