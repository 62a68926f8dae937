"""What the directory's parts write with: one transaction a change, a version for each, a word to whoever listens."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from typing import TypeVar

from penstock.clock import Clock, Ids
from penstock.errors import Conflict
from penstock.stores.directory_rows import Change
from penstock.stores.sqlite import Database
from penstock.stores.vault import Vault

__all__ = ["Desk", "require_version", "unnoted"]

T = TypeVar("T")


def unnoted(connection: sqlite3.Connection, change: Change) -> None:
    """Note nothing."""


class Desk:
    """Shared by the parts of one directory.

    Attributes:
        declared: tenants that the configuration file declares, and where: they are not in the store, and nothing of
            their name can be.
        named: tenants that its keys name besides; they may be in the store or not.
        changed: called after each change that was kept.
    """

    def __init__(self, db: Database, vault: Vault, clock: Clock, ids: Ids) -> None:
        self.db = db
        self.vault = vault
        self.ids = ids
        self.declared: Mapping[str, str] = {}
        self.named: frozenset[str] = frozenset()
        self.changed: Callable[[], object] = lambda: None
        self._clock = clock

    def now(self) -> int:
        """Unix seconds."""
        return int(self._clock.wall())

    async def write(self, work: Callable[[sqlite3.Connection, int], T]) -> T:
        """Change something at the directory's next version; nothing is changed where it raises.

        Raises:
            StoreFailed: the store cannot be written now.
        """

        def change(connection: sqlite3.Connection) -> T:
            (version,) = connection.execute("UPDATE directory SET version = version + 1 RETURNING version").fetchone()
            return work(connection, version)

        found = await self.db.run(change)
        self.changed()
        return found


def require_version(found: int, wanted: int | None, what: str) -> None:
    """Let a change go on that was made for that version of a row; None: for any.

    Raises:
        Conflict: the row is another one by now (412).
    """
    if wanted is not None and found != wanted:
        raise Conflict(
            f"{what} was changed meanwhile: it is at version {found}, not {wanted}",
            do="Look at it again, and send the change for what it is now.",
            status=412,
        )
