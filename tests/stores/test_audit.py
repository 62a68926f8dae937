"""The audit log: what it holds, that it refuses every other write, and that any tampering with the file is found."""

from __future__ import annotations

import asyncio
import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from penstock.redact import Secret
from penstock.stores.audit import Head, Who, append, head_of, latest, page, verify
from penstock.stores.audit_log import AuditLog, head_file, read_head, write_head
from penstock.stores.sqlite import Database
from penstock.testing import FakeClock

ADMIN = Who("admin-key", "admin")
ENTRIES = 40


class Made(NamedTuple):
    """A change."""

    what: str
    subject: str = "k1"
    tenant: str = "acme"
    before: Any = None
    after: Any = None


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A store with so many entries."""
    path = tmp_path / "penstock.db"
    with closing(Database(path, inline=True)) as database:
        for number in range(ENTRIES):
            change = Made("key.create", f"k{number}", ("acme", "globex")[number % 2], None, {"name": f"k{number}"})
            database.run_here(lambda connection, change=change: append(connection, 1_000 + 1, ADMIN, change))  # type: ignore[misc]
    return path


def faults(path: Path, *heads: Head) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return list(verify(connection, *heads))


def tamper(path: Path, work: Callable[[sqlite3.Connection], object]) -> None:
    """As somebody who can write the file: the triggers are taken away, and put back afterwards."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        triggers = connection.execute("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
        connection.execute("BEGIN")
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        work(connection)
        for _, sql in triggers:
            connection.execute(sql)
        connection.execute("COMMIT")


def head_at(path: Path) -> Head:
    with closing(sqlite3.connect(path)) as connection:
        return latest(connection)


def test_an_entry_says_who_did_what_and_how_it_was_before(file: Path) -> None:
    with closing(Database(file, inline=True)) as database:
        change = Made("key.change", "k7", "acme", {"models": ["fast"]}, {"models": None})
        head = database.run_here(lambda connection: append(connection, 5, Who("key:ann", "tenant_admin"), change))
        (entry,) = database.run_here(lambda connection: page(connection, most=1))
    assert (entry.number, entry.at, entry.actor, entry.role) == (ENTRIES + 1, 5, "key:ann", "tenant_admin")
    assert (entry.what, entry.subject, entry.tenant) == ("key.change", "k7", "acme")
    assert (entry.before, entry.after) == ('{"models":["fast"]}', '{"models":null}')
    assert (entry.number, entry.hash) == head
    assert faults(file, head) == []


def test_it_is_kept_or_undone_with_the_change(file: Path) -> None:
    with closing(Database(file, inline=True)) as database:

        def fails(connection: sqlite3.Connection) -> None:
            append(connection, 1, ADMIN, Made("key.create"))
            raise LookupError

        with pytest.raises(LookupError):
            database.run_here(fails)
        assert database.run_here(latest).number == ENTRIES


def test_pages_and_whose_they_are(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        assert [entry.number for entry in page(connection, most=3)] == [40, 39, 38]
        assert [entry.number for entry in page(connection, before=38, most=2)] == [37, 36]
        assert [entry.number for entry in page(connection, most=2, tenant="globex")] == [40, 38]
        assert {entry.tenant for entry in page(connection, tenant="acme", most=1000)} == {"acme"}


def test_what_cannot_be_shown_is_not_written(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, pytest.raises(TypeError):
        append(connection, 1, ADMIN, Made("key.create", after={"secret": Secret("psk_live_hidden")}))


@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE audit SET what = 'nothing' WHERE number = 3",
        "UPDATE OR IGNORE audit SET actor = 'nobody'",
        "DELETE FROM audit WHERE number = 3",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT number, at, 'nobody', role, what, subject, tenant, before, after,"
        " previous, hash FROM audit WHERE number = 3",
        "INSERT INTO audit SELECT 99, at, actor, role, what, subject, tenant, before, after, hash, hash FROM audit"
        " WHERE number = 40",
        "INSERT INTO audit SELECT 41, at, actor, role, what, subject, tenant, before, after, previous, hash FROM audit"
        " WHERE number = 3",
    ],
)
def test_every_other_write_is_refused(file: Path, sql: str) -> None:
    with closing(sqlite3.connect(file)) as connection, pytest.raises(sqlite3.IntegrityError):
        connection.execute(sql)
    assert faults(file) == []


@pytest.mark.parametrize(
    "column", ["at", "actor", "role", "what", "subject", "tenant", "before", "after", "previous", "hash"]
)
def test_a_changed_column_is_found(file: Path, column: str) -> None:
    value: object = {"at": 7, "previous": b"x" * 32, "hash": b"x" * 32}.get(column, "other")
    tamper(file, lambda connection: connection.execute(f"UPDATE audit SET {column} = ? WHERE number = 20", (value,)))
    found = faults(file)
    assert found
    assert any("20" in fault for fault in found)


