"""Everything that a crash can leave on the disk: the files as they are between any two writes.

A camera keeps the files before each statement of SQL, after each record of a journal, and before each file is deleted.
What changed between two pictures was written by several writes in a known order (SQLite's write-ahead log by header
and page of each frame, ascending, then a checkpoint's pages, ascending); each state in between is a picture too. The
index of the write-ahead log (-shm) is left out: it is made anew by whoever comes after a crash.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from penstock.stores.ledger import Ledger, journals_of
from penstock.stores.rows import Closed, Opened
from penstock.stores.sqlite import Database
from tests.stores.journals import Story, closed, hold, opened, run, table

__all__ = ["Camera", "Picture", "Truth", "check", "restore", "scenario"]

Files = dict[str, bytes]

PAGE = 4096
_WAL_HEADER, _FRAME_HEADER = 32, 24
_cameras: list[Camera] = []


class Truth:
    """What workers have done, as their journals' records were written: attempts by request."""

    def __init__(self) -> None:
        self.opened: dict[str, Opened] = {}
        self.closed: dict[str, Closed] = {}

    def copy(self) -> Truth:
        """As it is now."""
        other = Truth()
        other.opened, other.closed = dict(self.opened), dict(self.closed)
        return other


class Picture(NamedTuple):
    """The files at one moment, and what must be in them."""

    files: Files
    truth: Truth
    what: str


class Camera:
    """Takes pictures of a folder while `truth` goes on.

    Args:
        within: how many states within each single write: 0 for none.
    """

    def __init__(self, folder: Path, truth: Truth, within: int = 0) -> None:
        self.truth = truth
        self.pictures: list[Picture] = []
        self._folder = folder
        self._within = within
        self._last = Picture(_read(folder), truth.copy(), "begin")

    def watch(self, ledger: Ledger) -> None:
        """From now on, before each statement and each deletion."""

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("PRAGMA wal_autocheckpoint = 30")
            connection.set_trace_callback(lambda statement: self.shoot(statement[:20].strip()))

        ledger.database.run_here(work)
        _cameras.append(self)

    def stop(self) -> None:
        """Take the last one."""
        self.shoot("end")
        _cameras.remove(self)

    def shoot(self, what: str) -> None:
        """The files as they are, and every state between the last picture and this one."""
        now = Picture(_read(self._folder), self.truth.copy(), what)
        if now.files != self._last.files:
            for files in _between(self._last.files, now.files, self._within):
                self.pictures.append(Picture(files, self._last.truth, f"before {what}"))
            self.pictures.append(now)
        self._last = now


