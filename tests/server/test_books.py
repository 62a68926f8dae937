"""The books of a gateway: every worker's journal is folded while it lives and to its end once it is dead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.errors import ConfigError
from penstock.gateway.books import FOLD_SECONDS, Books, open_books
from penstock.stores.journal import Journal
from penstock.stores.journal_reader import journals_in
from penstock.stores.ledger import Buried
from penstock.stores.sqlite import Database
from penstock.testing import SimLoop
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet, FleetWorker
from penstock.testing.simloop import run
from tests.stores.journals import closed, hold, opened, table

ATTEMPTS = "SELECT request, outcome, cost FROM attempts ORDER BY request"


def config(folder: Path, **more: Any) -> Config:
    return load_config({"auth": "open", "providers": {"sim": {}}, "state": f"sqlite:///{folder}/p.db", **more}, {})


def books_of(folder: Path, loop: SimLoop) -> Books:
    books = open_books(config(folder), loop.clock, SeededRandom(1), inline=True)
    assert books is not None
    return books


def journal_of(worker: FleetWorker) -> Journal:
    journal = worker.gateways[-1].shared.journal
    assert journal is not None
    return journal


def test_state_in_memory_keeps_nothing_and_gives_no_journal(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        memory = config(tmp_path, state="memory")
        assert open_books(memory, loop.clock, SeededRandom(1)) is None
        async with Fleet(loop, memory) as fleet:
            assert [worker.gateways[-1].shared.journal for worker in fleet.hired] == [None, None]

    run(serve)
    assert list(tmp_path.iterdir()) == []


def test_each_worker_has_a_journal_and_all_are_folded(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        books = books_of(tmp_path, loop)
        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            for number, worker in enumerate(fleet.hired):
                journal_of(worker).open(opened(f"{number}"))
                journal_of(worker).close(closed(f"{number}"))
            assert table(books.ledger, ATTEMPTS) == []
            await loop.clock.sleep(FOLD_SECONDS * 1.5)
            assert table(books.ledger, ATTEMPTS) == [("0", "ok", 100), ("1", "ok", 100)]
            journal_of(fleet.hired[0]).open(opened("last"))
            journal_of(fleet.hired[0]).close(closed("last"))

    run(serve)
    again = Database(tmp_path / "p.db")
    assert len(again.run_here(lambda c: c.execute(ATTEMPTS).fetchall())) == 3
    assert journals_in(tmp_path / "p.db-attempts") == {}
    again.close()


def test_a_dead_worker_s_open_attempts_are_posted_and_its_life_is_told(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        books = books_of(tmp_path, loop)
        told: list[tuple[str, Buried]] = []
        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            books.closed = lambda name, buried: told.append((name, buried))
            dead, alive = fleet.hired
            journal_of(dead).open(opened("a", holds=(hold(900),), input_cost=70, bound=900))
            journal_of(dead).open(opened("b", holds=(hold(900),)))
            journal_of(dead).close(closed("b", settled=(100,)))
            journal_of(alive).open(opened("c"))
            await loop.clock.sleep(1.0)
            dead.kill()
            await loop.clock.sleep(1.0)
            assert table(books.ledger, ATTEMPTS) == [("a", "lost", 70), ("b", "ok", 100)]
            ((name, buried),) = told
            assert (buried.posted, buried.lost, buried.spent) == (1, 1, {("day|acme", 1_764_115_200): 170})
            assert name not in journals_in(books.ledger.folder)
            # Its replacement has one of its own.
            journal_of(fleet.hired[2]).open(opened("d"))
            journal_of(fleet.hired[2]).close(closed("d"))
            journal_of(alive).close(closed("c"))
            await loop.clock.sleep(1.0)
            assert [request for request, _, _ in table(books.ledger, ATTEMPTS)] == ["a", "b", "c", "d"]

    run(serve)


def test_a_worker_that_lost_its_supervisor_is_waited_for(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        orphan = Journal(tmp_path / "p.db-attempts", "w0-orphan")
        orphan.open(opened("a", input_cost=1))
        orphan.open(opened("b", input_cost=1))

        def ends() -> None:
            orphan.close(closed("a"))
            orphan.end()

        loop.clock.call_later(1.5, ends)
        books = books_of(tmp_path, loop)
        began = loop.clock.monotonic()
        await books.open()
        assert 1.5 <= loop.clock.monotonic() - began < 2.0
        assert table(books.ledger, ATTEMPTS) == [("a", "ok", 100), ("b", "lost", 1)]
        await books.aclose()

    run(serve)


def test_where_no_budget_depends_on_it_nobody_is_waited_for(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        orphan = Journal(tmp_path / "p.db-attempts", "w0-orphan")
        orphan.open(opened("a", input_cost=1))
        books = books_of(tmp_path, loop)
        began = loop.clock.monotonic()
        await books.open(exact=False)
        assert loop.clock.monotonic() == began
        orphan.close(closed("a"))
        orphan.end()
        await loop.clock.sleep(3.0)
        assert table(books.ledger, ATTEMPTS) == [("a", "ok", 100)]
        assert books.ledger.written() == []
        await books.aclose()

    run(serve)


def test_one_that_does_not_end_is_folded_and_buried_later(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        orphan = Journal(tmp_path / "p.db-attempts", "w0-orphan")
        orphan.open(opened("a"))
        books = books_of(tmp_path, loop)
        began = loop.clock.monotonic()
        await books.open()
        assert loop.clock.monotonic() - began < 5.0
        orphan.close(closed("a"))
        orphan.open(opened("b", input_cost=1))
        await loop.clock.sleep(1.0)
        assert table(books.ledger, ATTEMPTS) == [("a", "ok", 100)]
        orphan.end()
        await loop.clock.sleep(2.0)
        assert table(books.ledger, ATTEMPTS) == [("a", "ok", 100), ("b", "lost", 1)]
        await books.aclose()

    run(serve)


def test_a_store_that_fails_is_tried_again_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def serve(loop: SimLoop) -> None:
        books = books_of(tmp_path, loop)

        def limit(pages: str) -> None:
            books.database.run_here(lambda c: c.execute("PRAGMA max_page_count = " + pages).fetchone())

        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            limit("1")
            for number in range(200):
                journal_of(fleet.hired[0]).open(opened(f"{number}"))
                journal_of(fleet.hired[0]).close(closed(f"{number}"))
            await loop.clock.sleep(10.0)
            assert caplog.text.count("the ledger cannot be written") == 1
            limit("100000")
            await loop.clock.sleep(2.0)
            assert "can be written again" in caplog.text
            assert table(books.ledger, "SELECT count(*) FROM attempts") == [200]

    run(serve)


def test_whatever_goes_wrong_is_told_once_and_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def serve(loop: SimLoop) -> None:
        books = books_of(tmp_path, loop)

        def do(statement: str) -> None:
            books.database.run_here(lambda c: c.execute(statement).fetchall())

        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            do("CREATE TRIGGER no BEFORE INSERT ON attempts BEGIN SELECT RAISE(ABORT, 'a fault of ours'); END")
            journal_of(fleet.hired[0]).open(opened("a"))
            journal_of(fleet.hired[0]).close(closed("a"))
            fleet.hired[0].kill()
            await loop.clock.sleep(5.0)
            assert caplog.text.count("a fault of ours\n") == 2  # what it was, and where
            do("DROP TRIGGER no")
            await loop.clock.sleep(2.0)
            assert table(books.ledger, ATTEMPTS) == [("a", "ok", 100)]

    run(serve)


@pytest.mark.parametrize("durability", ["process", "power"])
def test_journals_are_as_durable_as_the_configuration_says(tmp_path: Path, durability: str) -> None:
    async def serve(loop: SimLoop) -> None:
        wanted = config(tmp_path, durability=durability)
        books = open_books(wanted, loop.clock, SeededRandom(1), inline=True)
        async with Fleet(loop, wanted, books=books) as fleet:
            assert [journal_of(worker).power for worker in fleet.hired] == [durability == "power"] * 2
            with pytest.raises(ConfigError, match="durability changed"):
                await fleet.supervisor.adopt(
                    config(tmp_path, durability="power" if durability == "process" else "process")
                )

    run(serve)


def test_another_store_needs_a_restart(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        async with Fleet(loop, config(tmp_path), books=books_of(tmp_path, loop)) as fleet:
            with pytest.raises(ConfigError, match="state changed"):
                await fleet.supervisor.adopt(config(tmp_path, state="memory"))

    run(serve)


def test_a_budget_that_comes_with_a_reload_begins_with_what_was_spent(tmp_path: Path) -> None:
    async def serve(loop: SimLoop) -> None:
        books = books_of(tmp_path, loop)
        async with Fleet(loop, config(tmp_path), books=books) as fleet:
            now = loop.clock.wall()
            journal_of(fleet.hired[0]).open(opened("a", at=now))
            journal_of(fleet.hired[0]).close(closed("a", at=now))
            after = config(tmp_path, budgets=[{"scope": "tenant", "limit": "50 USD/day"}])
            await fleet.supervisor.adopt(after)
            (rule,) = after.rules
            assert books.ledger.spent(rule, "acme", int(now - now % 86400)) == 100

    run(serve)
