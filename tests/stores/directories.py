"""A directory in a file of its own, worked with in the test's thread, on a clock moved by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from penstock.redact import Secret
from penstock.stores.directory import Directory, open_directory
from penstock.stores.directory_rows import MadeKey, NewKey
from penstock.stores.sqlite import Database
from penstock.testing import FakeClock, SeededRandom

ENCRYPTION_KEY = Secret("0123456789abcdef0123456789abcdef", "env:PENSTOCK_SECRET")


class Opened:
    """A directory, its store and its clock."""

    def __init__(self, folder: Path, encryption_key: Secret | None = ENCRYPTION_KEY) -> None:
        self.clock = FakeClock()
        self.db = Database(folder / "penstock.db", inline=True)
        try:
            self.directory: Directory = open_directory(self.db, folder, encryption_key, self.clock, SeededRandom(1))
        except BaseException:
            self.db.close()
            raise

    @property
    def now(self) -> int:
        return int(self.clock.wall())

    async def key(self, name: str = "app", **fields: Any) -> MadeKey:
        return await self.directory.keys.create(NewKey(name=name, **fields), "tester")

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.db.close()
