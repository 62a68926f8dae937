"""Tenants and their projects, in the store. One that is archived stays in the books, and its keys end with it."""

from __future__ import annotations

import sqlite3
from collections.abc import Container

import msgspec

from penstock.errors import Conflict, InvalidRequest, NotFound
from penstock.redact import as_asked
from penstock.stores.directory_desk import Desk, require_version, unnoted
from penstock.stores.directory_rows import Change, Charge, Note, Project, Tenant, checked_name, unusual_in

__all__ = ["HEAVIEST", "Tenants", "require_project", "require_tenant"]

HEAVIEST = 1_000_000


class Tenants:
    """The tenants of a directory.

    Every write takes `note`, which is called within its transaction. All raise StoreFailed where the store cannot be
    read or written.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def create(self, name: str, *, charge: Charge = "attempts", weight: int = 1, note: Note = unnoted) -> Tenant:
        """Make a tenant.

        Raises:
            InvalidRequest: the name, the charge or the weight is none.
            Conflict: there is one of that name, archived ones and those of the configuration file included.
        """
        tenant = Tenant(checked_name(name, "name"), _charge(charge), _weight(weight), self._desk.now(), None, 0)
        if name in self._desk.declared:
            raise Conflict(
                f"the tenant {name} is declared at {self._desk.declared[name]}", do="Change it there.", param="name"
            )

        def write(connection: sqlite3.Connection, version: int) -> Tenant:
            if _find(connection, name) is not None:
                raise Conflict(f"there is a tenant {name}", do="Give it another name.", param="name")
            connection.execute(
                "INSERT INTO tenants VALUES (?, ?, ?, ?, NULL, ?)",
                (name, tenant.charge, tenant.weight, tenant.created, version),
            )
            made = msgspec.structs.replace(tenant, version=version)
            note(connection, Change("tenant.create", name, name, None, made))
            return made

        return await self._desk.write(write)

    async def get(self, name: str) -> Tenant:
        """That tenant; raises NotFound."""
        return await self._desk.db.read(lambda connection: _known(connection, name))

    async def page(self, after: str = "", most: int = 100, *, archived: bool = False) -> list[Tenant]:
        """The next ones by name; with `archived` those too that have ended."""

        def read(connection: sqlite3.Connection) -> list[Tenant]:
            rows = connection.execute(
                "SELECT * FROM tenants WHERE name > ? AND (? OR archived IS NULL) ORDER BY name LIMIT ?",
                (after, archived, most),
            )
            return [Tenant(*row) for row in rows]

        return await self._desk.db.read(read)

    async def unusual(self) -> list[Tenant]:
        """Those of whom something else holds than of the others: what they pay for, or their weight."""
        return await self._desk.db.read(unusual_in)

    async def change(
        self,
        name: str,
        *,
        charge: Charge | None = None,
        weight: int | None = None,
        version: int | None = None,
        note: Note = unnoted,
    ) -> Tenant:
        """Change what is given.

        Args:
            version: the row's, where it must not have changed since.

        Raises:
            NotFound, Conflict: there is no such tenant, it is archived, or another one by now (412).
            InvalidRequest: the charge or the weight is none.
        """

        def write(connection: sqlite3.Connection, now: int) -> Tenant:
            before = require_tenant(connection, name)
            assert before is not None
            require_version(before.version, version, f"the tenant {name}")
            after = msgspec.structs.replace(
                before,
                charge=before.charge if charge is None else _charge(charge),
                weight=before.weight if weight is None else _weight(weight),
                version=now,
            )
            connection.execute(
                "UPDATE tenants SET charge = ?, weight = ?, version = ? WHERE name = ?",
                (after.charge, after.weight, now, name),
            )
            note(connection, Change("tenant.change", name, name, before, after))
            return after

        return await self._desk.write(write)

    async def archive(self, name: str, *, version: int | None = None, note: Note = unnoted) -> Tenant:
        """End a tenant, and with it all its keys, at once; one that has ended stays as it is.

        Raises:
            NotFound, Conflict: there is no such tenant, or it is another one by now (412).
        """

        def write(connection: sqlite3.Connection, now: int) -> Tenant:
            before = _known(connection, name)
            require_version(before.version, version, f"the tenant {name}")
            if before.archived is not None:
                return before
            after = msgspec.structs.replace(before, archived=self._desk.now(), version=now)
            connection.execute(
                "UPDATE tenants SET archived = ?, version = ? WHERE name = ?", (after.archived, now, name)
            )
            note(connection, Change("tenant.archive", name, name, before, after))
            return after

        return await self._desk.write(write)

    async def create_project(self, tenant: str, name: str, *, note: Note = unnoted) -> Project:
        """Make a project of a tenant.

        Raises:
            InvalidRequest: the name is none.
            NotFound, Conflict: there is no such tenant, it is archived, or it has such a project.
        """
        checked_name(name, "name")

        def write(connection: sqlite3.Connection, now: int) -> Project:
            if tenant not in self._desk.declared:
                require_tenant(connection, tenant, self._desk.named)
            if _find_project(connection, tenant, name) is not None:
                raise Conflict(f"{tenant} has a project {name}", do="Give it another name.", param="name")
            made = Project(tenant, name, self._desk.now(), None, now)
            connection.execute("INSERT INTO projects VALUES (?, ?, ?, NULL, ?)", (tenant, name, made.created, now))
            note(connection, Change("project.create", f"{tenant}/{name}", tenant, None, made))
            return made

        return await self._desk.write(write)

    async def projects(self, tenant: str, after: str = "", most: int = 100, *, archived: bool = False) -> list[Project]:
        """A tenant's projects, the next ones by name."""

        def read(connection: sqlite3.Connection) -> list[Project]:
            rows = connection.execute(
                "SELECT * FROM projects WHERE tenant = ? AND name > ? AND (? OR archived IS NULL)"
                " ORDER BY name LIMIT ?",
                (tenant, after, archived, most),
            )
            return [Project(*row) for row in rows]

        return await self._desk.db.read(read)

    async def archive_project(
        self, tenant: str, name: str, *, version: int | None = None, note: Note = unnoted
    ) -> Project:
        """End a project, and with it all its keys, at once; raises as `archive`."""

        def write(connection: sqlite3.Connection, now: int) -> Project:
            before = _find_project(connection, tenant, name)
            if before is None:
                raise NotFound(f"{tenant} has no project {name}", do="GET /api/v1/tenants lists what there is.")
            require_version(before.version, version, f"the project {tenant}/{name}")
            if before.archived is not None:
                return before
            after = msgspec.structs.replace(before, archived=self._desk.now(), version=now)
            connection.execute(
                "UPDATE projects SET archived = ?, version = ? WHERE tenant = ? AND name = ?",
                (after.archived, now, tenant, name),
            )
            note(connection, Change("project.archive", f"{tenant}/{name}", tenant, before, after))
            return after

        return await self._desk.write(write)


