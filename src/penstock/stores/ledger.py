"""The ledger: every attempt at a provider once, by what the workers wrote in their journals.

`fold` brings what they wrote since into the store. How far it has come stands in the same transaction, so that a
crash between any two steps loses nothing and doubles nothing; a journal's file is deleted only once what was in it
is durable. What a dead worker left open is posted (`bury`), by what is known of it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from penstock.clock import Clock, Random, uuid7
from penstock.reservation import Rule
from penstock.stores.attribution import Question, Tally, usage_of
from penstock.stores.bookings import lost, stranger
from penstock.stores.journal import segment_path
from penstock.stores.journal_reader import Row, is_written, journals_in, read_piece
from penstock.stores.patience import patiently
from penstock.stores.posting import Ended, Settled, post
from penstock.stores.recompute import differences
from penstock.stores.rows import Closed, Heard, Opened
from penstock.stores.spending import Holds, Since, adopt_rules, spent_of
from penstock.stores.sqlite import Database

__all__ = ["Buried", "Folded", "Ledger", "journals_of"]

log = logging.getLogger("penstock.stores")

# So much of the journals goes into one transaction.
FOLD_BYTES = 4 * 1024 * 1024
# The thread that folds has the interpreter for itself for so long only: requests may be answered in the same process.
PIECE_BYTES = 32 * 1024
# Of each account, what a worker took is remembered for so many windows: it lives on into a new one.
MOST_WINDOWS = 2
# What a worker took of others, longest not used, it has told long ago.
MOST_ACCOUNTS = 100_000

_NANOSECONDS = 10**9

_encode = msgspec.msgpack.Encoder().encode
_opened = msgspec.msgpack.Decoder(Opened)
_heard = msgspec.msgpack.Decoder(Heard)

_Which = tuple[str, int]


def journals_of(store: Path) -> Path:
    """The folder of the journals that belong to a store's file.

    Not `FILE-journal`: that is SQLite's own name for what it takes back after a crash.
    """
    return store.with_name(f"{store.name}-attempts")


class Folded(msgspec.Struct):
    """What one step of folding has done.

    Attributes:
        posted: how many attempts were booked; `lost` of them because their process had died.
        settled: by journal, what was taken of each account.
        behind: there is more to fold now.
    """

    posted: int = 0
    lost: int = 0
    settled: dict[str, list[Settled]] = {}
    behind: bool = False


class Buried(NamedTuple):
    """What became of a dead worker's journal.

    Attributes:
        posted: how many attempts were booked now; `lost` of them were open.
        spent: by account (`rule id|value`) and window, what its attempts took in all its life; of each account only
            the last two windows.
    """

    posted: int
    lost: int
    spent: dict[tuple[str, int], int]


class _Standing:
    """How far a journal has been folded, and what it has opened up to there.

    `stored`, `told` and `kept` say what of that the store has.
    """

    def __init__(self, segment: int, offset: int, open: dict[_Which, Opened], heard: dict[_Which, Heard]) -> None:
        self.segment = segment
        self.offset = offset
        self.open = open
        self.heard = heard
        self.stored = set(open)
        self.told: set[_Which] = set()
        self.ended: list[Ended] = []
        self.kept = (segment, offset)

    def take(self, rows: Sequence[Row]) -> None:
        """Go on by these."""
        for row in rows:
            which = (row.request, row.number)
            if type(row) is Opened:
                before = self.open.get(which)
                if before is not None:
                    log.error("attempt %d of request %s was opened twice", row.number, row.request)
                    self.close(lost(before, self.heard.get(which)))
                self.open[which] = row
            elif type(row) is Heard:
                if which in self.open:
                    self.heard[which] = row
                    self.told.add(which)
            elif type(row) is Closed:
                self.close(row)

    def close(self, row: Closed) -> None:
        """An attempt has ended."""
        which = (row.request, row.number)
        opened = self.open.pop(which, None)
        if opened is None:
            log.error("the beginning of attempt %d of request %s cannot be read", row.number, row.request)
            opened = stranger(row)
        self.heard.pop(which, None)
        self.told.discard(which)
        self.ended.append((opened, row))

    def give_up(self) -> int:
        """Post what a dead worker has left open; how many."""
        left = list(self.open.items())
        for which, opened in left:
            self.close(lost(opened, self.heard.get(which)))
        return len(left)


class _Life:
    """What a worker's attempts have taken of each account, in the last two of its windows."""

    def __init__(self) -> None:
        self._accounts: dict[str, dict[int, int]] = {}

    def add(self, settled: Iterable[Settled]) -> None:
        """It has taken more."""
        for one in settled:
            if one.window:
                account = f"{one.rule}|{one.value}"
                windows = self._accounts[account] = self._accounts.pop(account, {})
                windows[one.window] = windows.get(one.window, 0) + one.settled
                if len(windows) > MOST_WINDOWS:
                    del windows[min(windows)]
        while len(self._accounts) > MOST_ACCOUNTS:
            del self._accounts[next(iter(self._accounts))]

    def spent(self) -> dict[tuple[str, int], int]:
        """By account and window."""
        return {
            (account, window): amount
            for account, windows in self._accounts.items()
            for window, amount in windows.items()
        }


