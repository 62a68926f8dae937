"""The store's file: transactions, migrations, what is refused, and reading beside the writer."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from penstock.errors import ConfigError
from penstock.stores.sqlite import Database, Migration, StoreFailed, known_migrations, open_reader

ONE = Migration(
    1, "one", "-- a comment; with a semicolon\nCREATE TABLE a (x INTEGER) STRICT;\nINSERT INTO a VALUES (1);\n"
)
TWO = Migration(2, "two", "ALTER TABLE a ADD COLUMN y INTEGER;\n")
BAD = Migration(2, "bad", "INSERT INTO a VALUES (2);\nCREATE TABLE a (x INTEGER) STRICT;\n")


def add(x: int) -> Callable[[sqlite3.Connection], None]:
    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO a (x) VALUES (?)", (x,))

    return work


def all_of(connection: sqlite3.Connection) -> list[int]:
    return [x for (x,) in connection.execute("SELECT x FROM a ORDER BY x")]


def test_the_file_alone_has_all_once_it_is_closed_though_somebody_still_reads_it(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    database = Database(file, migrations=[ONE])
    reader = open_reader(file, checked=False)
    database.run_here(add(2))
    assert all_of(reader) == [1, 2]
    database.close()
    assert (tmp_path / "a.db-wal").stat().st_size == 0, "it stays, as somebody reads, but nothing is in it"
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "a.db").write_bytes(file.read_bytes())
    copied = open_reader(tmp_path / "copy" / "a.db", checked=False)
    assert all_of(copied) == [1, 2]
    copied.close()
    reader.close()
    Database(file, migrations=[ONE]).close()
    assert [each.name for each in tmp_path.iterdir() if each.name != "copy"] == ["a.db"]


def test_who_reads_in_the_middle_of_a_transaction_does_not_hold_up_the_end(tmp_path: Path) -> None:
    file = tmp_path / "a.db"
    database = Database(file, migrations=[ONE])
    reader = open_reader(file, checked=False)
    reader.execute("BEGIN")
    assert all_of(reader) == [1]
    database.run_here(add(2))
    database.close()
    assert all_of(reader) == [1]
    reader.close()
    opened = Database(file, migrations=[ONE])
    assert opened.run_here(all_of) == [1, 2]
    opened.close()


def test_work_is_kept_or_undone_as_a_whole(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "a.db", migrations=[ONE])

        def fails(connection: sqlite3.Connection) -> None:
            add(2)(connection)
            raise LookupError

        with pytest.raises(LookupError):
            await database.run(fails)
        await database.run(add(3))
        assert await database.read(all_of) == [1, 3]
        database.close()

    asyncio.run(run())


def test_it_is_durable_and_checks_what_it_holds(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", migrations=[ONE])

    def pragmas(connection: sqlite3.Connection) -> list[int | str]:
        names = ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        return [connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names]

    assert database.run_here(pragmas) == ["wal", 2, 1, 5000]
    database.close()


def test_one_thread_writes_and_another_reads(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "a.db", migrations=[ONE])
        inside, done = threading.Event(), threading.Event()

        def slow(connection: sqlite3.Connection) -> str:
            add(2)(connection)
            inside.set()
            assert done.wait(10)
            return threading.current_thread().name

        writing = asyncio.ensure_future(database.run(slow))
        await asyncio.to_thread(inside.wait, 10)
        assert await database.read(all_of) == [1]  # not what is not committed; and it did not wait
        done.set()
        writer = await writing
        reader = await database.read(lambda _: threading.current_thread().name)
        assert len({writer, reader, threading.current_thread().name}) == 3
        assert await database.read(all_of) == [1, 2]
        database.close()

    asyncio.run(run())


def test_inline_work_is_done_in_the_caller_s_thread(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(":memory:", inline=True, migrations=[ONE])
        assert await database.run(lambda _: threading.current_thread()) is threading.current_thread()
        await database.run(add(2))
        assert await database.read(all_of) == [1, 2]
        database.close()

    asyncio.run(run())


def test_nobody_else_may_read_the_file(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", migrations=[ONE])
    for file in tmp_path.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    database.close()


def test_a_closed_one_says_so(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", migrations=[ONE])
    database.close()
    database.close()
    with pytest.raises(StoreFailed, match="closed"):
        asyncio.run(database.run(all_of))
    with pytest.raises(StoreFailed, match="closed"):
        database.run_here(all_of)


def test_a_closed_one_is_one_file(tmp_path: Path) -> None:
    async def run() -> None:
        database = Database(tmp_path / "a.db", migrations=[ONE])
        await database.run(add(2))
        await database.read(all_of)
        assert database.look(all_of) == [1, 2]
        database.close()

    asyncio.run(run())
    assert os.listdir(tmp_path) == ["a.db"]


def test_what_sqlite_cannot_do_is_an_oserror_and_a_refusal_is_none(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", migrations=[ONE])
    with pytest.raises(StoreFailed, match="no such table"):
        database.run_here(lambda connection: connection.execute("SELECT * FROM b"))
    with pytest.raises(sqlite3.IntegrityError):
        database.run_here(lambda connection: connection.execute("INSERT INTO a (x) VALUES ('text')"))
    database.close()


def test_a_full_disk_loses_nothing_that_was_there(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db", migrations=[ONE])

    def fill(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 10")
        connection.executemany("INSERT INTO a (x) VALUES (?)", ((x,) for x in range(100_000)))

    with pytest.raises(StoreFailed, match="full"):
        database.run_here(fill)
    assert database.run_here(all_of) == [1]
    database.close()


# --- migrations


def test_the_packaged_ones_count_from_one_without_a_gap() -> None:
    assert [migration.number for migration in known_migrations()] == list(range(1, len(known_migrations()) + 1))


def test_a_new_file_gets_them_all_and_an_old_one_what_it_lacks(tmp_path: Path) -> None:
    Database(tmp_path / "a.db", migrations=[ONE]).close()
    database = Database(tmp_path / "a.db", migrations=[ONE, TWO])
    assert database.run_here(lambda c: c.execute("SELECT x, y FROM a").fetchall()) == [(1, None)]
    assert database.run_here(lambda c: c.execute("SELECT * FROM migrations").fetchall()) == [(1, "one"), (2, "two")]
    database.close()


def test_one_that_fails_changes_nothing(tmp_path: Path) -> None:
    Database(tmp_path / "a.db", migrations=[ONE]).close()
    with pytest.raises(ConfigError, match="already exists"):
        Database(tmp_path / "a.db", migrations=[ONE, BAD])
    database = Database(tmp_path / "a.db", migrations=[ONE])
    assert database.run_here(all_of) == [1]
    database.close()


def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    Database(tmp_path / "a.db", migrations=[ONE, TWO]).close()
    with pytest.raises(ConfigError, match=r"later version .* its schema is 2, this version's 1") as caught:
        Database(tmp_path / "a.db", migrations=[ONE])
    assert "Use that version" in caught.value.do


# --- what is no store


def test_another_program_s_database_is_left_alone(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "a.db")
    foreign.execute("CREATE TABLE theirs (x)")
    foreign.close()
    with pytest.raises(ConfigError, match="not a store of Penstock"):
        Database(tmp_path / "a.db")


def test_a_file_that_is_no_database_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_text("models:\n" * 1000)
    with pytest.raises(ConfigError, match=r"a\.db: this is not a store"):
        Database(tmp_path / "a.db")
    assert (tmp_path / "a.db").read_text() == "models:\n" * 1000


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory") as caught:
        Database(tmp_path / "b" / "a.db")
    assert "state:" in caught.value.do


# --- reading beside the owner


def test_a_reader_sees_what_the_owner_has_committed(tmp_path: Path) -> None:
    database = Database(tmp_path / "a.db")
    reader = open_reader(tmp_path / "a.db")
    database.run_here(lambda c: c.execute("INSERT INTO journals VALUES ('w', 1, 2)"))
    assert reader.execute("SELECT * FROM journals").fetchall() == [("w", 1, 2)]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.execute("DELETE FROM journals")
    reader.close()
    database.close()


def test_a_reader_of_an_earlier_schema_is_told_to_upgrade(tmp_path: Path) -> None:
    Database(tmp_path / "a.db", migrations=[Migration(0, "older", ONE.sql)]).close()
    with pytest.raises(ConfigError, match="earlier version") as caught:
        open_reader(tmp_path / "a.db")
    assert "penstock db upgrade" in caught.value.do


def test_a_reader_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such store"):
        open_reader(tmp_path / "a.db")
    assert os.listdir(tmp_path) == []
