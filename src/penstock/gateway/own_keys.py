"""The store's keys where one process is all there is: an ASGI application knows them as a gateway's worker does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from penstock.clock import Clock, Random
from penstock.config.schema import Config
from penstock.errors import ConfigError, Overloaded
from penstock.stores.directory import Directory, open_directory
from penstock.stores.key_centre import KeyCentre
from penstock.stores.key_link import KeyLink
from penstock.stores.key_messages import FromKeys, KeyMessage, KeysStand
from penstock.stores.keys import usable_in
from penstock.stores.message import Message
from penstock.stores.sqlite import Database, StoreFailed

__all__ = ["OwnKeys", "open_own_keys"]


def open_own_keys(config: Config, database: Database, clock: Clock, random: Random) -> OwnKeys | None:
    """The keys of a store; None where calls need no key, or it has none.

    Raises:
        ConfigError: the store cannot be read, or its encryption key is not there.
    """
    if config.auth != "required":
        return None
    try:
        if not database.look(usable_in):
            return None
        folder = Path(config.state).parent
        return OwnKeys(open_directory(database, folder, config.encryption_key, clock, random), clock)
    except StoreFailed as error:
        raise ConfigError(f"{database.path}: {error}", do="See to the disk, and start again.") from error


class OwnKeys:
    """Both sides of what a supervisor and its worker say to each other of keys.

    Attributes:
        link: what a gateway asks; it knows none before `open`.
        ready: it knows them.
    """

    def __init__(self, directory: Directory, clock: Clock) -> None:
        self.ready = False
        self._turn = asyncio.Lock()
        self._directory = directory
        self._centre = KeyCentre(clock)
        self.link = KeyLink(self._say, clock)
        # A gateway is made before anything is read.
        self.link.pepper = directory.vault.pepper

    def __repr__(self) -> str:
        return f"<OwnKeys {self.link!r}>"

    async def open(self) -> None:
        """Read them, and follow the store from now on; who comes meanwhile waits, and afterwards it does nothing.

        Raises:
            Overloaded: the store cannot be read now; the next call tries again.
        """
        async with self._turn:
            if self.ready:
                return
            try:
                await self._centre.open(self._directory)
            except StoreFailed as error:
                raise Overloaded(f"the store's keys cannot be read: {error}", do="Try again in a moment.") from error
            self.link.watch()
            self.ready = True

    async def aclose(self) -> None:
        """Follow it no more; which keys were used is kept."""
        self.link.tell_used()
        await self._centre.aclose()

    def _say(self, message: Message) -> None:
        assert isinstance(message, KeyMessage)
        self._centre.received(self, message)

    def send(self, message: Message) -> None:
        """What the centre says."""
        assert isinstance(message, FromKeys)
        self.link.received(message)
        if isinstance(message, KeysStand):
            self.link.beat()
