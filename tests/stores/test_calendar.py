"""Windows of the calendar: where clocks change, days are skipped or begin twice, and that there is never a gap."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from penstock.stores.calendar import PERIODS, load_zone, window_at

HOUR = 3600
DAY = 24 * HOUR
# Half an hour of summer time, midnights that are skipped, midnights that come twice, odd offsets, a day left out.
ZONES = (
    *("UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/St_Johns"),
    *("America/Sao_Paulo", "Asia/Beirut", "Africa/Cairo", "America/Havana", "Pacific/Apia", "America/Toronto"),
    *("Africa/Monrovia", "Antarctica/Troll", "Asia/Gaza"),
)


def at(text: str, zone: str, fold: int = 0) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp())


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("minute", "2026-03-04T11:22:00", "2026-03-04T11:23:00"),
        ("hour", "2026-03-04T11:00:00", "2026-03-04T12:00:00"),
        ("day", "2026-03-04T00:00:00", "2026-03-05T00:00:00"),
        ("week", "2026-03-02T00:00:00", "2026-03-09T00:00:00"),
        ("month", "2026-03-01T00:00:00", "2026-04-01T00:00:00"),
    ],
)
def test_in_utc(period: str, start: str, end: str) -> None:
    assert window_at(period, "UTC", utc("2026-03-04T11:22:33") + 0.9) == (utc(start), utc(end))


def test_a_day_with_23_hours_and_one_with_25() -> None:
    spring = window_at("day", "Europe/Berlin", at("2026-03-29T12:00", "Europe/Berlin"))
    autumn = window_at("day", "Europe/Berlin", at("2026-10-25T12:00", "Europe/Berlin"))
    assert (spring.end - spring.start, autumn.end - autumn.start) == (23 * HOUR, 25 * HOUR)
    assert spring.start == at("2026-03-29T00:00", "Europe/Berlin")
    assert autumn.end == at("2026-10-26T00:00", "Europe/Berlin")


def test_an_hour_that_is_lived_through_twice_is_two_windows() -> None:
    first = window_at("hour", "Europe/Berlin", at("2026-10-25T02:30", "Europe/Berlin", fold=0))
    second = window_at("hour", "Europe/Berlin", at("2026-10-25T02:30", "Europe/Berlin", fold=1))
    assert first.end == second.start == utc("2026-10-25T01:00")
    assert second.end - second.start == HOUR


def test_half_an_hour_is_lived_through_twice() -> None:
    """Lord Howe goes back from 2:00 to 1:30."""
    before = window_at("hour", "Australia/Lord_Howe", at("2026-04-05T01:45", "Australia/Lord_Howe", fold=0))
    after = window_at("hour", "Australia/Lord_Howe", at("2026-04-05T01:45", "Australia/Lord_Howe", fold=1))
    assert before.end == after.start
    assert (before.end - before.start, after.end - after.start) == (HOUR, HOUR // 2)


def test_a_midnight_that_is_skipped() -> None:
    """Cairo goes from 0:00 to 1:00: the day begins at one o'clock."""
    day = window_at("day", "Africa/Cairo", at("2026-04-24T12:00", "Africa/Cairo"))
    assert day.start == at("2026-04-24T01:00", "Africa/Cairo")
    assert day.end - day.start == 23 * HOUR


def test_a_midnight_that_comes_twice() -> None:
    """Newfoundland went back from 0:01 to 23:01: its day had begun and is not begun again."""
    zone = "America/St_Johns"
    day = window_at("day", zone, at("2010-11-07T12:00", zone))
    assert day.start == at("2010-11-07T00:00", zone, fold=0)
    again = at("2010-11-06T23:30", zone, fold=1)
    assert day.start < again < day.end
    assert window_at("day", zone, again) == day


def test_a_day_that_never_was() -> None:
    """Samoa went from the 29th to the 31st of December 2011."""
    zone = "Pacific/Apia"
    before = window_at("day", zone, at("2011-12-29T23:00", zone))
    after = window_at("day", zone, at("2011-12-31T01:00", zone))
    assert before.end == after.start
    assert window_at("week", zone, after.start).start == at("2011-12-26T00:00", zone)


def test_unknown_zones_are_refused() -> None:
    for name in ("Mars/Olympus", "", "../etc/passwd", "Europe", "utc\0"):
        with pytest.raises(ValueError, match="no time zone"):
            load_zone(name)
    assert load_zone("UTC") is UTC


@given(st.sampled_from(PERIODS), st.sampled_from(ZONES), st.integers(0, 2**32 - 1))
@example("day", "America/St_Johns", 1_289_098_900)
@example("hour", "Africa/Monrovia", 63_593_069)
def test_windows_follow_each_other_without_a_gap(period: str, zone: str, moment: int) -> None:
    window = window_at(period, zone, moment)
    assert window.start <= moment < window.end
    assert window_at(period, zone, window.start) == window
    assert window_at(period, zone, window.end - 1) == window
    following = window_at(period, zone, window.end)
    assert following.start == window.end
    assert window_at(period, zone, window.start - 1).end == window.start
    most = {"minute": 60, "hour": HOUR, "day": 26 * HOUR, "week": 7 * DAY + 2 * HOUR, "month": 31 * DAY + 2 * HOUR}
    assert window.end - window.start <= most[period]


@given(st.sampled_from(ZONES), st.integers(0, 2**32 - 1), st.data())
def test_the_same_window_for_all_of_its_moments(zone: str, moment: int, data: st.DataObject) -> None:
    for period in PERIODS:
        window = window_at(period, zone, moment)
        assert window_at(period, zone, data.draw(st.integers(window.start, window.end - 1))) == window
