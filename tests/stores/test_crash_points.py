"""A crash at any write, of a journal or of the store: after it the ledger has every attempt once.

The long version, with states within single writes and crashes during the recovery, is tests/soak/test_crashes.py.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stores.crashes import Picture, check, each_state, scenario
from tests.stores.journals import run


def folders(under: Path) -> Callable[[], Path]:
    numbers = itertools.count()

    def make() -> Path:
        folder = under / str(next(numbers))
        folder.mkdir(parents=True)
        return folder

    return make


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Picture]:
    return scenario(tmp_path_factory.mktemp("scenario"), 14).pictures


def test_pictures_are_of_every_kind(pictures: list[Picture]) -> None:
    kinds = {picture.what.removeprefix("before ") for picture in pictures}
    assert {"opened", "closed", "deletion"} <= kinds
    assert any(kind.startswith("BEGIN") for kind in kinds)
    # Of a log that was begun anew after a checkpoint, too.
    salts = {picture.files["penstock.db-wal"][16:24] for picture in pictures if "penstock.db-wal" in picture.files}
    assert len(salts) > 1
    assert len(pictures) > 200


def test_nothing_is_lost_or_doubled_at_any_of_them(pictures: list[Picture], tmp_path: Path) -> None:
    for number, (picture, ledger) in enumerate(each_state(pictures, folders(tmp_path))):
        run(ledger.recover())
        assert check(ledger, picture.truth) == [], (number, picture.what)
        ledger.database.close()


@pytest.mark.parametrize("fault", ["the offset is forgotten", "a row is lost", "a sum is doubled"])
def test_a_ledger_that_is_wrong_is_found(pictures: list[Picture], tmp_path: Path, fault: str) -> None:
    statement = {
        "the offset is forgotten": "UPDATE journals SET segment = 1, offset = 0",
        "a row is lost": "DELETE FROM attempts WHERE id = 1",
        "a sum is doubled": "UPDATE rollups SET cost = 2 * cost",
    }[fault]
    late = [picture for picture in pictures if len(picture.truth.closed) > 5][::20]
    found = 0
    for picture, ledger in each_state(late, folders(tmp_path)):
        ledger.database.run_here(lambda connection: connection.execute(statement).rowcount)
        run(ledger.recover())
        found += bool(check(ledger, picture.truth))
        ledger.database.close()
    assert found > len(late) // 3
