"""Callers' keys in the store: made, shown once, rotated, revoked. What is kept of one is its HMAC."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from penstock.errors import Conflict, InvalidRequest, NotFound
from penstock.redact import Secret, as_asked
from penstock.stores.directory_desk import Desk, require_version, unnoted
from penstock.stores.directory_rows import (
    Change,
    KeyInfo,
    KeyRights,
    KeySecret,
    MadeKey,
    NewKey,
    Note,
    checked_name,
)
from penstock.stores.key_format import ENVS, display_parts, make_key
from penstock.stores.key_rights import checked_rights
from penstock.stores.tenants import require_project, require_tenant

__all__ = ["LONGEST_OVERLAP", "USED_SECONDS", "Keys", "usable_in"]

LONGEST_OVERLAP = 30 * 86400
# How coarse "last used" is: a row is written once in so long, however busy its key.
USED_SECONDS = 60
_LISTS = ("models", "routes", "addresses")
_FLAGS = ("overrides", "trusts_user")


def usable_in(connection: sqlite3.Connection) -> int:
    """How many keys of a store are not revoked."""
    (count,) = connection.execute("SELECT count(*) FROM keys WHERE revoked IS NULL").fetchone()
    return int(count)


class Keys:
    """The keys of a directory.

    Every write takes `note`, which is called within its transaction. All raise StoreFailed where the store cannot be
    read or written.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, new: NewKey, by: str, *, note: Note = unnoted) -> MadeKey:
        """Make a key; its secret is in the answer and nowhere else.

        Args:
            by: who makes it, for whoever looks at it later.

        Raises:
            InvalidRequest: a name or a right cannot be; `param` names it.
            NotFound, Conflict: there is no such tenant, it or the project is archived, or has a key of that name.
        """
        desk, now = self._desk, self._desk.now()
        checked_name(new.name, "name")
        if new.project:
            checked_name(new.project, "project")
        if new.env not in ENVS:
            raise InvalidRequest("env is live or test", do="Write one of them.", param="env")
        if new.project and not new.tenant:
            raise InvalidRequest("a project is a tenant's", do="Name the tenant.", param="project")
        rights = msgspec.structs.asdict(checked_rights(new, now))
        secret, id = make_key(new.env), desk.ids.new()
        made = KeyInfo(**rights, id=id, created=now, created_by=by, revoked=None, last_used=None, version=0, secrets=())

        def write(connection: sqlite3.Connection, version: int) -> KeyInfo:
            if new.tenant and new.tenant not in desk.declared:
                require_tenant(connection, new.tenant, desk.named)
            require_project(connection, new.tenant, new.project)
            if _named(connection, new.tenant, new.name):
                raise Conflict(f"there is a key {made.label}", do="Give it another name.", param="name")
            row = msgspec.structs.replace(made, version=version)
            connection.execute(_INSERT, _columns(row))
            self._know(connection, id, secret, now)
            after = _known(connection, id)
            note(connection, Change("key.create", id, new.tenant, None, after))
            return after

        return MadeKey(await desk.write(write), secret)

    async def get(self, id: str) -> KeyInfo:
        """That key; raises NotFound."""
        return await self._desk.db.read(lambda connection: _known(connection, id))

    async def find(self, name: str, tenant: str = "") -> KeyInfo:
        """The key of that name that is not revoked; raises NotFound."""

        def read(connection: sqlite3.Connection) -> KeyInfo:
            id = _named(connection, tenant, name)
            if id is None:
                raise NotFound(f"there is no key {as_asked(name)}", do="`penstock keys list` shows those there are.")
            return _known(connection, id)

        return await self._desk.db.read(read)

    async def page(
        self, tenant: str | None = None, after: str = "", most: int = 100, *, revoked: bool = False
    ) -> list[KeyInfo]:
        """The next ones, in the order in which they were made.

        Args:
            tenant: of that one alone; "" those of none; None: of all.
            after: an id.
            revoked: those too that are revoked.
        """

        def read(connection: sqlite3.Connection) -> list[KeyInfo]:
            ids = connection.execute(
                "SELECT id FROM keys WHERE id > ?1 AND (?2 IS NULL OR tenant = ?2) AND (?3 OR revoked IS NULL)"
                " ORDER BY id LIMIT ?4",
                (after, tenant, revoked, most),
            ).fetchall()
            return [_known(connection, id) for (id,) in ids]

        return await self._desk.db.read(read)

    async def change(self, id: str, rights: KeyRights, *, version: int | None = None, note: Note = unnoted) -> KeyInfo:
        """Give a key those rights and no others.

        Raises:
            InvalidRequest: a right cannot be; `param` names it.
            NotFound, Conflict: there is no such key, it or its tenant has ended, or it is another one by now (412).
        """

        def write(connection: sqlite3.Connection, now: int) -> KeyInfo:
            before = _usable(connection, id)
            require_version(before.version, version, f"the key {before.label}")
            # Of one that has expired the other rights may be changed too.
            past = before.expires is not None and before.expires == rights.expires
            found = checked_rights(msgspec.structs.replace(rights, expires=None) if past else rights, self._desk.now())
            wanted = {name: getattr(found, name) for name in KeyRights.__struct_fields__}
            wanted["expires"] = rights.expires
            row = msgspec.structs.replace(before, **wanted, version=now)
            connection.execute(_UPDATE, _columns(row))
            note(connection, Change("key.change", id, before.tenant, before, row))
            return row

        return await self._desk.write(write)

    async def rotate(self, id: str, overlap: int = 0, *, version: int | None = None, note: Note = unnoted) -> MadeKey:
        """Give a key a new secret; those it has are good for `overlap` more seconds at most.

        Raises:
            InvalidRequest: the overlap is too long, or negative.
            NotFound, Conflict: there is no such key, it or its tenant has ended, or it is another one by now (412).
        """
        if isinstance(overlap, bool) or not 0 <= overlap <= LONGEST_OVERLAP:
            raise InvalidRequest(
                f"overlap is at most {LONGEST_OVERLAP // 86400} days", do="Write 30m, 24h or 7d.", param="overlap"
            )
        drawn: list[Secret] = []

        def write(connection: sqlite3.Connection, now: int) -> KeyInfo:
            before = _usable(connection, id)
            require_version(before.version, version, f"the key {before.label}")
            at = self._desk.now()
            drawn.append(make_key(before.env))
            connection.execute(
                "UPDATE key_secrets SET ends = min(ifnull(ends, ?1), ?1) WHERE key = ?2", (at + overlap, id)
            )
            self._know(connection, id, drawn[-1], at)
            connection.execute("UPDATE keys SET version = ? WHERE id = ?", (now, id))
            after = _known(connection, id)
            note(connection, Change("key.rotate", id, before.tenant, before, after))
            return after

        return MadeKey(await self._desk.write(write), drawn[-1])

    async def revoke(self, id: str, *, version: int | None = None, note: Note = unnoted) -> KeyInfo:
        """End a key, at once and for good; one that is revoked stays as it is.

        Raises:
            NotFound, Conflict: there is no such key, or it is another one by now (412).
        """

        def write(connection: sqlite3.Connection, now: int) -> KeyInfo:
            before = _known(connection, id)
            require_version(before.version, version, f"the key {before.label}")
            if before.revoked is not None:
                return before
            after = msgspec.structs.replace(before, revoked=self._desk.now(), version=now)
            connection.execute("UPDATE keys SET revoked = ?, version = ? WHERE id = ?", (after.revoked, now, id))
            note(connection, Change("key.revoke", id, before.tenant, before, after))
            return after

        return await self._desk.write(write)

    async def holder(self, presented: str) -> KeyInfo | None:
        """The key whose secret that is, if it may be used now: not revoked, not expired, nothing of it archived."""
        digest, now = self._desk.vault.digest(presented), self._desk.now()

        def read(connection: sqlite3.Connection) -> KeyInfo | None:
            row = connection.execute(_HOLDER, (digest, now)).fetchone()
            return None if row is None else _known(connection, row[0])

        return await self._desk.db.read(read)

    async def used(self, ids: Sequence[str]) -> None:
        """Keep that those were used just now, as coarsely as it is kept; nobody's version changes by it."""
        now = self._desk.now()

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE keys SET last_used = ?1 WHERE id = ?2 AND (last_used IS NULL OR last_used <= ?3)",
                [(now, id, now - USED_SECONDS) for id in ids],
            )

        await self._desk.db.run(write)

    def _know(self, connection: sqlite3.Connection, id: str, secret: Secret, now: int) -> None:
        prefix, last_four = display_parts(secret)
        digest = self._desk.vault.digest(secret.reveal())
        connection.execute("INSERT INTO key_secrets VALUES (?, ?, ?, ?, ?, NULL)", (digest, id, prefix, last_four, now))


