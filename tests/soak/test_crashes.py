"""Crashes by the thousand: at and within each single write, and of the recovery; and a process killed 300 times."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from penstock.stores.ledger import Ledger, journals_of
from penstock.stores.sqlite import Database
from tests.soak.figures import tell
from tests.stores.crashes import Camera, Picture, check, restore, scenario
from tests.stores.journals import run
from tests.stores.killed import Killings

pytestmark = pytest.mark.soak

KILLS = 300
# Of the states, each so many-th is also recovered under a camera.
AGAIN = 40


@contextmanager
def _restored(picture: Picture, make: Callable[[], Path]) -> Iterator[tuple[Path, Ledger]]:
    folder = make()
    restore(picture, folder)
    path = folder / "penstock.db"
    ledger = Ledger(Database(path, inline=True), journals_of(path), fold_bytes=900)
    try:
        yield folder, ledger
    finally:
        ledger.database.close()
        shutil.rmtree(folder)


def test_every_state_and_every_state_of_its_recovery(tmp_path: Path) -> None:
    numbers = itertools.count()

    def make() -> Path:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        return folder

    pictures = scenario(make(), 60, within=3).pictures
    again = 0
    for number, picture in enumerate(pictures):
        with _restored(picture, make) as (_, ledger):
            run(ledger.recover())
            assert check(ledger, picture.truth) == [], (number, picture.what)
        if number % AGAIN == 0:
            with _restored(picture, make) as (folder, ledger):
                camera = Camera(folder, picture.truth)
                camera.watch(ledger)
                run(ledger.recover())
                camera.stop()
            for second in camera.pictures:
                with _restored(second, make) as (_, ledger):
                    run(ledger.recover())
                    assert check(ledger, second.truth) == [], (number, picture.what, second.what)
                again += 1
    tell(f"crash points: {len(pictures)} states of a history, {again} of its recoveries: 0 lost, 0 doubled, 0 held")
    assert len(pictures) > 2000
    assert again > 500


def test_kills(tmp_path: Path) -> None:
    killings = Killings(tmp_path, seed=7)
    for turn in range(1, KILLS + 1):
        killings.kill(turn)
        if turn % 50 == 0:
            assert killings.faults() == []
    opened, closed = len(killings.opened), len(killings.closed)
    tell(f"{KILLS} kills: {opened:,} attempts opened, {closed:,} closed: 0 lost, 0 doubled, 0 held")
    assert closed > 50 * KILLS
