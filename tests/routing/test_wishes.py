"""What callers ask for besides the answer, in headers, and what is told of it where it cannot be read."""

from __future__ import annotations

import pytest

from penstock.errors import InvalidRequest
from penstock.routing.timeouts import read_seconds
from penstock.routing.wishes import Wishes, read_wishes, wishes_of


def test_who_says_nothing_wishes_for_nothing() -> None:
    assert wishes_of({b"host": b"h", b"x-penstock-user": b"u"}) is None
    assert wishes_of({}) is None


def test_everything_that_may_be_said() -> None:
    found = wishes_of(
        {
            b"x-penstock-deadline": b"1.5s",
            b"x-penstock-priority": b" high ",
            b"x-penstock-timeout": b"250ms",
            b"x-penstock-retries": b"0",
            b"x-penstock-fallbacks": b"smart, sim/large ,smart",
        }
    )
    assert found == Wishes(deadline=1.5, priority="high", timeout=0.25, retries=0, fallbacks=("smart", "sim/large"))
    assert found.overrides == "timeout, retries, fallbacks"


def test_what_anybody_may_say_is_no_override() -> None:
    found = wishes_of({b"x-penstock-deadline": b"2m", b"x-penstock-priority": b"sheddable"})
    assert found == Wishes(deadline=120.0, priority="sheddable")
    assert found.overrides == ""


def test_no_fallbacks_at_all() -> None:
    found = wishes_of({b"x-penstock-fallbacks": b"off"})
    assert found == Wishes(fallbacks=())
    assert found.overrides == "fallbacks"


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("deadline", "20", '"20" is not a duration: write 250ms, 20s or 2m (did you mean "20s"?)'),
        ("deadline", "0s", '"0s" is not a duration: write 250ms, 20s or 2m'),
        ("deadline", "-5s", '"-5s" is not a duration: write 250ms, 20s or 2m'),
        ("deadline", "4000d", '"4000d" is not a duration: write 250ms, 20s or 2m'),
        ("deadline", "nans", '"nans" is not a duration: write 250ms, 20s or 2m'),
        ("deadline", "", '"" is not a duration: write 250ms, 20s or 2m'),
        ("deadline", "٢٠s", '"٢٠s" is not a duration: write 250ms, 20s or 2m'),
        ("timeout", "5 s", '"5 s" is not a duration: write 250ms, 20s or 2m'),
        ("retries", "6", '"6" is not a number from 0 to 5'),
        ("retries", "-1", '"-1" is not a number from 0 to 5'),
        ("retries", "01", '"01" is not a number from 0 to 5'),
        ("retries", "²", '"²" is not a number from 0 to 5'),
        ("priority", "hihg", '"hihg" is not a priority: write one of critical, high, normal, low, sheddable'
                             ' (did you mean "high"?)'),
        ("fallbacks", "a,,b", "write the names of models with commas between them, or off"),
        ("fallbacks", "", "write the names of models with commas between them, or off"),
        ("fallbacks", ",".join(f"m{number}" for number in range(11)), "there are 11 names, and at most 10 may be"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told(name: str, text: str, told: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_wishes({name: text}, prefix="x-penstock-")
    assert (caught.value.message, caught.value.param) == (f"x-penstock-{name}: {told}", f"x-penstock-{name}")
    assert caught.value.status == 400


def test_what_is_said_in_two_places() -> None:
    base = Wishes(deadline=5.0, priority="low", retries=2)
    assert read_wishes({"deadline": "1s"}, base) == Wishes(deadline=1.0, priority="low", retries=2)


def test_durations() -> None:
    assert [read_seconds(text) for text in ("250ms", "1h", "0s", "x", "3651d")] == [0.25, 3600.0, 0.0, None, None]
