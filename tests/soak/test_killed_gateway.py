"""A whole gateway under load, killed 50 times: a worker, the supervisor, or all of it at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.billed import KINDS, Billed, provider
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

KILLS = 50


def test_books_and_provider_agree(tmp_path: Path) -> None:
    with provider() as (url, simulated):
        billed = Billed(tmp_path, url)
        for turn in range(KILLS):
            billed.more(25)
            billed.kill(KINDS[turn % len(KINDS)])
        billed.more(25)
        billed.end()
        faults, figures = billed.compare(simulated)
    assert faults == []
    tell(
        f"{figures.kills} kills of a gateway under load: {figures.calls:,} calls, {figures.attempts:,} attempts booked,"
        f" {figures.ok:,} agree with the provider to the token, {figures.lost} were posted: 0 lost, 0 doubled, 0 held"
    )
    assert figures.lost > 0
