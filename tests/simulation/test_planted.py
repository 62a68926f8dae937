"""The checker sees: each planted bug is found by the seed named here, and by no accident of the code without it."""

from __future__ import annotations

import logging

import pytest

from tests.simulation.histories import make_history
from tests.simulation.planted import BUGS, planted
from tests.simulation.proving import try_history
from tests.simulation.test_histories import SEEDS as PLAYED

# A seed that finds it; `make soak` looks for one within 500.
SEEDS: dict[str, int] = {
    "judge: a refused request is sent again": 69,
    "judge: a refused request goes to another": 33,
    "judge: silence is asked again": 340,
    "judge: a filtered request goes to another": 94,
    "judge: no other after too many requests": 84,
    "judge: nobody else is asked": 12,
    "judge: no backoff": 49,
    "judge: attempts are not counted": 11,
    "judge: too many requests pause nobody": 24,
    "judge: a refused request is the provider's fault": 33,
    "attempts: whatever stands how it stands is asked": 0,
    "attempts: six are not all": 22,
    "deadline: the next attempt does not look at it": 88,
    "deadline: an attempt outlasts it": 20,
    "commit: a broken stream is begun anew": 1,
    "commit: nothing is held": 145,
    "commit: what breaks off ends well": 42,
    "breaker: never opens": 0,
    "breaker: half open for everybody": 65,
    "breaker: who leaves has seen it fail": 21,
    "breaker: never closes": 16,
    "breaker: stays open too long": 256,
    "breaker: stays open for moments": 71,
    "permits: one that is taken never lapses": 0,
    "quota: every retry is paid": 66,
    "health: a credential without quota goes on": 32,
    "health: a pause is not kept": 24,
    "health: everything is always ready": 0,
    "health: what refuses is asked in its pause too": 117,
    "gate: as many as like": 20,
    "gate: nobody is told of an end": 20,
    "gate: who has waited goes whatever happened": 125,
    "gate: who was passed over is not asked again": 82,
    "pool: what is unread stays in the connection": 32,
    "pool: connections are not let go of": 5,
    "pool: the credential goes to the next provider": 2,
    "resume: what was told is told again": 7,
    "resume: where nobody goes on nothing is said": 7,
    "callers: who is gone is answered": 0,
    "callers: who sends no more is taken for one who stays": 1,
    "callers: who reads nothing is not cut": 6,
    "callers: half a request is waited for": 1,
    "record: who left is forgotten": 5,
    "reload: forgets how everything stands": 71,
    "reload: cuts what runs": 95,
    "drain: cuts what runs": 29,
}


def test_every_bug_has_its_seed() -> None:
    assert set(SEEDS) == set(BUGS)
    assert len(BUGS) >= 24


@pytest.mark.parametrize("name", SEEDS)
def test_a_planted_bug_is_found(name: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "penstock.server")
    with planted(BUGS[name]):
        assert try_history(make_history(SEEDS[name]))


def test_what_was_planted_is_taken_out_again() -> None:
    bug = BUGS["breaker: never opens"]
    right = vars(bug.where)[bug.name]
    with planted(bug):
        assert vars(bug.where)[bug.name] is not right
    assert vars(bug.where)[bug.name] is right


@pytest.mark.parametrize("seed", sorted({seed for seed in SEEDS.values() if seed >= PLAYED}))
def test_without_it_nothing_is_found(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """Those below are `test_histories`' own."""
    caplog.set_level(logging.CRITICAL, "penstock.server")
    assert try_history(make_history(seed)) == []