def require_tenant(connection: sqlite3.Connection, name: str, named: Container[str] = ()) -> Tenant | None:
    """A tenant of the store that has not ended; None for one that the store does not know and that is among `named`.

    Raises:
        NotFound, Conflict: there is none, or it has.
    """
    found = _find(connection, name) if name in named else _known(connection, name)
    if found is None:
        return None
    if found.archived is not None:
        raise Conflict(f"the tenant {name} is archived", do="Nothing more can be made or changed for it.")
    return found


def require_project(connection: sqlite3.Connection, tenant: str, name: str) -> None:
    """See that a project has not ended. One that nobody made needs no row: it is a word on a key.

    Raises:
        Conflict: it has.
    """
    found = _find_project(connection, tenant, name)
    if found is not None and found.archived is not None:
        raise Conflict(f"the project {tenant}/{name} is archived", do="Give the key to another one.", param="project")


def _known(connection: sqlite3.Connection, name: str) -> Tenant:
    found = _find(connection, name)
    if found is None:
        raise NotFound(
            f"there is no tenant {as_asked(name)}",
            do="GET /api/v1/tenants lists those there are, POST /api/v1/tenants makes one.",
        )
    return found


def _find(connection: sqlite3.Connection, name: str) -> Tenant | None:
    row = connection.execute("SELECT * FROM tenants WHERE name = ?", (name,)).fetchone()
    return None if row is None else Tenant(*row)


def _find_project(connection: sqlite3.Connection, tenant: str, name: str) -> Project | None:
    row = connection.execute("SELECT * FROM projects WHERE tenant = ? AND name = ?", (tenant, name)).fetchone()
    return None if row is None else Project(*row)


def _charge(charge: str) -> Charge:
    if charge == "attempts":
        return "attempts"
    if charge == "winner":
        return "winner"
    raise InvalidRequest("charge is attempts or winner", do="Write one of them.", param="charge")


def _weight(weight: int) -> int:
    if isinstance(weight, bool) or not 1 <= weight <= HEAVIEST:
        raise InvalidRequest(f"weight is a number from 1 to {HEAVIEST}", do="Correct it.", param="weight")
    return weight
