"""The ledger with each statement of SQL failing once, and cancelled at each: the next step makes it good."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from penstock.stores.ledger import Ledger
from penstock.stores.sqlite import StoreFailed
from tests.stores.crashes import Truth, check
from tests.stores.journals import Story, closed, hold, ledger_of, opened

At = Callable[[sqlite3.Connection], None]


class Statements:
    """Counts statements of the store's thread, and does something at the n-th."""

    def __init__(self, ledger: Ledger, nth: int, at: At) -> None:
        self.seen = 0
        self._ledger = ledger
        self._nth = nth
        self._at = at
        self._on = False

    def watch(self) -> None:
        self._ledger.database.run_here(self._install)
        self._on = True

    def stop(self) -> None:
        self._on = False

    def _install(self, connection: sqlite3.Connection) -> None:
        def told(_: str) -> None:
            self.seen += self._on
            if self._on and self.seen == self._nth:
                self._at(connection)

        connection.set_trace_callback(told)


def begun(folder: Path) -> tuple[Ledger, Story, Truth]:
    """A ledger that has folded an open attempt; its journal goes on with the end of that, and one that stays open."""
    ledger, story, truth = ledger_of(folder), Story(folder), Truth()
    first, second = (opened(name, holds=(hold(100),), input_cost=7, bound=100) for name in "ab")
    story.journal.open(first)
    asyncio.run(ledger.fold())
    end = closed("a", cost=50, settled=(50,))
    story.journal.close(end)
    story.journal.open(second)
    truth.opened = {"a": first, "b": second}
    truth.closed = {"a": end}
    story.journal.end()
    return ledger, story, truth


def test_each_statement_fails_once(tmp_path: Path) -> None:
    failures = 0
    for nth in itertools.count(1):
        (folder := tmp_path / str(nth)).mkdir()
        ledger, _, truth = begun(folder)
        statements = Statements(ledger, nth, lambda connection: connection.interrupt())
        statements.watch()

        async def run(ledger: Ledger) -> int:
            failed = 0
            for step in (ledger.fold, lambda: ledger.bury("w0")):
                for _ in range(3):
                    try:
                        await step()
                    except StoreFailed:
                        failed += 1
                    else:
                        break
            return failed

        failures += asyncio.run(run(ledger))
        statements.stop()
        assert check(ledger, truth) == [], nth
        ledger.database.close()
        if statements.seen < nth:
            break
    # Beginnings, ends and what only looks cannot be interrupted once they have begun; all else can.
    assert nth > 70
    assert failures > nth // 2


def test_a_cancellation_at_each_statement(tmp_path: Path) -> None:
    for nth in itertools.count(1):
        (folder := tmp_path / str(nth)).mkdir()
        ledger, _, truth = begun(folder)

        async def run(ledger: Ledger, nth: int) -> int:
            loop = asyncio.get_running_loop()
            running: asyncio.Task[object]
            over = threading.Event()

            def cancel(_: sqlite3.Connection) -> None:
                # The store's thread waits here until whoever waited for it does so no more.
                loop.call_soon_threadsafe(running.cancel)
                assert over.wait(20)

            statements = Statements(ledger, nth, cancel)
            await asyncio.to_thread(statements.watch)
            for step in (ledger.fold, lambda: ledger.bury("w0")):
                over.clear()
                running = loop.create_task(step())
                running.add_done_callback(lambda _: over.set())
                await asyncio.wait((running,))
                if running.cancelled():
                    await step()
            statements.stop()
            return statements.seen

        seen = asyncio.run(run(ledger, nth))
        assert check(ledger, truth) == [], nth
        ledger.database.close()
        if seen < nth:
            break
    assert nth > 70
