"""A million simulated requests, of whose histories every invariant must hold; and every planted bug found in 500 seeds.

The million is counted in `histories.json` beside this file, by seeds: a run that was broken off is gone on with, and
another commit begins anew. `PENSTOCK_SEEDS=1000-2000` plays only those; `PENSTOCK_REQUESTS=N` ends after so many.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

import msgspec
import pytest

from tests.simulation.booked import judge_booked, make_booked, play_booked, try_booked
from tests.simulation.histories import History, make_history
from tests.simulation.invariants import judge
from tests.simulation.planted import BUGS, planted
from tests.simulation.playing import Story, play
from tests.simulation.proving import commit, told, try_history
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

BOOKED = int(os.environ.get("PENSTOCK_BOOKED", "300_000"))
MILLION = int(os.environ.get("PENSTOCK_REQUESTS", "1_000_000"))
SEEDS = os.environ.get("PENSTOCK_SEEDS", "0-1000000")
SUMS = Path(os.environ.get("PENSTOCK_SUMS", Path(__file__).with_name("histories.json")))
# More at a time than in `make test`: a history costs the same hours of idle time whatever is asked in them.
REQUESTS = 300
MOST_SEEDS = 500
# Of the booked: runs of their own, so that they can stand side by side.
PARTS = 2
WRITTEN_EVERY = 50


class Sums(msgspec.Struct):
    """What was played so far.

    Attributes:
        next: the first seed that was not.
    """

    commit: str
    next: int
    histories: int = 0
    requests: int = 0
    attempts: int = 0
    kills: int = 0
    virtual_seconds: float = 0.0
    cpu_seconds: float = 0.0
    violations: int = 0


def load_sums(first: int) -> Sums:
    """Those of an earlier run of the same code, if it played the same seeds from the first on."""
    fresh = Sums(commit(), first)
    if not SUMS.exists():
        return fresh
    known = msgspec.json.decode(SUMS.read_bytes(), type=Sums)
    return known if known.commit == fresh.commit and known.next >= first else fresh


def save_sums(sums: Sums) -> None:
    SUMS.write_bytes(msgspec.json.format(msgspec.json.encode(sums)) + b"\n")


def test_a_million_requests() -> None:
    logging.getLogger("penstock.server").setLevel(logging.CRITICAL)
    first, last = (int(part) for part in SEEDS.split("-"))
    sums = load_sums(first)
    found: list[str] = []
    while sums.requests < MILLION and sums.next < last and not found:
        history = make_history(sums.next, REQUESTS)
        began = time.process_time()
        violations = try_history(history, lambda one: judge(_added(sums, play(one))))
        sums.cpu_seconds += time.process_time() - began
        if violations:
            found.append(told(history, violations, try_history))
        sums.violations += len(violations)
        sums.next += 1
        if sums.histories % WRITTEN_EVERY == 0 or found:
            save_sums(sums)
    save_sums(sums)
    tell(
        f"simulation: {sums.requests:,} requests and {sums.attempts:,} attempts in {sums.histories:,} histories,"
        f" {sums.virtual_seconds / 3600:,.0f} virtual hours, {sums.kills:,} workers killed,"
        f" {sums.violations} violations;"
        f" {sums.requests / max(sums.cpu_seconds, 1e-9):,.0f} requests a CPU second"
    )
    assert not found, found[0]


def _added(sums: Sums, story: Story) -> Story:
    sums.histories += 1
    sums.requests += story.requests
    sums.attempts += len(story.arrivals)
    sums.kills += len(story.kills)
    sums.virtual_seconds += story.seconds
    return story


@pytest.mark.parametrize("part", range(PARTS))
def test_booked(part: int) -> None:
    """300,000 requests of tenants with limits, budgets and books."""
    logging.disable(logging.CRITICAL)
    requests = attempts = kills = refused = histories = 0
    began = time.process_time()
    for seed in range(part, 100_000, PARTS):
        if requests >= BOOKED / PARTS:
            break
        history = make_booked(seed, REQUESTS)
        story = None

        def trial(one: History) -> list[str]:
            nonlocal story
            story = play_booked(one)
            return judge_booked(story)

        found = try_history(history, trial)
        assert not found, told(history, found, try_booked)
        assert story is not None
        requests += story.requests
        attempts += len(story.rows)
        kills += len(story.kills)
        refused += sum(got.status == 429 for got in story.got)
        histories += 1
    logging.disable(logging.NOTSET)
    tell(
        f"booked: {requests:,} requests in {histories:,} histories, {attempts:,} attempts in the books,"
        f" {refused:,} refused, {kills:,} workers killed, 0 violations;"
        f" {requests / (time.process_time() - began):,.0f} a CPU second"
    )


@pytest.mark.parametrize("name", BUGS)
def test_every_planted_bug_is_found(name: str) -> None:
    logging.getLogger("penstock.server").setLevel(logging.CRITICAL)
    with planted(BUGS[name]):
        seed = next((seed for seed in range(MOST_SEEDS) if try_history(make_history(seed))), None)
    assert seed is not None, f"not found within {MOST_SEEDS} seeds"
    tell(f"planted: {name}: found by seed {seed}")
