"""What one request may use in all."""

from __future__ import annotations

import pytest

from penstock.routing.allowance import Allowance, narrower


def shown(one: Allowance | None) -> tuple[object, ...] | None:
    return None if one is None else (one.usd, one.tokens, one.clamp, one.where)


@pytest.mark.parametrize(
    ("one", "other", "both"),
    [
        (None, None, None),
        (None, (None, 500, True, "limit"), (None, 500, True, "limit")),
        ((9, None, True, "own"), None, (9, None, True, "own")),
        ((9, None, True, "own"), (None, 500, True, "limit"), (9, 500, True, "limit")),
        ((9, 300, True, "own"), (None, 500, True, "limit"), (9, 300, True, "own")),
        ((9, 700, False, "own"), (None, 500, True, "limit"), (9, 500, False, "limit")),
    ],
)
def test_what_two_bounds_leave_is_the_less_of_both(
    one: tuple[int | None, int | None, bool, str] | None, other: tuple[int | None, int | None, bool, str] | None,
    both: tuple[object, ...] | None,
) -> None:  # fmt: skip
    def made(told: tuple[int | None, int | None, bool, str] | None) -> Allowance | None:
        return None if told is None else Allowance(told[0], told[1], clamp=told[2], where=told[3])

    assert shown(narrower(made(one), made(other))) == both
