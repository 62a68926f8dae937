"""A process that is killed in the midst of it loses nothing, doubles nothing and holds nothing; 300 in `make soak`."""

from __future__ import annotations

from pathlib import Path

from tests.stores.killed import Killings


def test_kills(tmp_path: Path) -> None:
    killings = Killings(tmp_path, seed=1)
    for turn in range(1, 7):
        killings.kill(turn)
    assert killings.faults() == []
    assert len(killings.closed) > 100
    assert len(killings.opened) > len(killings.closed)