def _for_all(rule: Rule, value: str) -> bool:
    return True


class Ledger:
    """Attempts of all workers, in a store.

    Args:
        database: the store.
        folder: where the workers' journals lie; `journals_of` names it.
        fold_bytes: how much of the journals goes into one transaction.
    """

    def __init__(self, database: Database, folder: Path, *, fold_bytes: int = FOLD_BYTES) -> None:
        self.database = database
        self.folder = folder
        self._fold_bytes = fold_bytes
        self._turn = asyncio.Lock()
        self._lives: dict[str, _Life] = {}
        # Only the store's thread touches it; and nothing there counts unless the last step is known to be kept.
        self._standings: dict[str, _Standing] = {}
        self._kept = True

    def __repr__(self) -> str:
        return f"<Ledger {self.database.path}, {len(self._standings)} journals>"

    @staticmethod
    def new_name(worker: str, clock: Clock, random: Random) -> str:
        """A journal's name that nobody has used, for a worker that is about to begin."""
        return f"w{worker}-{uuid7(clock, random)}"

    async def fold(self) -> Folded:
        """Book what has been written since; what is then still behind is for the next call.

        Raises:
            StoreFailed: nothing was booked; the next call tries again.
            OSError: a journal cannot be read; likewise.
        """
        return await self._step(None)

    async def bury(self, name: str) -> Buried:
        """Book all that a worker wrote whose process has ended, and post what it left open; then forget its journal.

        Raises as `fold`, and is then to be called again.
        """
        posted = 0
        while True:
            step = await self._step(name)
            posted += step.posted
            if not step.behind:
                life = self._lives.pop(name, None)
                return Buried(posted, step.lost, {} if life is None else life.spent())

    async def recover(self) -> Buried:
        """Bury every journal whose writer is gone: to be called before the first worker begins. Raises as `fold`."""
        posted = lost = 0
        for name in await self.database.run(self._known):
            if not self.is_written(name):
                buried = await self.bury(name)
                posted += buried.posted
                lost += buried.lost
        return Buried(posted, lost, {})

    def written(self) -> list[str]:
        """The journals whose writers live."""
        return [name for name in journals_in(self.folder) if self.is_written(name)]

    def is_written(self, name: str) -> bool:
        """Whether the writer of that journal lives."""
        return is_written(self.folder, name, journals_in(self.folder).get(name, ()))

    async def usage(self, question: Question) -> list[Tally]:
        """What attempts that are booked add up to; raises as `usage_of` and `patiently`, and StoreFailed."""
        return await self.database.read(lambda connection: patiently(connection, lambda c: usage_of(c, question)))

    async def adopt(self, budgets: Iterable[Since], now: float, holds: Holds | None = None) -> list[str]:
        """From now on (Unix seconds) these are all the budgets, each with the window that runs; as `adopt_rules`.

        To be called before anybody asks what was spent under a rule that may be new.
        """
        while (await self.fold()).behind:
            pass
        budgets = list(budgets)
        at, held = int(now * _NANOSECONDS), holds if holds is not None else _for_all
        return await self.database.run(lambda connection: adopt_rules(connection, budgets, at, held))

    def spent(self, rule: Rule, value: str, window: int) -> int:
        """What was spent of a budget's account in the window that began then (Unix seconds); 0 for a rate.

        Raises:
            StoreFailed: the store cannot be read now.
        """
        if not window:
            return 0
        return self.database.look(lambda connection: spent_of(connection, rule, value, window))

    async def recompute(self) -> list[str]:
        """Where the sums are not those of the rows, as `differences`; it takes its time. Raises StoreFailed."""
        return await self.database.read(differences)

    async def _step(self, dead: str | None) -> Folded:
        async with self._turn:
            folded = await self.database.run(lambda connection: self._fold(connection, dead))
            self._kept = True
            for name, settled in folded.settled.items():
                self._lives.setdefault(name, _Life()).add(settled)
            if folded.posted or dead is not None:
                # Only now, when what they held is on the disk.
                over = dead if not folded.behind else None
                await self.database.run(lambda connection: self._sweep(connection, over))
            return folded

    # --- in the store's thread

    def _known(self, connection: sqlite3.Connection) -> list[str]:
        stored = {name for (name,) in connection.execute("SELECT name FROM journals")}
        return sorted(stored | journals_in(self.folder).keys())

    def _fold(self, connection: sqlite3.Connection, dead: str | None) -> Folded:
        if not self._kept:
            # A step that failed has left what is remembered here ahead of the store.
            self._standings.clear()
        self._kept = False
        folded = Folded(settled={})
        room = self._fold_bytes
        for name, segments in _present(self.folder, dead).items():
            standing = self._standing(connection, name)
            room = self._read(name, standing, segments, room)
            folded.behind = folded.behind or room <= 0
            if name == dead and not folded.behind:
                folded.lost = standing.give_up()
            self._post(connection, name, standing, folded)
        return folded

    def _standing(self, connection: sqlite3.Connection, name: str) -> _Standing:
        standing = self._standings.get(name)
        if standing is None:
            standing = self._standings[name] = _stored(connection, name)
        return standing

    def _read(self, name: str, standing: _Standing, segments: Sequence[int], room: int) -> int:
        """Take in what a journal has, up to `room` bytes; returns how much of that is left, 0 where there is more."""
        while room > 0 and self._is_there(name, standing, segments):
            piece = read_piece(self.folder, name, standing.segment, standing.offset, min(room, PIECE_BYTES))
            if piece.damaged:
                log.error("%d records of the journal %s are damaged", piece.damaged, name)
            standing.take(piece.rows)
            read, standing.offset = piece.end - standing.offset, piece.end
            room -= read
            if read >= PIECE_BYTES:
                continue
            if room <= 0 or standing.segment == segments[-1]:
                break
            # The next one is begun when this one is whole: nothing comes here any more.
            if piece.rest:
                log.error("%d bytes of the journal %s are damaged", piece.rest, name)
            standing.segment, standing.offset = standing.segment + 1, 0
        return max(room, 0)

    def _is_there(self, name: str, standing: _Standing, segments: Sequence[int]) -> bool:
        """Whether there is a segment to go on with; those that are missing before one are passed over."""
        if standing.segment in segments:
            return True
        later = [one for one in segments if one > standing.segment]
        # The look at the folder may have missed one that was just begun.
        if not later or segment_path(self.folder, name, standing.segment).exists():
            return False
        log.error("segments of the journal %s before %d are missing", name, later[0])
        standing.segment, standing.offset = later[0], 0
        return True

    def _post(self, connection: sqlite3.Connection, name: str, standing: _Standing, folded: Folded) -> None:
        ended, standing.ended = standing.ended, []
        if ended:
            settled = post(connection, ended)
            if settled:
                folded.settled.setdefault(name, []).extend(settled)
        folded.posted += len(ended)
        _keep(connection, name, standing)

    def _sweep(self, connection: sqlite3.Connection, dead: str | None) -> None:
        """Delete the files that have been taken whole, and what is known of a dead worker's journal."""
        for name, segments in _present(self.folder, dead).items():
            standing = self._standings.get(name)
            if standing is None:
                continue
            done = [one for one in segments if one < standing.segment or name == dead]
            for segment in done:
                segment_path(self.folder, name, segment).unlink(missing_ok=True)
            if name == dead:
                # The files must not come back, by a loss of power, when nobody knows any more that they were folded.
                _sync(self.folder)
                connection.execute("DELETE FROM journals WHERE name = ?", (name,))
                del self._standings[name]