def _deleted(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "os.remove":
        for camera in _cameras:
            camera.shoot("deletion")


sys.addaudithook(_deleted)


def _read(folder: Path) -> Files:
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.name.endswith("-shm"):
            found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def _between(before: Files, after: Files, within: int) -> Iterator[Files]:
    files = dict(before)
    # The log is written before a checkpoint writes the file itself.
    for name in sorted(before.keys() | after.keys(), key=lambda name: (name.endswith(".db"), name)):
        old, new = before.get(name, b""), after.get(name)
        if new is None or old == new:
            continue
        for state in _states(name, old, new, within):
            files[name] = state
            yield dict(files)
        files[name] = new


def _states(name: str, old: bytes, new: bytes, within: int) -> Iterator[bytes]:
    """A file between two of its states, where it is written in ascending order."""
    for start, end in _writes(name, len(new)):
        if old[start:end] != new[start:end]:
            for part in range(1, within + 1):
                middle = start + (end - start) * part // (within + 1)
                yield new[:middle] + old[middle:]
            if end < len(new):
                yield new[:end] + old[end:]


def _writes(name: str, size: int) -> Iterator[tuple[int, int]]:
    """Where the single writes to a file of that size begin and end."""
    if name.endswith("-wal"):
        yield 0, _WAL_HEADER
        for start in range(_WAL_HEADER, size, _FRAME_HEADER + PAGE):
            yield start, start + _FRAME_HEADER
            yield start + _FRAME_HEADER, start + _FRAME_HEADER + PAGE
    elif name.endswith(".db"):
        yield from ((start, start + PAGE) for start in range(0, size, PAGE))
    else:
        yield 0, size  # a journal's record, which is one write


# --- what must hold


def restore(picture: Picture, folder: Path) -> None:
    """Put a picture's files into an empty folder."""
    journals_of(folder / "penstock.db").mkdir()
    for name, data in picture.files.items():
        (folder / name).write_bytes(data)


def check(ledger: Ledger, truth: Truth) -> list[str]:
    """What is wrong with a ledger that was recovered: nothing lost, nothing doubled, nothing held, all sums right."""
    faults = [f"recompute: {each}" for each in run(ledger.recompute())]
    rows = table(ledger, "SELECT request, outcome, cost FROM attempts ORDER BY request")
    expected = []
    for request, begin in sorted(truth.opened.items()):
        end = truth.closed.get(request)
        expected.append((request, "lost", begin.input_cost) if end is None else (request, end.outcome, end.cost))
    if rows != expected:
        faults.append(f"rows: {rows}, not {expected}")
    spent: dict[tuple[str, str], int] = {}
    for request, begin in truth.opened.items():
        end = truth.closed.get(request)
        for turn, held in enumerate(begin.holds):
            amount = min(held.amount, begin.input_cost or 0) if end is None else end.settled[turn]
            spent[held.rule, held.value] = spent.get((held.rule, held.value), 0) + amount
    accounts = {(rule, value): sum for rule, value, sum in table(ledger, "SELECT rule, value, settled FROM accounts")}
    if accounts != spent:
        faults.append(f"accounts: {accounts}, not {spent}")
    left = table(ledger, "SELECT count(*) FROM open_attempts") + table(ledger, "SELECT count(*) FROM journals")
    if left != [0, 0] or any(ledger.folder.iterdir()):
        faults.append(f"left over: {left}, {list(ledger.folder.iterdir())}")
    return faults


# --- what happens


def scenario(folder: Path, attempts: int, within: int = 0) -> Camera:
    """Two workers that take turns, folds in between, one that dies, and the pictures of it all."""
    truth = Truth()
    ledger = Ledger(Database(folder / "penstock.db", inline=True), journals_of(folder / "penstock.db"), fold_bytes=700)
    camera = Camera(folder, truth, within)
    camera.watch(ledger)
    workers = [Worker(folder, f"w{number}", camera) for number in range(2)]
    for number in range(attempts):
        worker = workers[number % 2]
        worker.begin(f"r{number:03}", number)
        if number % 3 == 1:
            run(ledger.fold())
        if number >= 2 and number % 5:
            worker.finish(f"r{number - 2:03}", number)
        if number % 4 == 3:
            run(ledger.fold())
    workers[0].story.journal.end()
    run(ledger.bury("w0"))
    run(ledger.fold())
    camera.stop()
    ledger.database.close()
    workers[1].story.journal.end()
    return camera


class Worker:
    """One that has its records photographed."""

    def __init__(self, folder: Path, name: str, camera: Camera) -> None:
        self.story = Story(folder, name, segment_bytes=500)
        self._camera = camera

    def begin(self, request: str, number: int) -> None:
        """An attempt is opened."""
        holds = (hold(1000), hold(1000, f"u{number % 2}", "user"))
        row = opened(request, holds=holds, input_cost=number + 1, bound=1000, user=f"u{number % 2}")
        self._camera.shoot("folded")
        self.story.journal.open(row)
        self._camera.truth.opened[request] = row
        self._camera.shoot("opened")

    def finish(self, request: str, number: int) -> None:
        """One that was opened is closed, whoever opened it does it."""
        if request in self._camera.truth.opened:
            row = closed(request, cost=number * 7, settled=(number * 7, number * 7 + 1))
            self._camera.shoot("folded")
            self.story.journal.close(row)
            self._camera.truth.closed[request] = row
            self._camera.shoot("closed")


def each_state(pictures: Sequence[Picture], make: Callable[[], Path]) -> Iterator[tuple[Picture, Ledger]]:
    """Each picture restored, and a ledger that is not recovered yet."""
    for picture in pictures:
        folder = make()
        restore(picture, folder)
        path = folder / "penstock.db"
        yield picture, Ledger(Database(path, inline=True), journals_of(path), fold_bytes=900)
