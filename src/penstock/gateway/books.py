"""The books of a gateway: its store, and the ledger in it, kept by one process while it or its workers write journals.

Each worker gets a journal of its own when it joins. What they write is folded into the ledger several times a second,
in the store's thread; the journal of one that has ended is folded to its end, and what it left open is posted. A store
that cannot be written holds nobody up until the journals are full.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from penstock.clock import Clock, Random
from penstock.config.keeping import MEMORY
from penstock.config.schema import Config
from penstock.errors import PenstockError
from penstock.reservation import Rule
from penstock.routing.scopes import Rules
from penstock.stores.calendar import window_at
from penstock.stores.centre import Keep, Member
from penstock.stores.journal import Journal
from penstock.stores.ledger import Buried, Ledger, journals_of
from penstock.stores.retention import forget, move_horizon
from penstock.stores.spending import Since
from penstock.stores.sqlite import Database, StoreFailed
from penstock.stores.taken import Taken, taken_lately

__all__ = ["Books", "must_be_exact", "open_books", "taken_before"]

log = logging.getLogger("penstock.server")

FOLD_SECONDS = 0.2
# After a step that failed: the disk may be full, and nothing is lost meanwhile.
AGAIN_SECONDS = 1.0
# How often it is looked for what is too old, and how long between two steps of deleting it.
FORGET_SECONDS = 3600.0
STEP_SECONDS = 0.1
# A worker without its supervisor ends within 2 s.
ORPHAN_SECONDS = 4.0

# What is not buried by then the next gateway takes up.
FAREWELL_SECONDS = 5.0

_Told = Callable[[str, Buried], object]


def open_books(config: Config, clock: Clock, random: Random, *, inline: bool = False) -> Books | None:
    """The books that a configuration asks for; None where its state is in memory.

    Args:
        inline: the store's work is done where it is asked for, not in a thread: for virtual time.

    Raises:
        ConfigError: the store cannot be used.
    """
    if config.state == MEMORY:
        return None
    return Books(Database(Path(config.state), inline=inline), clock, random, power=config.durability == "power")


def must_be_exact(rules: Iterable[Rule]) -> bool:
    """Whether what was spent and taken before must be known to the last call."""
    return any(rule.kind in ("budget", "strict") for rule in rules)


async def taken_before(books: Books, rules: Sequence[Rule], now: float) -> list[Taken]:
    """What was taken lately of the rates among these, by a gateway before this one; `now` in Unix seconds.

    Raises:
        PenstockError: the store cannot be read now.
    """
    moment = int(now * 1e9)
    try:
        return await books.database.read(lambda connection: list(taken_lately(connection, rules, moment)))
    except OSError as error:
        raise PenstockError(f"{books.database.path}: {error}", do="See to the disk, and try again.") from error


class Books:
    """Kept from `open` to `aclose`.

    Args:
        power: journals are safe from a loss of power, too.

    Attributes:
        ledger: whom to ask what was spent.
        failures: how often the store could not be written; `failing`: whether it cannot be now.
        closed: is told of every journal that was folded to its end: its name, and what its worker had spent.
    """

    def __init__(self, database: Database, clock: Clock, random: Random, *, power: bool = False) -> None:
        self.ledger = Ledger(database, journals_of(database.path))
        self.closed: _Told = lambda name, buried: None
        self._own: dict[str, Journal] = {}
        self._power = power
        self._clock = clock
        self._random = random
        self._names: dict[Member, str] = {}
        self._burials: set[asyncio.Task[None]] = set()
        self._folding: asyncio.Task[None] | None = None
        self._forgetting: asyncio.Task[None] | None = None
        self._retention: float | None = None
        self.failing = False
        self.failures = 0

    def __repr__(self) -> str:
        return f"<Books {self.ledger.database.path}, {len(self._names)} journals>"

    @property
    def database(self) -> Database:
        """The store."""
        return self.ledger.database

    async def open(self, *, exact: bool = True) -> None:
        """Take up what a gateway before this one left, and begin to fold; to be called before a worker is started.
        Where that was done it does nothing.

        Args:
            exact: what was spent must be known to the last call: workers that have lost their supervisor, and end by
                themselves within 2 s, are waited for.

        Raises:
            PenstockError: the store cannot be written, or a journal cannot be read.
        """
        if self._folding is not None:
            return
        try:
            left = await self._take_up(ORPHAN_SECONDS if exact else 0.0)
        except OSError as error:
            raise PenstockError(f"{self.database.path}: {error}", do="See to the disk, and start again.") from error
        if left:
            log.warning("%d attempts were open when the gateway ended last: posted by what is known of them", left)
        for name in self._orphans():
            self._begin(self._bury(name))
        self._folding = asyncio.get_running_loop().create_task(self._fold())

    async def _take_up(self, patience: float) -> int:
        deadline = self._clock.monotonic() + patience
        lost = 0
        while True:
            lost += (await self.ledger.recover()).lost
            if not self._orphans() or self._clock.monotonic() >= deadline:
                return lost
            await self._clock.sleep(FOLD_SECONDS)

    def retain(self, seconds: float | None) -> None:
        """Keep each attempt for so long from now on; None: for ever."""
        self._retention = seconds
        if seconds is not None and self._forgetting is None:
            self._forgetting = asyncio.get_running_loop().create_task(self._forget())

    async def _forget(self) -> None:
        """Each hour, what is older goes, a little at a time."""
        while True:
            keep, wait = self._retention, FORGET_SECONDS
            try:
                if keep is not None:
                    await self.database.run(partial(move_horizon, before=self._clock.wall() - keep))
                    while await self.database.run(forget):
                        await self._clock.sleep(STEP_SECONDS)
            except StoreFailed as error:
                log.warning("old attempts stay: %s", error)
            except Exception:
                log.exception("old attempts stay")
            await self._clock.sleep(wait)

    def _orphans(self) -> list[str]:
        """The journals of a gateway before this one whose workers still live."""
        return [name for name in self.ledger.written() if name not in self._own]

    async def adopt(self, rules: tuple[Rule, ...]) -> None:
        """Go by these rules from now on; a budget that is new begins with what was spent in its window so far.

        Raises:
            PenstockError: the store cannot be written now.
        """
        now = self._clock.wall()
        budgets = [Since(rule, window_at(rule.period, rule.zone, now).start) for rule in rules if rule.kind == "budget"]
        try:
            await self.ledger.adopt(budgets, now, Rules(rules).holds)
        except OSError as error:
            raise PenstockError(f"{self.database.path}: {error}", do="See to the disk, and try again.") from error

    # --- who writes

    def open_journal(self, who: str) -> Journal:
        """One that this process writes itself, until `aclose`.

        Args:
            who: of letters and digits, for its name.

        Raises:
            OSError: it cannot be made.
        """
        name = Ledger.new_name(who, self._clock, self._random)
        journal = Journal(self.ledger.folder, name, power=self._power)
        self._own[name] = journal
        return journal

    def leave(self) -> None:
        """In a forked child: those journals are the parent's."""
        for journal in self._own.values():
            journal.leave()

    def joined(self, member: Member) -> None:
        """A worker is connected: it gets its journal before it gets a configuration."""
        name = self._names[member] = Ledger.new_name(member.name, self._clock, self._random)
        member.channel.send(Keep(str(self.ledger.folder), name, self._power))

    def gone(self, member: Member) -> None:
        """A worker has ended, and writes no more."""
        name = self._names.pop(member, None)
        if name is not None:
            self._begin(self._bury(name))

    def _begin(self, burial: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(burial)
        self._burials.add(task)
        task.add_done_callback(self._burials.discard)

    async def _bury(self, name: str) -> None:
        while self.ledger.is_written(name):
            await self._clock.sleep(AGAIN_SECONDS)
        while True:
            try:
                buried = await self.ledger.bury(name)
            except Exception as error:  # noqa: BLE001 -- told; whatever it was, nothing is booked by halves
                self._failed(error)
                await self._clock.sleep(AGAIN_SECONDS)
            else:
                break
        if buried.lost:
            log.warning("%d attempts were open when a worker died: posted by what is known of them", buried.lost)
        self.closed(name, buried)

    # --- folding

    async def _fold(self) -> None:
        while True:
            try:
                behind = (await self.ledger.fold()).behind
            except Exception as error:  # noqa: BLE001 -- told; whatever it was, nothing is booked by halves
                self._failed(error)
                await self._clock.sleep(AGAIN_SECONDS)
            else:
                self._works()
                await self._clock.sleep(0.0 if behind else FOLD_SECONDS)

    def _failed(self, error: Exception) -> None:
        self.failures += 1
        if not self.failing:
            known = error if not isinstance(error, OSError) else None
            log.error("the ledger cannot be written, and is tried again every second: %s", error, exc_info=known)
        self.failing = True

    def _works(self) -> None:
        if self.failing:
            log.warning("the ledger can be written again")
        self.failing = False

    async def aclose(self) -> None:
        """Bring the ledger up to date, once the workers have ended, and close the store.

        What cannot be written now is taken up by the next gateway.
        """
        try:
            if self._forgetting is not None:
                self._forgetting.cancel()
                await asyncio.wait((self._forgetting,))
            if self._folding is not None:
                self._folding.cancel()
                await asyncio.wait((self._folding,))
                for name, journal in self._own.items():
                    journal.end()
                    self._begin(self._bury(name))
            with suppress(TimeoutError):
                async with self._clock.timeout(FAREWELL_SECONDS):
                    while self._burials:
                        await asyncio.wait(self._burials)
        finally:
            for task in self._burials:
                task.cancel()
            self.close()

    def close(self) -> None:
        """Close the store at once; what is not in the ledger yet the next gateway takes up."""
        for journal in self._own.values():
            journal.end()
        with suppress(OSError):  # what is not empty stays
            self.ledger.folder.rmdir()
        self.database.close()