_NAMES = (
    *("id", "name", "env", "tenant", "project", "role", "models", "routes", "addresses", "expires", "max_output"),
    *("priority", "overrides", "trusts_user", "created", "created_by", "revoked", "last_used", "version"),
)
_INSERT = "INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_UPDATE = (
    "UPDATE keys SET role = ?6, models = ?7, routes = ?8, addresses = ?9, expires = ?10, max_output = ?11,"
    " priority = ?12, overrides = ?13, trusts_user = ?14, version = ?19 WHERE id = ?1"
)
_HOLDER = """
    SELECT k.id FROM key_secrets s JOIN keys k ON k.id = s.key
    LEFT JOIN tenants t ON t.name = k.tenant
    LEFT JOIN projects p ON p.tenant = k.tenant AND p.name = k.project
    WHERE s.digest = ?1 AND k.revoked IS NULL AND t.archived IS NULL AND p.archived IS NULL
    AND (k.expires IS NULL OR k.expires > ?2) AND (s.ends IS NULL OR s.ends > ?2)
"""


def _columns(row: KeyInfo) -> tuple[Any, ...]:
    def written(name: str) -> Any:
        value = getattr(row, name)
        return msgspec.json.encode(value).decode() if name in _LISTS and value is not None else value

    return tuple(written(name) for name in _NAMES)