def _present(folder: Path, dead: str | None) -> dict[str, list[int]]:
    present = journals_in(folder)
    return present if dead is None else {dead: present.get(dead, [])}


def _stored(connection: sqlite3.Connection, name: str) -> _Standing:
    found = connection.execute('SELECT segment, "offset" FROM journals WHERE name = ?', (name,)).fetchone()
    segment, offset = found if found is not None else (1, 0)
    open: dict[_Which, Opened] = {}
    heard: dict[_Which, Heard] = {}
    rows = connection.execute("SELECT request, number, opened, heard FROM open_attempts WHERE journal = ?", (name,))
    for request, number, opened, told in rows:
        open[request, number] = _opened.decode(opened)
        if told is not None:
            heard[request, number] = _heard.decode(told)
    return _Standing(segment, offset, open, heard)


def _keep(connection: sqlite3.Connection, name: str, standing: _Standing) -> None:
    """Write down how far a journal has been folded, and what it has open."""
    if standing.kept == (standing.segment, standing.offset) and standing.stored == standing.open.keys():
        return
    standing.kept = (standing.segment, standing.offset)
    connection.execute(
        'INSERT INTO journals VALUES (?, ?, ?) ON CONFLICT (name) DO UPDATE SET segment = excluded.segment, "offset" '
        '= excluded."offset"',
        (name, standing.segment, standing.offset),
    )
    now = standing.open.keys()
    gone = standing.stored - now
    changed = (now - standing.stored) | standing.told
    connection.executemany(
        "DELETE FROM open_attempts WHERE journal = ? AND request = ? AND number = ?", [(name, *which) for which in gone]
    )
    connection.executemany(
        "INSERT OR REPLACE INTO open_attempts VALUES (?, ?, ?, ?, ?)",
        [(name, *which, _encode(standing.open[which]), _told(standing, which)) for which in changed],
    )
    standing.stored = set(now)
    standing.told.clear()


def _told(standing: _Standing, which: _Which) -> bytes | None:
    heard = standing.heard.get(which)
    return None if heard is None else _encode(heard)


def _sync(folder: Path) -> None:
    try:
        file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return
    try:
        os.fsync(file)
    finally:
        os.close(file)
