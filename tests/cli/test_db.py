"""`penstock db`: how a store stands, whether its sums are right, and its upgrade."""

from __future__ import annotations

import json
import os
import sqlite3
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from penstock.cli.db import command
from penstock.errors import ConfigError
from penstock.stores.lock import StateLock
from penstock.stores.sqlite import Database, known_migrations
from tests.stores.journals import Story, ledger_of, opened, run


def db(*arguments: str) -> Result:
    return CliRunner().invoke(command, arguments)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    ledger, story = ledger_of(tmp_path), Story(tmp_path)
    for number in range(3):
        story.attempt(str(number))
    story.journal.open(opened("open"))
    run(ledger.fold())
    ledger.database.close()
    story.journal.end()
    return tmp_path / "penstock.db"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "penstock.db"
    Database(path, migrations=known_migrations()[:1]).close()
    return path


def test_status(store: Path) -> None:
    told = db("status", "--store", str(store))
    assert told.exit_code == 0, told.output
    latest = known_migrations()[-1].number
    assert f"schema     {latest}, this version's is {latest}\n" in told.stdout
    assert "attempts   3, from 2025-11-26 01:00 to 2025-11-26 01:00 UTC\n" in told.stdout
    assert "; 1 attempts open\n" in told.stdout
    assert "in use by" not in told.stdout
    with_json = json.loads(db("status", "--store", str(store), "--json").stdout)
    assert (with_json["attempts"], with_json["open"], with_json["missing"], with_json["owner"]) == (3, 1, [], None)


def test_status_says_who_has_it_in_use(store: Path) -> None:
    lock = StateLock(store.parent)
    lock.tell("http://127.0.0.1:8485")
    assert f"in use by  process {os.getpid()}, http://127.0.0.1:8485\n" in db("status", "--store", str(store)).stdout
    lock.release()
    (store.parent / "penstock.lock").write_text('{"pid": 2147483646}')
    assert "in use by" not in db("status", "--store", str(store)).stdout


def test_verify_finds_a_sum_that_is_wrong(store: Path) -> None:
    told = db("status", "--store", str(store), "--verify")
    assert (told.exit_code, "agree with every attempt" in told.stdout) == (0, True)
    connection = sqlite3.connect(store)
    connection.execute("UPDATE rollups SET cost = cost + 1 WHERE dimension = 'tenant'")
    connection.commit()
    connection.close()
    told = db("status", "--store", str(store), "--verify")
    assert told.exit_code == 1
    assert "DIFFERS    sum of tenant 'acme'" in told.stdout
    assert json.loads(db("status", "--store", str(store), "--verify", "--json").stdout)["differences"]


def test_upgrade_keeps_a_copy(old: Path) -> None:
    latest = known_migrations()[-1]
    assert "missing    0002_" in db("status", "--store", str(old)).stdout
    told = db("upgrade", "--store", str(old))
    assert told.exit_code == 0, told.output
    assert f"{latest.number:04d}_{latest.name}\n" in told.stdout
    copy = old.with_name("penstock.db.schema-1")
    assert f"as it was: {copy}" in told.stdout
    assert copy.stat().st_mode & 0o777 == 0o600
    connection = sqlite3.connect(copy)
    assert connection.execute("SELECT max(number) FROM migrations").fetchone() == (1,)
    connection.close()
    assert f"the schema is {latest.number}, this version's" in db("upgrade", "--store", str(old)).stdout
    Database(old).close()


def test_upgrade_without_a_copy(old: Path) -> None:
    assert "as it was" not in db("upgrade", "--store", str(old), "--no-copy").stdout
    assert sorted(path.name for path in old.parent.iterdir()) == ["penstock.db"]


def test_upgrade_overwrites_no_copy(old: Path) -> None:
    old.with_name("penstock.db.schema-1").touch()
    failed = db("upgrade", "--store", str(old))
    assert isinstance(failed.exception, ConfigError)
    assert "is there already" in failed.exception.message
    assert "missing" in db("status", "--store", str(old)).stdout


def test_upgrade_needs_the_store_for_itself(old: Path) -> None:
    lock = StateLock(old.parent)
    assert isinstance(db("upgrade", "--store", str(old)).exception, ConfigError)
    lock.release()
    assert "missing" in db("status", "--store", str(old)).stdout


@pytest.mark.parametrize("what", ["status", "upgrade"])
def test_what_is_no_store_is_told(tmp_path: Path, what: str) -> None:
    none = db(what, "--store", str(tmp_path / "none.db")).exception
    assert isinstance(none, ConfigError)
    assert "there is no such store" in none.message
    later = tmp_path / "later.db"
    Database(later).close()
    connection = sqlite3.connect(later)
    connection.execute("INSERT INTO migrations VALUES (999, 'later')")
    connection.commit()
    connection.close()
    refused = db(what, "--store", str(later)).exception
    assert isinstance(refused, ConfigError)
    assert "later version" in refused.message
