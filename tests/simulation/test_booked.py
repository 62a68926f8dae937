"""Histories of a whole gateway and its books: every invariant of money holds, and bugs that are planted are found."""

from __future__ import annotations

import logging

import pytest

from tests.simulation.booked import make_booked, play_booked, try_booked
from tests.simulation.booked_bugs import BUGS
from tests.simulation.planted import planted
from tests.simulation.proving import told, try_history

SEEDS = 16
BLOCKS = 4
# A seed that finds it.
FOUND_BY: dict[str, int] = {
    "meter: who leaves is not booked": 1,
    "meter: nothing is ever settled": 2,
    "meter: half of what it costs": 0,
    "meter: fallbacks have no row": 0,
    "journal: ends are not written": 0,
    "ledger: what was lost cost nothing": 20,
    "ledger: accounts have twice what rows have": 0,
    "ledger: the dead are not buried": 3,
    "ledger: a dead worker's journal is read twice": 0,
    "treasury: the books' word is not heard": 3,
    "limits: as many calls at a time as like": 21,
    "limits: tokens are given back": 3,
}


@pytest.fixture(autouse=True)
def _quiet(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "penstock")


@pytest.mark.parametrize("block", range(BLOCKS))
def test_histories(block: int) -> None:
    for seed in range(block * SEEDS // BLOCKS, (block + 1) * SEEDS // BLOCKS):
        history = make_booked(seed)
        found = try_history(history, try_booked)
        assert not found, told(history, found, try_booked)


def test_they_have_what_they_are_about() -> None:
    stories = [play_booked(make_booked(seed)) for seed in (1, 2, 3, 20)]
    rows = [row for story in stories for row in story.rows]
    assert {row.tenant for row in rows} == {"acme", "other"}
    assert {"ok", "cancelled", "lost"} <= {row.outcome for row in rows}
    assert any(story.kills for story in stories)
    assert any(rule.kind == "strict" for story in stories for rule in story.rules.values())
    assert any(got.status == 429 for story in stories for got in story.got)


def test_every_bug_has_its_seed() -> None:
    assert set(FOUND_BY) == set(BUGS)


@pytest.mark.parametrize("name", FOUND_BY)
def test_a_planted_bug_is_found(name: str) -> None:
    with planted(BUGS[name]):
        assert try_history(make_booked(FOUND_BY[name]), try_booked)
