"""A worker's copy of the store's keys: asked for once, changed as the centre tells, and good for as long as it says.

Every second the centre says that the store answers. A key that is not in the copy is unknown only as long as it does;
when it has not for a minute, the copy is good for nothing any more (semantics.md: Isolation).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol
from weakref import WeakSet

from penstock.clock import Clock
from penstock.errors import Overloaded
from penstock.stores.key_messages import FromKeys, KeyRow, KeysChanged, KeysPage, KeysStand, KeysUsed, WantKeys
from penstock.stores.message import Message

__all__ = ["LIFE_SECONDS", "SILENT_SECONDS", "KeyLink", "KeyUser"]

# What is known is good for so long after the store last answered.
LIFE_SECONDS = 60.0
# Without a word for so long, what is not known may have been made since: two looks of the centre, and one to spare.
SILENT_SECONDS = 3.0
# Every so many beats, that is seconds, it is told which keys were used.
TELL_BEATS = 60
RETRY_SECONDS = 1.0


class KeyUser(Protocol):
    """Who has looked keys up, and remembers what came of it."""

    def forget(self, digests: list[bytes] | None) -> None:
        """Remember those no longer, or (None) nothing."""

    def used(self) -> list[str]:
        """Ids of the keys that were used since this was asked last."""
        ...

    def found(self) -> list[str]:
        """Ids of those that were looked up since this was asked last: used for the first time, or after a change."""
        ...


class KeyLink:
    """The store's keys, as one worker knows them.

    Args:
        send: to the centre.

    Attributes:
        pepper: what keys are hashed under; empty where there is no store, or it has not been heard of.
        archived: tenants and projects that have ended.
        users: told of changes for as long as they live.
    """

    def __init__(self, send: Callable[[Message], object], clock: Clock) -> None:
        self.pepper = b""
        self.archived: frozenset[str] = frozenset()
        self.users: WeakSet[KeyUser] = WeakSet()
        self._send = send
        self._now = clock.monotonic
        self._rows: dict[bytes, KeyRow] = {}
        # The copy that is being made anew, page by page.
        self._incoming: dict[bytes, KeyRow] | None = None
        self._number = 0
        self._heard = 0.0
        self._stale = False
        self._beats = 0
        self._whole = asyncio.Event()

    def __repr__(self) -> str:
        state = " (stale)" if self._stale else "" if self._whole.is_set() else " (not all yet)"
        return f"<KeyLink of {len(self._rows)} keys{state}>"

    def watch(self) -> None:
        """Ask for all there is, and for what changes from now on."""
        self._incoming = {}
        self._send(WantKeys(0))

    async def ready(self) -> None:
        """Wait until all there is has come."""
        await self._whole.wait()

    def find(self, digest: bytes) -> KeyRow | None:
        """The key with that digest; None where it is known that there is none.

        Raises:
            Overloaded: that is not known, as the store cannot be reached.
        """
        if not self.pepper:
            return None
        row = None if self._stale else self._rows.get(digest)
        if row is not None and row.ended(self.archived):
            return None
        if row is None and (self._stale or self._now() - self._heard > SILENT_SECONDS):
            raise Overloaded(
                "the store of keys cannot be reached, so that nobody knows whether this key is good",
                do="Try again in a moment.",
                retry_after=RETRY_SECONDS,
            )
        return row

    def received(self, message: FromKeys) -> None:
        """The centre says something."""
        if isinstance(message, KeysPage):
            self._page(message)
        elif isinstance(message, KeysChanged):
            self._changed(message)
        elif isinstance(message, KeysStand):
            self._heard = self._now() - message.age
            self._age()
            if message.number != self._number and self._incoming is None:
                self.watch()

    def lost(self) -> None:
        """Nothing more will be heard: nobody waits for it."""
        self._whole.set()

    def beat(self) -> None:
        """A second has passed."""
        self._age()
        self._beats += 1
        if self._beats >= TELL_BEATS:
            self.tell_used()
        else:
            # Whoever has just made a key wants to see that it works.
            self._tell({id for user in self.users for id in user.found()})

    def tell_used(self) -> None:
        """Say which keys were used."""
        self._beats = 0
        self._tell({id for user in self.users for id in (*user.used(), *user.found())})

    def _tell(self, used: set[str]) -> None:
        if used:
            self._send(KeysUsed(sorted(used)))

    def _age(self) -> None:
        stale = bool(self.pepper) and self._now() - self._heard > LIFE_SECONDS
        if stale and not self._stale:
            self._forget(None)
        self._stale = stale

    def _page(self, message: KeysPage) -> None:
        if self._incoming is None:
            return
        self._incoming.update((row.digest, row) for row in message.rows)
        self._number = message.number
        if not message.last:
            self._send(WantKeys(message.page + 1))
            return
        self._rows, self._incoming = self._incoming, None
        self.pepper, self.archived = message.pepper, frozenset(message.archived)
        self._heard = self._now()
        self._stale = False
        self._forget(None)
        self._whole.set()

    def _changed(self, message: KeysChanged) -> None:
        known = [self._rows] if self._incoming is None else [self._rows, self._incoming]
        for rows in known:
            for digest in message.gone:
                rows.pop(digest, None)
            rows.update((row.digest, row) for row in message.rows)
        if message.archived is not None:
            self.archived = frozenset(message.archived)
            self._forget(None)
        else:
            self._forget([*message.gone, *(row.digest for row in message.rows)])
        if self._incoming is None and message.number != self._number + 1:
            self.watch()  # one was missed
        self._number = message.number

    def _forget(self, digests: list[bytes] | None) -> None:
        for user in list(self.users):
            user.forget(digests)
