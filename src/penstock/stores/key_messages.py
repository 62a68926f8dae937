"""What the centre tells workers of the store's keys, and what they ask and say; carried as `stores/centre.py` says.

A worker asks for all there is, page by page, and hears of each change from then on; every second, as the store
answers, it hears at which change the centre is. So it sees that it has missed something, and knows whether a key that
it doesn't know is unknown.
"""

from __future__ import annotations

from collections.abc import Container

import msgspec

from penstock.stores.message import Message

__all__ = ["FromKeys", "KeyMessage", "KeyRow", "KeysChanged", "KeysPage", "KeysStand", "KeysUsed", "ToKeys", "WantKeys"]


class KeyRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A key by one of its secrets, as whoever is asked with it must know it; see `KeyRights` for what it may do.

    Attributes:
        digest: what it is looked up by.
        label: what records and accounts call it.
        expires: Unix time from which on this secret is no longer good; None: none.
    """

    digest: bytes
    id: str
    label: str
    tenant: str | None
    project: str | None
    models: tuple[str, ...] | None
    routes: tuple[str, ...] | None
    addresses: tuple[str, ...] | None
    expires: float | None
    max_output: int | None
    priority: str | None
    overrides: bool
    trusts_user: bool

    def ended(self, archived: Container[str]) -> bool:
        """Whether it has ended with its tenant or its project."""
        return self.tenant in archived or f"{self.tenant}/{self.project}" in archived


class KeyMessage(Message, frozen=True):
    """What a worker says or asks."""


class WantKeys(KeyMessage, frozen=True, tag=True):
    """A worker wants the next page of all there is; `page` 0 is the first, from which on it hears of changes too."""

    page: int


class KeysUsed(KeyMessage, frozen=True, tag=True):
    """Keys that were used since a worker last said so."""

    ids: list[str]


class KeysPage(Message, frozen=True, tag=True):
    """A page of all there is.

    Attributes:
        number: of the last change that it has in it.
        last: there is no further one.
        pepper: what keys are hashed under; empty where there is no store.
        archived: tenants and projects (`acme`, `acme/web`) that have ended, and every key of theirs with them.
    """

    page: int
    number: int
    last: bool
    pepper: bytes
    rows: list[KeyRow]
    archived: tuple[str, ...]


class KeysChanged(Message, frozen=True, tag=True):
    """What has changed.

    Attributes:
        number: of this change; the next one's is one more.
        gone: digests that are good for nothing any more.
        archived: as of a page, all of them; None: no change.
    """

    number: int
    rows: list[KeyRow]
    gone: list[bytes]
    archived: tuple[str, ...] | None


class KeysStand(Message, frozen=True, tag=True):
    """How it stands.

    Attributes:
        number: of the last change.
        age: seconds since the store last answered the centre.
    """

    number: int
    age: float


ToKeys = WantKeys | KeysUsed
FromKeys = KeysPage | KeysChanged | KeysStand
