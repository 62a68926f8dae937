"""The sixteen provider faults against a real gateway process, all at once: the table of docs/reliability.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.test_sixteen_faults import play
from tests.sixteen.play import parts_of
from tests.sixteen.report import failures, table
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

SECONDS = 100.0


@pytest.mark.parametrize("workers", [1, 2])
def test_all_at_once(tmp_path: Path, workers: int) -> None:
    stories = play(tmp_path, parts_of(), workers)
    took = max(outcome.began + outcome.seconds for story in stories.values() for outcome in story.outcomes)
    for line in table(stories):
        tell(line)
    tell(f"{len(stories)} forms of the sixteen faults, all at once, in {took:.0f} s; workers: {workers}")
    assert not failures(stories)
    assert took <= SECONDS
