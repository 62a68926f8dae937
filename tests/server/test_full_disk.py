"""A disk that is full: what cannot be written down is not sent, callers hear why, somebody is told, nothing is lost."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway.alerting import UNNOTED
from penstock.gateway.books import Books, open_books
from penstock.gateway.watch import LOOK_SECONDS
from penstock.stores.journal import Journal
from penstock.stores.recompute import differences
from penstock.testing import ScriptedUpstream, SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from penstock.testing.simloop import run
from tests.server.test_steward import SECRET
from tests.stage import Caller, chat


def config(folder: Path) -> Config:
    source = {
        "auth": "open",
        "providers": {"sim": {}},
        "state": f"sqlite:///{folder}/p.db",
        "alerts": {"webhook": {"url": "http://127.0.0.1:9000/hook", "secret": "env:HOOK"}},
    }
    return load_config(source, {"HOOK": SECRET})


def books_of(folder: Path, loop: SimLoop) -> Books:
    books = open_books(config(folder), loop.clock, SeededRandom(1), inline=True)
    assert books is not None
    return books


@contextmanager
def full(journal: Journal) -> Iterator[None]:
    """Its file lies where the kernel has no room for a single byte."""
    kept, nowhere = os.dup(journal._file), os.open("/dev/full", os.O_WRONLY)
    os.dup2(nowhere, journal._file)
    try:
        yield
    finally:
        os.dup2(kept, journal._file)
        os.close(kept)
        os.close(nowhere)


def rows(folder: Path) -> list[Any]:
    connection = sqlite3.connect(folder / "p.db")
    try:
        assert differences(connection) == []
        assert connection.execute("SELECT count(*) FROM open_attempts").fetchone() == (0,)
        return connection.execute("SELECT outcome, output_tokens FROM attempts ORDER BY id").fetchall()
    finally:
        connection.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_journal_without_room(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        receiver = ScriptedUpstream(b"HTTP/1.1 204 No Content\r\n\r\n", clock=loop.clock)
        await loop.create_server(receiver.connection, "127.0.0.1", 9000)
        async with Fleet(loop, config(tmp_path), workers=1, books=books_of(tmp_path, loop)) as fleet:
            journal = fleet.hired[0].gateways[-1].shared.journal
            assert journal is not None
            caller, other = await Caller.connect(fleet.addresses[0]), await Caller.connect(fleet.addresses[0])
            body = chat(model="sim/small:head=2s")
            running = loop.create_task(other.post(body))
            await loop.clock.sleep(1.0)
            with full(journal):
                for path in ("/v1/chat/completions", "/v1/messages"):
                    refused = await caller.post(chat(model="sim/small", max_tokens=9), path)
                    assert refused.status == 503
                    assert refused.headers["retry-after"] == "1"
                    assert b"he ledger cannot be written: No space left on device" in refused.body
                # What was sent before goes on to its end, which is written once there is room.
                assert (await running).status == 200
                assert journal.owed == 1
                await loop.clock.sleep(2 * LOOK_SECONDS)
                await fleet.supervisor.report()
                metrics = fleet.supervisor.overview.metrics
                assert metrics.unwritten.series == {(): 2}
                assert metrics.ledger_failing.series == {(): 0}
            assert (await caller.post(chat(model="sim/small"))).status == 200
            assert journal.owed == 0
            caller.close()
            other.close()
            return [msgspec.json.decode(request.body) for request in receiver.requests]

    told = run(main)
    assert [each["type"] for each in told] == ["penstock.ledger.refused"]
    assert [outcome for outcome, _ in rows(tmp_path)] == ["ok", "ok"]


def test_a_store_without_room(tmp_path: Path) -> None:
    """Calls go on, as the journals have room; it is told although it cannot be noted; then all of it is folded."""

    async def main(loop: SimLoop) -> list[dict[str, Any]]:
        receiver = ScriptedUpstream(b"HTTP/1.1 204 No Content\r\n\r\n", clock=loop.clock)
        await loop.create_server(receiver.connection, "127.0.0.1", 9000)
        books = books_of(tmp_path, loop)
        async with Fleet(loop, config(tmp_path), workers=1, books=books) as fleet:
            metrics = fleet.supervisor.overview.metrics
            caller = await Caller.connect(fleet.addresses[0])

            def bound(connection: sqlite3.Connection, pages: int) -> None:
                connection.execute(f"PRAGMA max_page_count = {pages}")  # no caller's words

            books.database.run_here(lambda connection: bound(connection, 1))
            times = 0
            while not books.failing:
                # Users whom nobody has seen yet need room in every table.
                for _ in range(40):
                    assert (await caller.post(chat(model="sim/small"), x_penstock_task=f"task-{times}")).status == 200
                    times += 1
                await loop.clock.sleep(1.0)
                assert times < 2_000
            assert (await caller.post(chat(model="sim/small"))).status == 200
            await loop.clock.sleep(2 * LOOK_SECONDS)
            await fleet.supervisor.report()
            assert metrics.ledger_failing.series == {(): 1}
            told = [msgspec.json.decode(request.body) for request in receiver.requests]
            books.database.run_here(lambda connection: bound(connection, 1_000_000))
            await loop.clock.sleep(3.0)
            await fleet.supervisor.report()
            assert metrics.ledger_failing.series == {(): 0}
            caller.close()
            assert times
            return [*told, {"times": times + 1}]

    *told, last = run(main)
    assert [each["type"] for each in told] == ["penstock.ledger.failing"]
    assert "penstock.ledger.failing".removeprefix("penstock.") in UNNOTED
    assert len(rows(tmp_path)) == last["times"]
