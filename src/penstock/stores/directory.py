"""The directory: who may call, in whose name, and with what providers are paid; kept in the store.

`tenants` (with their projects), `keys` and `credentials` are its parts. Each of their changes has a version, by which
whoever has read the directory finds what has changed since. What the configuration file declares is not in here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from penstock.clock import Clock, Ids, Random
from penstock.redact import Secret
from penstock.stores.directory_desk import Desk
from penstock.stores.encryption_key import load_vault, lost
from penstock.stores.key_messages import KeyRow
from penstock.stores.keys import Keys
from penstock.stores.provider_secrets import Credentials
from penstock.stores.sqlite import Database
from penstock.stores.tenants import Tenants
from penstock.stores.vault import Vault

__all__ = ["Callers", "Changes", "Directory", "open_directory"]


# Keys that are read in a few milliseconds.
LITTLE = 100
# Tenants that a name may have been meant for.
MOST_NEAR = 1_000


class Changes(NamedTuple):
    """What of the keys has changed.

    Attributes:
        version: of the directory, as of which this holds.
        rows: keys as they may be used from now on, one for each secret.
        gone: digests of secrets that are good for nothing any more.
        archived: tenants and projects (`acme`, `acme/web`) that have ended, all of them, and with them every key of
            theirs, which are not told one by one; None where nothing has changed.
        credentials: providers' credentials there are, and at which version each is.
    """

    version: int
    rows: list[KeyRow]
    gone: list[bytes]
    archived: tuple[str, ...] | None
    credentials: frozenset[tuple[str, int]] = frozenset()


class Callers(NamedTuple):
    """Who may call.

    Attributes:
        tenants, keys: names of those that have not ended: of those that were asked for, and of some tenants besides.
        trusted: whether of any key the user that its calls name is believed.
    """

    tenants: frozenset[str]
    keys: frozenset[str]
    trusted: bool


class Directory:
    """A store's tenants, keys and credentials.

    Args:
        ids: of keys and credentials.

    Attributes:
        tenants, keys, credentials: its parts.
        vault: what it hashes and encrypts with.
    """

    def __init__(self, db: Database, vault: Vault, clock: Clock, ids: Ids) -> None:
        self._desk = desk = Desk(db, vault, clock, ids)
        self.vault = vault
        self.tenants = Tenants(desk)
        self.keys = Keys(desk)
        self.credentials = Credentials(desk)

    def __repr__(self) -> str:
        return f"<Directory {self._desk.db!r} {self.vault!r}>"

    def declare(self, tenants: Mapping[str, str], named: Iterable[str] = ()) -> None:
        """Say which tenants the configuration file declares, and where: keys may be theirs, and none of the store's can
        have their name.

        Args:
            named: those that the file's keys name besides: keys may be theirs as long as the store knows no better.
        """
        self._desk.declared = dict(tenants)
        self._desk.named = frozenset(named)

    def follow(self, changed: Callable[[], object]) -> None:
        """Have a function called after each change that was made here."""
        self._desk.changed = changed

    async def version(self) -> int:
        """The newest change's; raises StoreFailed."""
        return await self._desk.db.read(_version)

    async def changes(self, since: int) -> Changes:
        """What has changed after a version; 0 is all there is. Raises StoreFailed.

        What is little waits for nobody: a revocation must not stand behind somebody's report in the store's thread.
        """
        db = self._desk.db
        little = db.look(lambda connection: _little(connection, since)) if since else None
        return little if little is not None else await db.read(lambda connection: _changes(connection, since))

    async def called(self, labels: Sequence[str]) -> dict[str, int]:
        """When calls of those keys were booked last, to a quarter of an hour: for those that the store has not.

        Raises:
            StoreFailed: it cannot be read.
        """
        return await self._desk.db.read(lambda connection: _called(connection, labels)) if labels else {}

    async def callers(self, names: Sequence[str]) -> Callers:
        """Who may call, and which of those names are theirs. Raises StoreFailed."""
        return await self._desk.db.read(lambda connection: _callers(connection, names))


def open_directory(
    db: Database, folder: Path, encryption_key: Secret | None, clock: Clock, random: Random
) -> Directory:
    """The directory in a store, which must be open and is used in this thread; made in one that has none.

    Args:
        folder: where the encryption key's file lies, or is made.
        encryption_key: instead of that file's; None: nothing is declared.

    Raises:
        ConfigError: the encryption key is not the one that the store was made with, or cannot be used.
    """
    made_with = db.run_here(_fingerprint)
    vault = load_vault(folder, encryption_key, make=made_with is None)
    if vault is None or (made_with is not None and vault.fingerprint != made_with):
        raise lost(folder, vault, made_with or "")
    if made_with is None:
        fingerprint = vault.fingerprint
        db.run_here(lambda connection: connection.execute("INSERT INTO directory VALUES (1, 0, ?)", (fingerprint,)))
    return Directory(db, vault, clock, Ids(clock, random))


