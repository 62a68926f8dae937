"""Limits and budgets that the control plane made, in the store: in the words of the configuration file, as JSON.

What the words mean is for whoever reads them (admin/rules.py); here they are kept, changed and taken away.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.clock import Clock, Ids
from penstock.errors import Conflict, NotFound
from penstock.redact import as_asked
from penstock.stores.sqlite import Database

__all__ = ["Kind", "Noted", "Rulebook", "StoredRule", "rules_in"]

Kind = Literal["limit", "budget"]


class StoredRule(msgspec.Struct, frozen=True):
    """One that was made.

    Attributes:
        tenant: whose it is alone; "" for nobody's.
        owner: to which tenant whoever made it belonged; "" for none: only such may change it.
        body: as it would stand under `limits:` or `budgets:`.
        version: of the row, for if-match.
    """

    id: str
    kind: Kind
    tenant: str
    owner: str
    body: dict[str, Any]
    created: int
    created_by: str
    version: int


class Noted(NamedTuple):
    """A change, as the audit log takes it."""

    what: str
    subject: str
    tenant: str
    before: Any
    after: Any


Note = Callable[[sqlite3.Connection, Noted], object]


class Rulebook:
    """The rules of a store. All raise StoreFailed where it cannot be read or written."""

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids

    async def all(self) -> list[StoredRule]:
        """Every one, in the order in which they were made."""
        return await self._db.read(rules_in)

    async def get(self, kind: Kind, id: str) -> StoredRule:
        """That one; raises NotFound."""
        return await self._db.read(lambda connection: _known(connection, kind, id))

    async def create(self, rule: StoredRule, *, note: Note) -> StoredRule:
        """Keep a new one; `id`, `created` and `version` are given to it here."""
        made = msgspec.structs.replace(rule, id=self._ids.new(), created=int(self._clock.wall()), version=1)

        def write(connection: sqlite3.Connection) -> StoredRule:
            connection.execute("INSERT INTO stored_rules VALUES (?, ?, ?, ?, ?, ?, ?, ?)", _row(made))
            note(connection, Noted(f"{made.kind}.create", made.id, made.tenant, None, made.body))
            return made

        return await self._db.run(write)

    async def change(self, rule: StoredRule, version: int | None, *, note: Note) -> StoredRule:
        """Give the one of that id other words, and whose it is by them.

        Args:
            version: the row's, where it must not have changed since.

        Raises:
            NotFound, Conflict: there is none, or it is another one by now (412).
        """

        def write(connection: sqlite3.Connection) -> StoredRule:
            before = _expected(connection, rule.kind, rule.id, version)
            after = msgspec.structs.replace(before, tenant=rule.tenant, body=rule.body, version=before.version + 1)
            connection.execute(
                "UPDATE stored_rules SET tenant = ?, body = ?, version = ? WHERE id = ?",
                (after.tenant, msgspec.json.encode(after.body).decode(), after.version, after.id),
            )
            note(connection, Noted(f"{after.kind}.change", after.id, after.tenant, before.body, after.body))
            return after

        return await self._db.run(write)

    async def remove(self, kind: Kind, id: str, version: int | None, *, note: Note) -> StoredRule:
        """Take one away, and return what it was; raises as `change`."""

        def write(connection: sqlite3.Connection) -> StoredRule:
            before = _expected(connection, kind, id, version)
            connection.execute("DELETE FROM stored_rules WHERE id = ?", (id,))
            note(connection, Noted(f"{kind}.remove", id, before.tenant, before.body, None))
            return before

        return await self._db.run(write)


_ALL = "SELECT * FROM stored_rules ORDER BY id"


def rules_in(connection: sqlite3.Connection) -> list[StoredRule]:
    """Every rule of a store, in the order in which they were made."""
    return [_rule(row) for row in connection.execute(_ALL)]


def _row(rule: StoredRule) -> tuple[Any, ...]:
    values = msgspec.structs.asdict(rule) | {"body": msgspec.json.encode(rule.body).decode()}
    return tuple(values.values())


def _rule(row: tuple[Any, ...]) -> StoredRule:
    fields = dict(zip(StoredRule.__struct_fields__, row, strict=True))
    return StoredRule(**fields | {"body": msgspec.json.decode(fields["body"])})


def _known(connection: sqlite3.Connection, kind: Kind, id: str) -> StoredRule:
    row = connection.execute("SELECT * FROM stored_rules WHERE id = ? AND kind = ?", (id, kind)).fetchone()
    if row is None:
        raise NotFound(f"there is no {kind} {as_asked(id)}", do=f"GET /api/v1/{kind}s lists those there are.")
    return _rule(row)


def _expected(connection: sqlite3.Connection, kind: Kind, id: str, version: int | None) -> StoredRule:
    found = _known(connection, kind, id)
    if version is not None and found.version != version:
        raise Conflict(
            f"the {kind} was changed meanwhile: it is at version {found.version}",
            do="Look at it again, and send the change for what it is now.",
            status=412,
        )
    return found
