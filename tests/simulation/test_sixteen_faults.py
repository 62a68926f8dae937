"""The sixteen faults in virtual time, both dialects, streamed and whole, all at once: what the real run asks for."""

from __future__ import annotations

from functools import cache

import pytest

from penstock.testing import SimLoop, run
from tests.house.trees import ROOT
from tests.sixteen.cases import CASES
from tests.sixteen.play import Part, parts_of, play_all
from tests.sixteen.story import Story
from tests.sixteen.virtual import Virtual

PARTS = parts_of(crossed=True)
SECONDS = 100.0


@cache
def played() -> tuple[dict[Part, Story], float]:
    """Every part's story, and how long all of them took."""

    async def main(loop: SimLoop) -> tuple[dict[Part, Story], float]:
        began = loop.time()
        async with Virtual(loop, PARTS) as scene:
            return await play_all(scene, PARTS), loop.time() - began

    return run(main, seed=6, leak_free=True)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_fault(part: Part) -> None:
    part.case.judge(played()[0][part])


def test_all_of_them_take_no_longer_than_they_may() -> None:
    assert played()[1] <= SECONDS


def test_every_one_stands_in_the_docs() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    assert all(f"| {case.number} | {case.title} |" in page for case in CASES)
    assert "| NO |" not in page
