"""The centre's side of the store's keys: all of them in memory, looked after every second, told to every worker.

What changes is read from the store by its version, when it was changed here at once, and else within a second; and is
told as it is, never the whole again. A revocation is in force with the message that tells it, long before the second
is over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from penstock.clock import Clock, Timer
from penstock.stores.directory import Changes, Directory
from penstock.stores.key_messages import KeyMessage, KeyRow, KeysChanged, KeysPage, KeysStand, KeysUsed, WantKeys
from penstock.stores.message import Message
from penstock.stores.sqlite import StoreFailed

__all__ = ["LOOK_SECONDS", "PAGE", "KeyCentre"]

log = logging.getLogger("penstock.store")

# A revocation that nobody told of holds within a second (semantics.md: Isolation), the way to the workers included.
LOOK_SECONDS = 0.9
# Keys in one message: about a megabyte.
PAGE = 4000


class Listener(Protocol):
    """The channel to a worker."""

    def send(self, message: Message) -> None:
        """Send, without waiting."""


class KeyCentre:
    """Follows a directory for the workers; without one it tells them that there is no store.

    Attributes:
        directory: None until `open`, and where there is no store.
        credentials_changed: called when providers' credentials in the store have, to be read anew.
    """

    def __init__(self, clock: Clock) -> None:
        self.directory: Directory | None = None
        self.credentials_changed: Callable[[], object] = lambda: None
        self._credentials: frozenset[tuple[str, int]] = frozenset()
        self._clock = clock
        self._rows: dict[bytes, KeyRow] = {}
        self._archived: tuple[str, ...] = ()
        self._version = 0
        self._number = 0
        # When the store last answered, and whether that it doesn't has been told.
        self._answered = 0.0
        self._failing = False
        self._watchers: dict[Listener, list[bytes]] = {}
        self._timer: Timer | None = None
        self._task: asyncio.Task[None] | None = None
        self._again = False
        self._used: set[str] = set()

    def __repr__(self) -> str:
        return f"<KeyCentre of {len(self._rows)} keys, {len(self._watchers)} workers>"

    async def open(self, directory: Directory) -> None:
        """Read all of it, and follow it from now on; raises StoreFailed."""
        self.directory = directory
        self._credentials = (await self._read(directory)).credentials
        directory.follow(self.look)
        self._timer = self._clock.call_later(LOOK_SECONDS, self._tick)

    async def aclose(self) -> None:
        """Follow it no more."""
        if self._timer is not None:
            self._timer.cancel()
        if self.directory is not None:
            self.directory.follow(lambda: None)
        while self._task is not None:
            await asyncio.wait((self._task,))
        if self._used and self.directory is not None:
            with suppress(StoreFailed):
                await self._keep_used(self.directory)

    def look(self) -> None:
        """See now what has changed; soon, if somebody looks already."""
        if self._task is not None:
            self._again = True
            return
        self._task = asyncio.get_running_loop().create_task(self._look(), name="keys")
        self._task.add_done_callback(self._looked)

    def received(self, worker: Listener, message: KeyMessage) -> None:
        """A worker says or asks something."""
        if isinstance(message, KeysUsed):
            self._used.update(message.ids)
        elif isinstance(message, WantKeys):
            if message.page == 0:
                self._watchers[worker] = list(self._rows)
            if worker in self._watchers:
                self._send_page(worker, message.page)

    def left(self, worker: Listener) -> None:
        """A worker is gone."""
        self._watchers.pop(worker, None)

    def _send_page(self, worker: Listener, page: int) -> None:
        digests = self._watchers[worker]
        wanted = digests[page * PAGE : (page + 1) * PAGE]
        # As they are now: what has changed since the first page was told meanwhile, and must not come back.
        rows = [self._rows[digest] for digest in wanted if digest in self._rows]
        last = (page + 1) * PAGE >= len(digests)
        if last:
            self._watchers[worker] = []
        pepper = self.directory.vault.pepper if self.directory is not None else b""
        worker.send(KeysPage(page, self._number, last, pepper, rows, self._archived))

    def _tick(self) -> None:
        self._timer = self._clock.call_later(LOOK_SECONDS, self._tick)
        self.look()

    def _tell(self) -> None:
        message = KeysStand(self._number, self._clock.monotonic() - self._answered)
        for worker in self._watchers:
            worker.send(message)

    async def _look(self) -> None:
        assert self.directory is not None
        try:
            found = await self._read(self.directory)
            self._tell()
            if found.credentials != self._credentials:
                self._credentials = found.credentials
                self.credentials_changed()
            if self._used:
                await self._keep_used(self.directory)
        except StoreFailed as error:
            if not self._failing:
                log.error("the store's keys cannot be looked at; those known are good for a minute: %s", error)
            self._failing = True
        else:
            if self._failing:
                log.warning("the store's keys can be looked at again")
            self._failing = False

    async def _keep_used(self, directory: Directory) -> None:
        used, self._used = self._used, set()
        await directory.keys.used(sorted(used))

    def _looked(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the store's keys were not looked at", exc_info=error)
        if self._again:
            self._again = False
            self.look()

    async def _read(self, directory: Directory) -> Changes:
        """Take what has changed, and tell it."""
        asked = self._clock.monotonic()
        changes = await directory.changes(self._version)
        # As of when it was asked: an answer that took long may be as old as that.
        self._answered = asked
        self._version = changes.version
        rows = [row for row in changes.rows if self._rows.get(row.digest) != row]
        gone = [digest for digest in changes.gone if digest in self._rows]
        archived = changes.archived if changes.archived != self._archived else None
        if not (rows or gone or archived is not None):
            return changes
        for digest in gone:
            del self._rows[digest]
        self._rows.update((row.digest, row) for row in rows)
        if archived is not None:
            self._archived = archived
            ended = frozenset(archived)
            self._rows = {digest: row for digest, row in self._rows.items() if not row.ended(ended)}
        for message in self._messages(rows, gone, archived):
            for worker in self._watchers:
                worker.send(message)
        return changes

    def _messages(self, rows: list[KeyRow], gone: list[bytes], archived: tuple[str, ...] | None) -> list[KeysChanged]:
        """In as many messages as it takes; what ends first, so that it ends first."""
        found: list[KeysChanged] = []
        for start in range(0, max(len(rows), len(gone), 1), PAGE):
            self._number += 1
            end = start + PAGE
            found.append(KeysChanged(self._number, rows[start:end], gone[start:end], archived if not start else None))
        return found