def _living(connection: sqlite3.Connection, id: str) -> KeyInfo:
    """A key that is not revoked; raises NotFound, Conflict."""
    found = _known(connection, id)
    if found.revoked is not None:
        raise Conflict(f"the key {found.label} is revoked", do="Make another one.")
    return found


def _usable(connection: sqlite3.Connection, id: str) -> KeyInfo:
    """The same, and its tenant and project have not ended either."""
    found = _living(connection, id)
    if found.tenant:
        require_tenant(connection, found.tenant, (found.tenant,))  # one that is declared has no row
    require_project(connection, found.tenant, found.project)
    return found


def _known(connection: sqlite3.Connection, id: str) -> KeyInfo:
    row = connection.execute("SELECT * FROM keys WHERE id = ?", (id,)).fetchone()
    if row is None:
        raise NotFound(f"there is no key {as_asked(id)}", do="GET /api/v1/keys lists those there are.")
    fields: dict[str, Any] = dict(zip(_NAMES, row, strict=True))
    for name in _LISTS:
        if fields[name] is not None:
            fields[name] = tuple(msgspec.json.decode(fields[name]))
    for name in _FLAGS:
        fields[name] = bool(fields[name])
    secrets = connection.execute(
        "SELECT prefix, last_four, created, ends FROM key_secrets WHERE key = ?"
        " ORDER BY created DESC, ends IS NOT NULL",
        (id,),
    )
    return KeyInfo(**fields, secrets=tuple(KeySecret(*each) for each in secrets))


def _named(connection: sqlite3.Connection, tenant: str, name: str) -> str | None:
    row = connection.execute(
        "SELECT id FROM keys WHERE tenant = ? AND name = ? AND revoked IS NULL", (tenant, name)
    ).fetchone()
    return None if row is None else str(row[0])