def test_a_removed_inserted_or_moved_entry_is_found(file: Path) -> None:
    def remove(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit WHERE number = 20")

    tamper(file, remove)
    assert faults(file) == ["entry 20 is missing"]

    def close_the_gap(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE audit SET number = number - 1 WHERE number > 20")

    tamper(file, close_the_gap)
    assert any("does not follow entry 19" in fault for fault in faults(file))


def test_two_that_changed_places_are_found(file: Path) -> None:
    def swap(connection: sqlite3.Connection) -> None:
        for before, after in ((10, 1000), (11, 10), (1000, 11)):
            connection.execute("UPDATE audit SET number = ? WHERE number = ?", (after, before))

    tamper(file, swap)
    assert len(faults(file)) >= 2


def test_an_end_that_was_cut_off_is_found_by_the_head(file: Path) -> None:
    head = head_at(file)
    tamper(file, lambda connection: connection.execute("DELETE FROM audit WHERE number > 35"))
    assert faults(file) == [], "what is left is a good chain: hence the head is kept elsewhere"
    assert faults(file, head) == ["the log ends with entry 35, and there was an entry 40: its end was cut off"]
    tamper(file, lambda connection: connection.execute("DELETE FROM audit"))
    assert faults(file, head) == ["the log ends with entry 0, and there was an entry 40: its end was cut off"]


def test_a_log_that_was_written_anew_is_found_by_the_head(file: Path) -> None:
    head = head_at(file)

    def forge(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit")
        for number in range(ENTRIES):
            append(connection, 1_001, ADMIN, Made("key.create", f"other{number}"))

    tamper(file, forge)
    assert faults(file) == []
    assert faults(file, head) == ["entry 40 is another one than the one that was noted: the log was written anew"]


def test_ten_thousand_tamperings_are_all_found(file: Path) -> None:
    """security.md 34, on copies in memory: one random edit, removal, copy, swap or cut each."""
    chance = random.Random(34)
    head = head_at(file)
    with closing(sqlite3.connect(file)) as connection:
        rows = connection.execute("SELECT * FROM audit ORDER BY number").fetchall()
        triggers = connection.execute("SELECT sql FROM sqlite_schema WHERE type = 'trigger'").fetchall()
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as memory:
        memory.execute(
            "CREATE TABLE audit (number, at, actor, role, what, subject, tenant, before, after, previous, hash)"
        )
        for (sql,) in triggers:
            memory.execute(f"-- kept for their names\n{sql}")
        shown = _Shown(memory)
        assert list(verify(shown.of(rows), head)) == []
        missed = 0
        for _ in range(10_000):
            missed += not list(verify(shown.of(_tampered(rows, chance)), head))
        assert missed == 0


def _tampered(rows: list[tuple[Any, ...]], chance: random.Random) -> list[tuple[Any, ...]]:
    left = list(rows)
    at, other = chance.sample(range(len(left)), 2)
    kind = chance.randrange(5)
    if kind == 0:
        column = chance.randrange(11)
        row = list(left[at])
        value = row[column]
        if isinstance(value, bytes):
            place = chance.randrange(len(value))
            row[column] = value[:place] + bytes([value[place] ^ 1 << chance.randrange(8)]) + value[place + 1 :]
        else:
            row[column] = value + 1 if isinstance(value, int) else f"{value or ''}x"
        left[at] = tuple(row)
    elif kind == 1:
        del left[at]
    elif kind == 2:
        left.insert(at, (left[at][0], *left[other][1:]))
    elif kind == 3:
        left[at], left[other] = (left[at][0], *left[other][1:]), (left[other][0], *left[at][1:])
    else:
        del left[at:]
    return sorted(left, key=lambda row: row[0])


class _Shown:
    """A connection whose table is what it is told: the rows are the edge, the check is real."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._rows: list[tuple[Any, ...]] = []

    def of(self, rows: list[tuple[Any, ...]]) -> Any:
        self._rows = rows
        return self

    def execute(self, sql: str) -> Any:
        return iter(self._rows) if "FROM audit" in sql else self._connection.execute(sql)


def test_lost_guards_are_told(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TRIGGER audit_stays")
    assert faults(file) == ["the table has lost its guards (audit_stays)"]


def test_a_heads_text() -> None:
    head = Head(17, bytes(range(32)))
    assert head_of(f" {head}\n") == head
    for text in ("", "17", "17:", "17:zz", f"-1:{'0' * 64}", f"x:{'0' * 64}", f"1:{'0' * 63}g", f"1:{'0' * 65}"):
        with pytest.raises(ValueError):
            head_of(text)


def test_the_head_is_kept_beside_the_store_and_told(file: Path) -> None:
    kept = head_file(file)
    told: list[str] = []

    async def run() -> None:
        with closing(Database(file)) as database:
            audit = AuditLog(database, FakeClock(), kept, told.append)
            await audit.add(ADMIN, Made("deployment.drain", "sim/small", ""))
            await audit.seal()

    asyncio.run(run())
    head = read_head(kept)
    assert head == head_at(file)
    assert head is not None
    assert head.number == ENTRIES + 1
    assert told == [f"audit {head}"]
    assert kept.name == "penstock.audit-head"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_head_that_the_log_has_lost_is_not_written_over(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = head_file(file)
    before = head_at(file)
    write_head(kept, before)
    tamper(file, lambda connection: connection.execute("DELETE FROM audit WHERE number > 35"))

    async def run() -> None:
        with closing(Database(file)) as database:
            audit = AuditLog(database, FakeClock(), kept)
            for _ in range(10):  # until the log is longer than it was
                await audit.add(ADMIN, Made("key.create"))

    asyncio.run(run())
    assert read_head(kept) == before
    assert "penstock audit verify" in caplog.text
    assert faults(file, before) == ["entry 40 is another one than the one that was noted: the log was written anew"]
