"""The books of a gateway that is all in one process: a program that uses the library, or an ASGI application.

They are those of `penstock serve`, with one journal, the process's own. The store is locked for as long as they are
kept, since only one process can know what of a budget is in hand; they are opened by the first call that needs them,
as that has to wait for what a gateway before this one left.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Set
from contextlib import suppress
from pathlib import Path
from typing import Protocol
from weakref import WeakSet

from penstock.clock import Clock, Random
from penstock.config.keeping import MEMORY
from penstock.config.schema import Config
from penstock.config.stored_rules import with_rules, with_tenants
from penstock.errors import ConfigError, Overloaded
from penstock.gateway.books import Books, must_be_exact, open_books, taken_before
from penstock.records import Record
from penstock.stores.directory_rows import unusual_in
from penstock.stores.lock import StateLock, read_owner
from penstock.stores.purse import open_purse
from penstock.stores.rulebook import rules_in
from penstock.stores.sqlite import Database, StoreFailed
from penstock.stores.treasury import Treasury

__all__ = ["LAST_SECONDS", "OwnBooks", "open_own_books"]

# How long calls that are cut off may take to end. What then is not over, nobody reads: it is posted.
LOOK_SECONDS, LAST_LOOKS = 0.01, 50
# A program that ends may not come back before a budget's window has ended: for so long it is tried to send its alerts.
LAST_SECONDS = 2.0


class Busy(Protocol):
    """A gateway."""

    @property
    def live(self) -> Set[Record]:
        """What it is answering."""
        ...


class Watching(Protocol):
    """Who watches the spending (`gateway/steward.py`)."""

    async def aclose(self, patience: float = 0.0) -> None:
        """With patience there is a last look, and a try to be heard; again: nothing more."""


def open_own_books(config: Config, clock: Clock, random: Random, *, inline: bool = False) -> OwnBooks | None:
    """The books that a configuration asks for; None where its state is in memory.

    Args:
        inline: as `open_books` has it.

    Raises:
        ConfigError: the store cannot be used, or somebody else has it.
    """
    if config.state == MEMORY:
        return None
    lock = _lock(Path(config.state))
    try:
        books = open_books(config, clock, random, inline=inline)
        assert books is not None
        try:
            return OwnBooks(_with_stored(config, books.database), clock, books, lock)
        except BaseException:
            books.close()
            raise
    except BaseException:
        lock.release()
        raise


class OwnBooks:
    """Kept until `aclose`, and ready once `open` has returned.

    Args:
        lock: of the store's folder; released with them.

    Attributes:
        config: the one that was given, with the limits, budgets and tenants of the store.
        books: the store, and what folds.
        journal: where the gateway writes its attempts down.
        purse: what limits and budgets leave, by what the ledger knows was spent.
        ready: whether they are open.
        watching: who watches what is spent, closed with them, after a last look.

    Raises:
        ConfigError: the journal cannot be made.
    """

    def __init__(self, config: Config, clock: Clock, books: Books, lock: StateLock) -> None:
        self.books = books
        self.ready = False
        self.watching: Watching | None = None
        self.config = config
        self._clock = clock
        self._lock = lock
        self._opening: asyncio.Task[None] | None = None
        self._over = False
        try:
            self.journal = books.open_journal("own")
        except OSError as error:
            raise ConfigError(
                f"{books.ledger.folder}: the journal cannot be made: {error.strerror or error}"
            ) from error
        self._treasury = Treasury(clock, books.ledger.spent)
        self._treasury.adopt(config.rules)
        self.purse = open_purse(self._treasury, clock)
        _process.kept.add(self)

    def __repr__(self) -> str:
        return f"<OwnBooks {self.books.database.path}>"

    async def open(self) -> None:
        """Take up what was left, and begin; who comes meanwhile waits for the same, and afterwards nobody does.

        Raises:
            PenstockError: the store cannot be written now; the next call tries again.
            Overloaded: they are closed.
        """
        while not self.ready:
            if self._over:
                raise Overloaded("this Penstock is closed", do="Make another one.")
            if self._opening is None:
                self._opening = asyncio.get_running_loop().create_task(self._open())
            opening = self._opening
            try:
                # Who leaves while it is done leaves the others waiting for it.
                await asyncio.shield(opening)
            finally:
                if opening.done() and self._opening is opening:
                    self._opening = None

    async def _open(self) -> None:
        rules = self.config.rules
        await self.books.open(exact=must_be_exact(rules))
        await self.books.adopt(rules)
        self._treasury.remember(await taken_before(self.books, rules, self._clock.wall()))
        self.books.retain(self.config.retention)
        self.ready = True

    async def aclose(self, gateway: Busy | None = None) -> None:
        """Bring the ledger up to date and let the store go; further calls do nothing.

        What cannot be written now, and what is left where this is cancelled, the next gateway takes up.

        Args:
            gateway: whose connections are closed: its calls end by that, and are booked as they do. None: none run.
        """
        if self._over:
            return
        self._over = True
        try:
            try:
                await self._end(gateway)
            finally:
                if self.watching is not None:
                    await self.watching.aclose()
                await self.books.aclose()
        finally:
            self.abandon()

    async def _end(self, gateway: Busy | None) -> None:
        """Wait for calls that are cut off, and have what they spent looked at once more."""
        for _ in range(LAST_LOOKS):
            if gateway is None or not gateway.live:
                break
            await self._clock.sleep(LOOK_SECONDS)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait((self._opening,))
        if self.watching is not None:
            with suppress(OSError):  # the watch meets the same, and says so
                while (await self.books.ledger.fold()).behind:
                    pass
            await self.watching.aclose(LAST_SECONDS)

    def abandon(self) -> None:
        """Let the store go at once, for where the loop on which they were kept is gone.

        What was not folded stands in the journal.
        """
        self._over = True
        self.books.close()
        self._lock.release()
        _process.kept.discard(self)

    def leave(self) -> None:
        """In a forked child: all of it is the parent's, and must not be kept alive or touched here."""
        self._over = True
        self.ready = False
        self.books.leave()
        self._lock.leave()


class _Process:
    """What this process keeps, and what its parent kept when it forked: never to be closed here, so never freed."""

    def __init__(self) -> None:
        self.kept: WeakSet[OwnBooks] = WeakSet()
        self._left: list[OwnBooks] = []
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._leave)

    def _leave(self) -> None:
        for books in list(self.kept):
            books.leave()
            self._left.append(books)
        self.kept.clear()


_process = _Process()


def _with_stored(config: Config, database: Database) -> Config:
    """Raises ConfigError where the store cannot be read."""
    try:
        config = with_tenants(config, database.look(unusual_in))
        rules = database.look(rules_in)
    except StoreFailed as error:
        raise ConfigError(f"{database.path}: {error}", do="See to the disk, and start again.") from error
    return with_rules(config, rules)


def _lock(store: Path) -> StateLock:
    """Raises ConfigError, in the words of a program: it has no command line."""
    try:
        return StateLock(store.parent)
    except ConfigError as error:
        if not isinstance(error.__cause__, BlockingIOError):
            raise
        owner = read_owner(store.parent)
        if owner is not None and owner.pid == os.getpid():
            raise ConfigError(
                f"{store}: this process has that folder's state open already", do="Share that one, or close it first."
            ) from error
        raise ConfigError(
            error.message,
            do="Ask that one with Penstock.connect, end it, or name a file in another folder with `state:`.",
        ) from error
