"""Providers' credentials in the store: encrypted for their row and name, read by `api_key: store:NAME` alone."""

from __future__ import annotations

import re
import sqlite3

import msgspec

from penstock.errors import Conflict, InvalidRequest, NotFound
from penstock.redact import Secret, as_asked
from penstock.stores.directory_desk import Desk, require_version, unnoted
from penstock.stores.directory_rows import Change, Note, checked_name
from penstock.stores.vault import Sealed

__all__ = ["LONGEST", "SHOWN_FROM", "CredentialInfo", "Credentials"]

LONGEST = 16 * 1024
# Of a shorter one not even the last four letters are shown.
SHOWN_FROM = 16
_TABLE = "provider_secrets"
# As config/reader.py has it: goes into a header as it is (RFC 9110, section 5.5).
_CREDENTIAL = re.compile(r"[\x21-\x7e]+")


class CredentialInfo(msgspec.Struct, frozen=True):
    """A credential as it may be shown.

    Attributes:
        last_four: "" where it is too short for any of it to be shown.
    """

    id: str
    name: str
    last_four: str
    created: int
    version: int


class Credentials:
    """The providers' credentials of a directory. All raise StoreFailed where the store cannot be used."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def put(
        self,
        name: str,
        value: Secret,
        *,
        new: bool | None = None,
        version: int | None = None,
        note: Note = unnoted,
    ) -> CredentialInfo:
        """Keep a credential under a name, in place of the one that is there.

        Args:
            new: True: there must be none; False: there must be one.

        Raises:
            InvalidRequest: the name is none, or the value is no credential.
            NotFound, Conflict: there is none, or one, or another one by now (412).
        """
        checked_name(name, "name")
        text = value.reveal()
        if not _CREDENTIAL.fullmatch(text) or len(text) > LONGEST:
            raise InvalidRequest(
                f"a credential is 1 to {LONGEST} visible ASCII characters without spaces",
                do="Send it as the provider gave it.",
                param="value",
            )
        desk = self._desk

        def write(connection: sqlite3.Connection, now: int) -> CredentialInfo:
            before = _find(connection, name)
            if before is None and new is False:
                raise _none(name)
            if before is not None and new:
                raise Conflict(
                    f"there is a credential {name}", do="Change that one, or choose another name.", param="name"
                )
            if before is not None:
                require_version(before.version, version, f"the credential {name}")
            info = CredentialInfo(
                before.id if before is not None else desk.ids.new(),
                name,
                text[-4:] if len(text) >= SHOWN_FROM else "",
                desk.now(),
                now,
            )
            sealed = desk.vault.seal((_TABLE, info.id, name), value)
            connection.execute(
                "INSERT OR REPLACE INTO provider_secrets VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (info.id, name, *sealed, info.last_four, info.created, now),
            )
            note(connection, Change("credential.put", name, "", before, info))
            return info

        return await desk.write(write)

    async def page(self, after: str = "", most: int = 100) -> list[CredentialInfo]:
        """The next ones by name."""

        def read(connection: sqlite3.Connection) -> list[CredentialInfo]:
            rows = connection.execute(
                "SELECT id, name, last_four, created, version FROM provider_secrets WHERE name > ?"
                " ORDER BY name LIMIT ?",
                (after, most),
            )
            return [CredentialInfo(*row) for row in rows]

        return await self._desk.db.read(read)

    async def get(self, name: str) -> CredentialInfo:
        """What may be shown of it; raises NotFound."""
        found = await self._desk.db.read(lambda connection: _find(connection, name))
        if found is None:
            raise _none(name)
        return found

    async def drop(self, name: str, *, version: int | None = None, note: Note = unnoted) -> CredentialInfo:
        """Forget a credential, and tell what it was; raises NotFound, Conflict (412)."""

        def write(connection: sqlite3.Connection, now: int) -> CredentialInfo:
            before = _find(connection, name)
            if before is None:
                raise _none(name)
            require_version(before.version, version, f"the credential {name}")
            connection.execute("DELETE FROM provider_secrets WHERE id = ?", (before.id,))
            note(connection, Change("credential.drop", name, "", before, None))
            return before

        return await self._desk.write(write)

    async def reveal(self, name: str) -> Secret:
        """The credential, to be sent to its provider and nowhere else.

        Raises:
            NotFound: there is none of that name.
            PenstockError: its row was changed or copied, or it was encrypted under another encryption key.
        """

        def read(connection: sqlite3.Connection) -> tuple[str, str, Sealed]:
            row = connection.execute(
                "SELECT id, name, nonce, ciphertext, fingerprint FROM provider_secrets WHERE name = ?", (name,)
            ).fetchone()
            if row is None:
                raise _none(name)
            return row[0], row[1], Sealed(*row[2:])

        id, found, sealed = await self._desk.db.read(read)
        return self._desk.vault.open((_TABLE, id, found), sealed, f"store:{name}")


def _find(connection: sqlite3.Connection, name: str) -> CredentialInfo | None:
    row = connection.execute(
        "SELECT id, name, last_four, created, version FROM provider_secrets WHERE name = ?", (name,)
    ).fetchone()
    return None if row is None else CredentialInfo(*row)


def _none(name: str) -> NotFound:
    return NotFound(f"the store has no credential {as_asked(name)}", do="Store it, or name another one in api_key.")
