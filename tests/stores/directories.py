"""A directory in a file of its own, worked with in the test's thread, on a clock moved by hand."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

from penstock.clock import Clock
from penstock.redact import Secret
from penstock.stores.directory import Directory, open_directory
from penstock.stores.directory_rows import MadeKey, NewKey
from penstock.stores.sqlite import Database, StoreFailed
from penstock.testing import FakeClock, SeededRandom

T = TypeVar("T")

ENCRYPTION_KEY = Secret("0123456789abcdef0123456789abcdef", "env:PENSTOCK_SECRET")


class FailingDatabase(Database):
    """A store that does nothing while `failure` says why not: its disk is away.

    Attributes:
        operations: how many there have been.
        fails: which of them fails, counted from 1; 0: none.
        done: the one that fails is done all the same: only its answer is lost.
    """

    failure = ""
    operations = 0
    fails = 0
    done = False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._try(super().run(work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._try(super().read(work))

    def look(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self.operations += 1
        lost = self.operations == self.fails
        if self.failure or (lost and not self.done):
            raise StoreFailed(self.failure or "this one operation")
        found = super().look(work)
        if lost:
            raise StoreFailed("this one operation, after it was done")
        return found

    async def _try(self, operation: Coroutine[Any, Any, T]) -> T:
        self.operations += 1
        lost = self.operations == self.fails
        if self.failure or (lost and not self.done):
            operation.close()
            raise StoreFailed(self.failure or "this one operation")
        found = await operation
        if lost:
            raise StoreFailed("this one operation, after it was done")
        return found


class Opened:
    """A directory, its store and its clock."""

    def __init__(
        self, folder: Path, encryption_key: Secret | None = ENCRYPTION_KEY, clock: Clock | None = None
    ) -> None:
        self.hand = FakeClock()
        self.clock = clock if clock is not None else self.hand
        self.db = FailingDatabase(folder / "penstock.db", inline=True)
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
