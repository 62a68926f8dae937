"""The audit log of a running control plane, and where the hash of its last entry is kept besides.

After every change it is written to a file beside the store, and told on stderr, so that it leaves this machine with
the process's other lines. `penstock audit verify` holds the table against the file, and against any that was noted.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from penstock.clock import Clock
from penstock.stores.audit import Change, Entry, Head, Who, append, head_of, latest, page
from penstock.stores.sqlite import Database, StoreFailed

__all__ = ["SUFFIX", "AuditLog", "head_file", "read_head", "write_head"]

log = logging.getLogger("penstock.audit")

SUFFIX = ".audit-head"
_LARGEST = 200


def head_file(store: Path) -> Path:
    """Where the head of that store's log is kept: `penstock.db` has `penstock.audit-head`."""
    return store.with_suffix(SUFFIX)


def read_head(path: Path) -> Head | None:
    """What the file says; None where there is none.

    Raises:
        ValueError: it says something else.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return head_of(file.read(_LARGEST).decode("ascii", "replace"))
    except FileNotFoundError:
        return None


def write_head(path: Path, head: Head) -> None:
    """Keep it, whole or not at all. Raises OSError."""
    draft = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
        file.write(f"{head}\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


class AuditLog:
    """Notes changes, and keeps the log's head.

    Args:
        kept: the file that the head is kept in; None: nowhere.
        tell: is told each new head, in a line.
    """

    def __init__(
        self, db: Database, clock: Clock, kept: Path | None = None, tell: Callable[[str], object] = lambda line: None
    ) -> None:
        self._tell = tell
        self._db = db
        self._clock = clock
        self._kept = kept
        # Else what was read first may be kept last.
        self._sealing = asyncio.Lock()

    def noting(self, who: Who) -> Callable[[sqlite3.Connection, Change], object]:
        """What a store calls within the transaction of a change by that one; `seal` comes after it."""

        def note(connection: sqlite3.Connection, change: Change) -> None:
            append(connection, int(self._clock.wall() * 1e9), who, change)

        return note

    async def add(self, who: Who, change: Change) -> None:
        """Note what changed outside the store. Raises StoreFailed."""
        note = self.noting(who)
        await self._db.run(lambda connection: note(connection, change))
        await self.seal()

    async def page(self, before: int | None, most: int, tenant: str | None) -> list[Entry]:
        """As `audit.page`."""
        return await self._db.read(lambda connection: page(connection, before, most, tenant))

    async def seal(self) -> None:
        """Keep the head as it is now. One that the log no longer has is left as it is: it is evidence.

        The change is made by then, so that nothing is raised: the next one keeps a head that holds this one too.
        """
        async with self._sealing:
            await self._seal()

    async def _seal(self) -> None:
        try:
            head, noted = await self._db.read(self._look)
        except StoreFailed as error:
            log.error("the head of the audit log is not kept: %s", error)
            return
        if head.number == 0:
            return
        if noted is not None and noted[1] != noted[0].hash:
            log.error(
                "the audit log no longer has entry %s as it was noted: run `penstock audit verify`", noted[0].number
            )
            return
        if noted is None or noted[0] != head:
            self._tell(f"audit {head}")
            if self._kept is not None:
                with suppress(OSError):  # the change is made, and noted in the table
                    await asyncio.to_thread(write_head, self._kept, head)

    def _look(self, connection: sqlite3.Connection) -> tuple[Head, tuple[Head, bytes] | None]:
        """The head, and what was noted beside what the log has in its place."""
        noted = None
        with suppress(OSError, ValueError):
            noted = read_head(self._kept) if self._kept is not None else None
        if noted is None:
            return latest(connection), None
        row = connection.execute("SELECT hash FROM audit WHERE number = ?", (noted.number,)).fetchone()
        return latest(connection), (noted, b"" if row is None else bytes(row[0]))
