"""What a store is like from outside, and how it is brought to this version's schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import NamedTuple

from penstock.errors import ConfigError
from penstock.stores.journal_reader import journals_in
from penstock.stores.ledger import journals_of
from penstock.stores.retention import horizon_of
from penstock.stores.sqlite import Database, Migration, known_migrations, open_reader, pending

__all__ = ["Condition", "condition_of", "upgrade"]

_FREE = ("PRAGMA freelist_count", "PRAGMA page_size")


class Condition(NamedTuple):
    """How a store stands.

    Attributes:
        schema: the newest migration that it has; `latest`: the newest of this version; `missing`: those between.
        size: bytes of its file.
        attempts: how many are booked; `first`, `last`: when these were opened, Unix nanoseconds.
        open: attempts that were being answered when it was last folded.
        kept_since: from when on each attempt is a row, in Unix seconds; 0: from the first on.
        free: bytes in the file that are used again.
        journals: how many lie beside it, and `unread`: their bytes.
    """

    schema: int
    latest: int
    missing: tuple[str, ...]
    size: int
    attempts: int
    first: int | None
    last: int | None
    open: int
    kept_since: int
    free: int
    journals: int
    unread: int


def condition_of(path: Path) -> Condition:
    """How the store in that file stands; it may be in use.

    Raises:
        ConfigError: there is none, it is none of Penstock's, or a later version wrote it.
    """
    connection = open_reader(path, checked=False)
    try:
        missing = pending(connection, path)
        counts = _counts(connection) if _is_there(connection, "attempts") else (0, None, None, 0)
        since = horizon_of(connection) if _is_there(connection, "horizon") else 0
        (pages,), (page,) = (connection.execute(ask).fetchone() for ask in _FREE)
        (schema,) = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()
    except sqlite3.Error as error:
        raise ConfigError(f"{path}: the store cannot be read: {error}") from error
    finally:
        connection.close()
    folder = journals_of(path)
    journals = journals_in(folder)
    unread = sum(each.stat().st_size for each in folder.iterdir()) if journals else 0
    return Condition(
        schema,
        known_migrations()[-1].number,
        tuple(f"{migration.number:04d}_{migration.name}" for migration in missing),
        path.stat().st_size,
        *counts,
        since,
        pages * page,
        len(journals),
        unread,
    )


def _is_there(connection: sqlite3.Connection, table: str) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = ?", (table,)).fetchone() is not None


def _counts(connection: sqlite3.Connection) -> tuple[int, int | None, int | None, int]:
    (count,) = connection.execute("SELECT coalesce(sum(attempts), 0) FROM rollups WHERE dimension = 'day:'").fetchone()
    first, last = connection.execute("SELECT min(opened), max(opened) FROM attempts").fetchone()
    (open,) = connection.execute("SELECT count(*) FROM open_attempts").fetchone()
    return count, first, last, open


def upgrade(path: Path, copy: Path | None) -> list[Migration]:
    """Bring a store that nobody has in use to this version's schema; what was done.

    Args:
        copy: where a copy of it as it was is put first; None: nowhere.

    Raises:
        ConfigError: as `condition_of`; the copy's file is there already; or it cannot be written.
    """
    connection = open_reader(path, checked=False)
    try:
        missing = pending(connection, path)
    finally:
        connection.close()
    if missing and copy is not None:
        _copy(path, copy)
    if missing:
        Database(path).close()
    return missing


def _copy(path: Path, copy: Path) -> None:
    if copy.exists():
        raise ConfigError(f"{copy}: the copy is there already", do="Move it away, or leave it out with --no-copy.")
    connection = sqlite3.connect(path)
    try:
        connection.execute("VACUUM INTO ?", (str(copy),))
        copy.chmod(0o600)
    except sqlite3.Error as error:
        raise ConfigError(f"{copy}: the copy cannot be made: {error}", do="--no-copy leaves it out.") from error
    finally:
        connection.close()
