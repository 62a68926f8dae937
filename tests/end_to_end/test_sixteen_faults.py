"""The sixteen provider faults against a real gateway process, all but the one that takes a minute and a half.

That one, and all of them together, are in tests/soak/test_sixteen_faults.py; in virtual time they are in
tests/simulation/test_sixteen_faults.py.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.sixteen.cases import CASES, REFERENCE
from tests.sixteen.play import Part, parts_of, play_all
from tests.sixteen.real import Real
from tests.sixteen.story import Story

LONG = ("flapping",)
PARTS = parts_of([case for case in CASES if case.name not in LONG])


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> dict[Part, Story]:
    return play(tmp_path_factory.mktemp("sixteen"), PARTS)


def play(folder: Path, parts: list[Part], workers: int = 1) -> dict[Part, Story]:
    """Every part's story, from a gateway that ends well."""

    async def main() -> dict[Part, Story]:
        async with Real(folder, parts, workers) as scene:
            with scene.served as served:
                for part in parts:
                    if part.case is REFERENCE:
                        await scene.ask(part)  # the clients load half of themselves at their first call
                found = await play_all(scene, parts, apart=0.03)
                assert await asyncio.to_thread(served.stop) == 0
                assert "Traceback" not in served.told.text
                return found

    return asyncio.run(main())


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_a_fault(part: Part, stories: dict[Part, Story]) -> None:
    part.case.judge(stories[part])