def _fingerprint(connection: sqlite3.Connection) -> str | None:
    row = connection.execute("SELECT fingerprint FROM directory").fetchone()
    return None if row is None else str(row[0])


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("SELECT version FROM directory").fetchone()[0])


def _called(connection: sqlite3.Connection, labels: Sequence[str]) -> dict[str, int]:
    wanted = msgspec.json.encode(labels).decode()
    days = dict(connection.execute(_BOOKED, ("day:key", wanted, 0)))
    # What is older than quarters of an hour are kept is told by its day.
    return days | dict(connection.execute(_BOOKED, ("key", wanted, min(days.values(), default=0))))


_BOOKED = """
    SELECT value, max(bucket) FROM rollups
    WHERE dimension = ?1 AND bucket >= ?3 AND value IN (SELECT value FROM json_each(?2)) GROUP BY value
"""


def _callers(connection: sqlite3.Connection, names: Sequence[str]) -> Callers:
    wanted = msgspec.json.encode(names).decode()
    tenants = connection.execute(_TENANTS, (wanted, MOST_NEAR)).fetchall()
    keys = connection.execute(_KEYS, (wanted,)).fetchall()
    (trusted,) = connection.execute(_TRUSTED).fetchone()
    return Callers(frozenset(name for (name,) in tenants), frozenset(label for (label,) in keys), bool(trusted))


_TENANTS = """
    SELECT name FROM tenants WHERE archived IS NULL AND name IN (SELECT value FROM json_each(?1))
    UNION SELECT name FROM (SELECT name FROM tenants WHERE archived IS NULL ORDER BY name LIMIT ?2)
"""
_KEYS = """
    SELECT wanted.value FROM json_each(?1) wanted JOIN keys k ON k.revoked IS NULL AND k.routes IS NOT '[]'
        AND k.name = substr(wanted.value, instr(wanted.value, '/') + 1)
        AND k.tenant = substr(wanted.value, 1, max(0, instr(wanted.value, '/') - 1))
"""
_TRUSTED = "SELECT EXISTS (SELECT 1 FROM keys WHERE trusts_user AND revoked IS NULL)"

_SINCE = """
    SELECT s.digest, k.id, k.name, k.tenant, k.project, k.models, k.routes, k.addresses, k.expires, s.ends,
        k.max_output, k.priority, k.overrides, k.trusts_user,
        k.revoked IS NULL AND t.archived IS NULL AND p.archived IS NULL
    FROM keys k JOIN key_secrets s ON s.key = k.id
    LEFT JOIN tenants t ON t.name = k.tenant
    LEFT JOIN projects p ON p.tenant = k.tenant AND p.name = k.project
    WHERE k.version > ?
"""


_ARCHIVED = """
    SELECT name, version FROM tenants WHERE archived IS NOT NULL
    UNION ALL SELECT tenant || '/' || name, version FROM projects WHERE archived IS NOT NULL
"""


def _little(connection: sqlite3.Connection, since: int) -> Changes | None:
    """What has changed; None where that is much."""
    many = "SELECT count(*) FROM (SELECT 1 FROM keys WHERE version > ? LIMIT ?)"
    (count,) = connection.execute(many, (since, LITTLE + 1)).fetchone()
    return _changes(connection, since) if count <= LITTLE else None


def _changes(connection: sqlite3.Connection, since: int) -> Changes:
    version = _version(connection)
    rows: list[KeyRow] = []
    gone: list[bytes] = []
    if version > since:
        for *fields, living in connection.execute(_SINCE, (since,)):
            if living:
                rows.append(_row(fields))
            else:
                gone.append(fields[0])
    archived = connection.execute(_ARCHIVED).fetchall()
    newer = since == 0 or any(each > since for _, each in archived)
    credentials = frozenset(connection.execute("SELECT name, version FROM provider_secrets"))
    return Changes(version, rows, gone, tuple(name for name, _ in archived) if newer else None, credentials)


def _row(fields: Sequence[Any]) -> KeyRow:
    digest, id, name, tenant, project, models, routes, addresses, expires, ends = fields[:10]
    max_output, priority, overrides, trusts_user = fields[10:]
    return KeyRow(
        digest=digest,
        id=id,
        label=f"{tenant}/{name}" if tenant else name,
        tenant=tenant or None,
        project=project or None,
        models=_list(models),
        routes=_list(routes),
        addresses=_list(addresses),
        expires=min((float(each) for each in (expires, ends) if each is not None), default=None),
        max_output=max_output,
        priority=priority,
        overrides=bool(overrides),
        trusts_user=bool(trusts_user),
    )


# Most keys share theirs with others.
@lru_cache(4096)
def _list(written: str | None) -> tuple[str, ...] | None:
    return None if written is None else tuple(msgspec.json.decode(written))
