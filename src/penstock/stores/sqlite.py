"""SQLite: one file, one connection that writes, in one thread of its own; the schema by numbered migrations.

Every piece of work is one transaction, and is durable (WAL, synchronous=FULL) once it has returned. Reading has a
connection and a thread of its own, so that a long query holds no write up.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import resources
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import quote

from penstock.errors import ConfigError

__all__ = ["Database", "Migration", "StoreFailed", "known_migrations", "open_reader", "pending"]

T = TypeVar("T")
Work = Callable[[sqlite3.Connection], T]

BUSY_SECONDS = 5.0
# "PSK1": whose file it is, for `file(1)` and for us.
APPLICATION = 0x50534B31
_MEMORY = ":memory:"


class StoreFailed(OSError):
    """The store cannot do its work now: the disk is full or fails, or another process holds it."""


class Migration(NamedTuple):
    """One step of the schema: `NNNN_name.sql`."""

    number: int
    name: str
    sql: str


def known_migrations() -> list[Migration]:
    """Those of this version, in order."""
    files = (file for file in (resources.files(__package__) / "migrations" / "sqlite").iterdir())
    found = [(file.name.removesuffix(".sql"), file) for file in files if file.name.endswith(".sql")]
    return sorted(Migration(int(name[:4]), name[5:], file.read_text("utf-8")) for name, file in found)


class Database:
    """A store's file, open for writing; made, and brought to this version's schema, where it must be.

    Args:
        path: its file, whose folder must exist; ":memory:" for one that nobody keeps.
        inline: work is done where it is asked for instead of in a thread: for virtual time.
        migrations: instead of this version's own.

    Raises:
        ConfigError: it cannot be opened, is no store of Penstock, or a later version wrote it.
    """

    def __init__(
        self, path: Path | str, *, inline: bool = False, migrations: Sequence[Migration] | None = None
    ) -> None:
        self.path = Path(path)
        self._inline = inline
        self._memory = str(path) == _MEMORY
        self._writing = _Desk("penstock-store")
        self._reading = self._writing if self._memory else _Desk("penstock-store-reads")
        self._looking: sqlite3.Connection | None = None
        known = known_migrations() if migrations is None else migrations
        try:
            self._writing.connection = _open(self.path, self._memory)
            _upgrade(self._writing.connection, self.path, known)
        except sqlite3.Error as error:
            self.close()
            raise _unusable(self.path, error) from error
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"<Database {self.path}>"

    async def run(self, work: Work[T]) -> T:
        """Do that in one transaction: all of it is kept once this returns, nothing where it raises.

        A caller that is cancelled meanwhile does not know which.

        Raises:
            StoreFailed: the file cannot be written or read now.
            sqlite3.IntegrityError: a constraint refuses it. Whatever else `work` raises.
        """
        return await self._do(self._writing, work, "BEGIN IMMEDIATE")

    async def read(self, work: Work[T]) -> T:
        """Do what only reads, on one consistent state, beside what is written; raises as `run`."""
        if self._reading.connection is None:
            self._reading.connection = open_reader(self.path, checked=False)
        return await self._do(self._reading, work, "BEGIN")

    def run_here(self, work: Work[T]) -> T:
        """As `run`, in this thread, which must wait: before the loop runs and after it has ended."""
        return self._writing.wait_for(lambda connection: _in_transaction(connection, work, "BEGIN IMMEDIATE"))

    def look(self, work: Work[T]) -> T:
        """Do a short reading in this thread, on what is committed: it waits for nobody. Raises as `run`."""
        if self._memory:
            connection = self._writing.connection
            if connection is None:
                raise StoreFailed("the store is closed")
        elif self._looking is None:
            connection = self._looking = open_reader(self.path, checked=False)
        else:
            connection = self._looking
        return _in_transaction(connection, work, "BEGIN")

    async def _do(self, desk: _Desk, work: Work[T], begin: str) -> T:
        connection = desk.connection
        if connection is None:
            raise StoreFailed("the store is closed")
        if self._inline:
            return _in_transaction(connection, work, begin)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(desk.thread, _in_transaction, connection, work, begin)

    def close(self) -> None:
        """End what is being done, and close; further calls do nothing."""
        # Who writes is the last: only it can bring the write-ahead log home into the file.
        self._reading.close()
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.close()
        writer = self._writing.connection
        if writer is not None and not self._memory:
            # Where somebody else reads, such as `penstock usage`, closing alone would leave the log as it is.
            with suppress(sqlite3.Error, StoreFailed):
                self._writing.wait_for(_bring_home)
        self._writing.close()


def _bring_home(connection: sqlite3.Connection) -> None:
    """Move the write-ahead log into the file, as far as nobody must be waited for."""
    connection.execute("PRAGMA busy_timeout = 0")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


class _Desk:
    """A connection and the one thread that works with it."""

    def __init__(self, name: str) -> None:
        self.connection: sqlite3.Connection | None = None
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def wait_for(self, work: Work[T]) -> T:
        if self.connection is None:
            raise StoreFailed("the store is closed")
        return self.thread.submit(work, self.connection).result()

    def close(self) -> None:
        self.thread.shutdown()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.close()


def _in_transaction(connection: sqlite3.Connection, work: Work[T], begin: str) -> T:
    try:
        connection.execute(begin)
        try:
            result = work(connection)
            connection.execute("COMMIT")
        except BaseException:
            # A full disk may have ended the transaction already.
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
    except (sqlite3.IntegrityError, sqlite3.ProgrammingError):
        raise
    except sqlite3.DatabaseError as error:
        raise StoreFailed(f"the store cannot be used: {error}") from error
    return result


def _open(path: Path, memory: bool) -> sqlite3.Connection:
    if not memory:
        try:
            # Made here rather than by SQLite, so that nobody else can read what callers used; -wal and -shm follow it.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise ConfigError(
                f"{path}: the store cannot be opened: {error.strerror or error}",
                do="Name a file in a folder that can be written with `state: sqlite:///FILE`, or `state: memory`.",
            ) from error
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # The first thing that reads the file.
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    return connection


def open_reader(path: Path, *, checked: bool = True) -> sqlite3.Connection:
    """A connection that only reads, for the command line beside the process that owns the file.

    Args:
        checked: whether its schema is compared with this version's.

    Raises:
        ConfigError: there is no such file, it is no store of Penstock, or of another version's schema.
    """
    try:
        return _reader(path, checked)
    except sqlite3.Error as error:
        raise _unusable(path, error) from error


def _reader(path: Path, checked: bool) -> sqlite3.Connection:
    if not path.exists():
        raise ConfigError(f"{path}: there is no such store", do="`penstock serve` makes it; `state:` names it.")
    where = f"file:{quote(str(path.absolute()))}?mode=ro"
    if not os.access(path.parent, os.W_OK) and not path.with_name(f"{path.name}-wal").exists():
        where += "&immutable=1"  # the files beside it, which even a reader needs, cannot be made
    connection = sqlite3.connect(where, uri=True, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA query_only = ON")
        if checked and pending(connection, path):
            raise ConfigError(
                f"{path}: an earlier version of Penstock wrote this store",
                do="`penstock db upgrade` brings it to this version, or start `penstock serve`, which does.",
            )
    except BaseException:
        connection.close()
        raise
    return connection


def pending(connection: sqlite3.Connection, path: Path, known: Sequence[Migration] | None = None) -> list[Migration]:
    """The migrations that a store still needs.

    Raises:
        ConfigError: it is not Penstock's, or a later version wrote it.
    """
    known = known_migrations() if known is None else known
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != APPLICATION and tables:
        raise ConfigError(f"{path}: this is not a store of Penstock", do="Name another file with `state:`.")
    if not tables:
        return list(known)
    done = {number for (number,) in connection.execute("SELECT number FROM migrations")}
    newest = max(done, default=0)
    latest = known[-1].number if known else 0
    if newest > latest:
        raise ConfigError(
            f"{path}: a later version of Penstock wrote this store: its schema is {newest}, this version's {latest}",
            do="Use that version, or put back a copy of the store made before it, or name another file with `state:`.",
        )
    return [migration for migration in known if migration.number not in done]


def _upgrade(connection: sqlite3.Connection, path: Path, known: Sequence[Migration]) -> None:
    needed = pending(connection, path, known)
    if not needed:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Another process may have done it between the look and the lock.
        for migration in pending(connection, path, known):
            _apply(connection, migration)
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _apply(connection: sqlite3.Connection, migration: Migration) -> None:
    # Not `executescript`, which would end the transaction: a schema is changed as a whole or not at all.
    connection.execute("PRAGMA application_id = 0x50534B31")
    connection.execute("CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT")
    for statement in _statements(migration.sql):
        connection.execute(statement)
    connection.execute("INSERT INTO migrations VALUES (?, ?)", (migration.number, migration.name))


def _statements(sql: str) -> list[str]:
    found, statement = [], ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            found.append(statement)
            statement = ""
    return found


def _unusable(path: Path, error: sqlite3.Error) -> ConfigError:
    if "not a database" in str(error) or "malformed" in str(error):
        return ConfigError(f"{path}: this is not a store: {error}", do="Name another file with `state:`.")
    return ConfigError(f"{path}: the store cannot be opened: {error}", do="See that nothing else holds that file.")
