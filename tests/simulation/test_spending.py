"""Nobody spends more than there is: 64 callers, four workers, at the limit, with cancels, deaths and clocks that jump.

A thousand histories are played in `make soak`. Each planted bug is found by the seed named here.
"""

from __future__ import annotations

import pytest

from tests.simulation.planted import planted
from tests.simulation.spending import judge, make_history
from tests.simulation.spending_bugs import BUGS

TRIALS = 32

SEEDS: dict[str, int] = {
    "lease: what is leased is not debited": 1,
    "lease: ends with its holder, whatever that spent": 5,
    "lease: what the dead had told counts twice": 6,
    "lease: what a dead one has is never settled": 5,
    "lease: not all or nothing": 0,
    "lease: granted to one who was stopped": 1,
    "lease: a grant that nobody waits for": 0,
    "lease: what is freed near the limit is kept": 0,
    "lease: an overrun is not booked": 0,
    "lease: what goes back goes twice": 0,
    "lease: what was spent is told twice": 0,
    "lease: spent once it has ended": 7,
    "lease: nobody is asked for what is idle": 1,
    "window: a zone is UTC": 1,
    "window: a day has 24 hours": 6,
    "window: the old one goes on": 0,
    "window: leases outlive theirs": 10,
    "window: one that comes again is empty": 31,
    "window: begins with nothing spent": 0,
    "strict: sixty buckets": 1,
    "strict: what comes back comes back now": 1,
    "gcra: forgets too fast": 3,
    "leaky: all at once": 4,
    "reload: forgets what was spent": 18,
}


@pytest.mark.parametrize("seed", range(TRIALS))
def test_never_a_nano_dollar_above_a_hard_limit(seed: int) -> None:
    history = make_history(seed)
    assert (history.callers, history.workers) == (64, 4)
    assert judge(history).violations == []


def test_the_histories_are_at_the_limit_and_hold_what_they_should() -> None:
    histories = [make_history(seed) for seed in range(TRIALS)]
    assert sum(len(history.kills) for history in histories) >= 20
    assert sum(bool(history.jumps) for history in histories) >= 5
    assert sum(bool(history.reloads) for history in histories) >= 2
    verdicts = [judge(history) for history in histories[:3]]
    assert all(verdict.granted > 30 and verdict.cancelled > 10 for verdict in verdicts)
    assert sum(verdict.refused for verdict in verdicts) > 300


def test_every_bug_has_its_seed() -> None:
    assert set(SEEDS) == set(BUGS)
    assert max(SEEDS.values()) < TRIALS, "so that each is known to find nothing where nothing is wrong"
    for room in ("lease", "window", "strict", "gcra"):
        assert any(name.startswith(room) for name in BUGS)


@pytest.mark.parametrize("name", SEEDS)
def test_a_planted_bug_is_found(name: str) -> None:
    with planted(BUGS[name]):
        assert judge(make_history(SEEDS[name])).violations


def test_the_same_seed_is_the_same_history() -> None:
    assert judge(make_history(3)) == judge(make_history(3))
