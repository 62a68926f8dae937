"""A thousand histories of spending: never a nano-dollar above a hard limit, whoever dies and whatever clocks do."""

from __future__ import annotations

import os
import time

import pytest

from tests.simulation.proving import commit
from tests.simulation.spending import judge, make_history
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

TRIALS = int(os.environ.get("PENSTOCK_TRIALS", "1_000"))
# Runs of their own, so that they can stand side by side.
PARTS = 2


@pytest.mark.parametrize("part", range(PARTS))
def test_a_thousand_trials(part: int) -> None:
    granted = refused = cancelled = killed = early = 0
    began = time.process_time()
    seeds = range(part, TRIALS, PARTS)
    for seed in seeds:
        verdict = judge(make_history(seed))
        assert verdict.violations == [], f"seed {seed}, commit {commit()}: {verdict.violations[:5]}"
        granted += verdict.granted
        refused += verdict.refused
        cancelled += verdict.cancelled
        killed += verdict.killed
        early = max(early, verdict.most_early)
    tell(
        f"spending: {len(seeds):,} histories, 64 callers and 4 workers each: {granted:,} reservations,"
        f" {refused:,} refused, {cancelled:,} calls cancelled, {killed:,} workers killed;"
        f" 0 nano-dollars above a hard limit; at most {early:,} idle while somebody was refused;"
        f" {time.process_time() - began:.0f} CPU s"
    )
