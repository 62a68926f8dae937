"""Two books beside each other: how far apart they are, and when that is too far."""

from __future__ import annotations

from random import Random

import pytest

from penstock.providers.reconcile import Drift, Ours, reconcile
from penstock.providers.statement import Line, Statement

DOLLAR = 1_000_000_000


def statement(*lines: Line, days: tuple[str, ...] = ("2026-01-01", "2026-01-02")) -> Statement:
    return Statement("openai", list(days), list(lines))


def line(cost: int | None, day: str = "2026-01-01", model: str = "gpt-5", input: int | None = None) -> Line:
    return Line(day, model, input, input, cost)


def ours(cost: int, day: str = "2026-01-01", model: str = "gpt-5", unpriced: int = 0, input: int = 0) -> Ours:
    return Ours(line(cost, day, model, input), unpriced)


def test_equal_books_are_not_apart() -> None:
    random = Random(1)
    lines = [line(random.randrange(10**12), f"2026-01-0{1 + at % 2}", f"m{at % 7}") for at in range(200)]
    found = reconcile([Ours(each) for each in reversed(lines)], statement(*lines), 0.0)
    assert not found.wrong
    assert len(found.rows) == 14
    assert found.drifts["cost"] == Drift(*(sum(each.cost or 0 for each in lines),) * 2)
    assert all(row.drifts["cost"].ppm == 0.0 for row in found.rows)


@pytest.mark.parametrize(
    ("more", "wrong"), [(0, False), (100_000, False), (100_001, True), (-100_000, False), (-100_001, True)]
)
def test_a_drift_is_told_in_millionths_and_is_wrong_beyond_the_most(more: int, wrong: bool) -> None:
    found = reconcile([ours(DOLLAR + more)], statement(line(DOLLAR)), 100.0)
    assert found.drifts["cost"].ppm == pytest.approx(more / 1000)
    assert found.wrong is wrong


def test_a_row_may_be_a_cent_apart_as_bills_are_rounded_but_not_the_whole() -> None:
    small, large = line(20_000_000, model="small"), line(1000 * DOLLAR, model="large")
    found = reconcile(
        [ours(29_000_000, model="small"), ours(1000 * DOLLAR, model="large")], statement(small, large), 100.0
    )
    assert not found.wrong
    found = reconcile(
        [ours(31_000_000, model="small"), ours(1000 * DOLLAR, model="large")], statement(small, large), 100.0
    )
    assert found.wrong
    assert [row.wrong for row in found.rows] == [False, True]


def test_what_only_one_side_has() -> None:
    found = reconcile(
        [ours(5), ours(7, model="gpt-4"), ours(9, day="2026-01-09")], statement(line(5), line(3, "2026-01-02")), 100.0
    )
    assert [(row.day, row.model, row.side) for row in found.rows] == [
        ("2026-01-01", "gpt-4", "ours"),
        ("2026-01-01", "gpt-5", "both"),
        ("2026-01-02", "gpt-5", "theirs"),
    ]
    assert found.wrong
    assert found.rows[0].drifts["cost"].ppm == float("inf")


def test_nothing_on_one_side_and_nothing_used_is_no_row() -> None:
    assert reconcile([ours(0, model="free")], statement(line(5)), 100.0).rows[0].model == "gpt-5"
    assert not reconcile([ours(5), ours(0, model="free")], statement(line(5)), 0.0).wrong


def test_an_unknown_price_is_apart_however_little_is_missing() -> None:
    found = reconcile([ours(DOLLAR, unpriced=2)], statement(line(DOLLAR)), 100.0)
    assert found.wrong
    assert found.rows[0].unpriced == 2
    # Where only tokens are compared, prices do not matter.
    tokens = reconcile([ours(0, unpriced=2, input=10)], statement(line(None, input=10)), 0.0)
    assert not tokens.wrong
    assert set(tokens.drifts) == {"input", "output"}


def test_without_models_days_are_compared() -> None:
    found = reconcile([ours(4), ours(6, model="gpt-4")], statement(line(10, model="")), 0.0)
    assert [(row.day, row.model, row.drifts["cost"]) for row in found.rows] == [("2026-01-01", "", Drift(10, 10))]
    assert not found.wrong
