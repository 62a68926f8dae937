"""`/api/v1/tenants`: who pays. Those of the store, and those that the configuration file declares or names at a key."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.bodies import read_body, tag_of, version_asked
from penstock.admin.moments import written
from penstock.admin.operations import PAGING, Operation, Query, json, principal_of, resource
from penstock.admin.overview import Overview
from penstock.admin.pages import joined_page
from penstock.admin.register import Register
from penstock.config.schema import Tenant
from penstock.config.stored_rules import declared_tenants
from penstock.errors import Conflict, NotFound
from penstock.redact import as_asked
from penstock.stores.directory_rows import Tenant as StoredTenant

__all__ = ["TenantRoutes"]

_ARCHIVED = Query("archived", "`true`: those too that have ended.", {"enum": ["true", "false"]})
_DECLARED = "declared:"
_MOST_PROJECTS = 1000


class NewTenant(msgspec.Struct, kw_only=True):
    """A tenant to be made."""

    name: str
    charge: Literal["attempts", "winner"] = "attempts"
    weight: int = 1


class TenantChange(msgspec.Struct, kw_only=True):
    """What of a tenant can be changed."""

    charge: Literal["attempts", "winner"] | None = None
    weight: int | None = None


class TenantRoutes:
    """The operations on tenants."""

    def __init__(self, register: Register, overview: Overview) -> None:
        self._register = register
        self._tenants = register.directory.tenants
        self._overview = overview

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        path = "/api/v1/tenants"
        one = f"{path}/{{name}}"
        return (
            Operation(path, "list_tenants", "Those there are.", self.listed, "Tenants", query=(*PAGING, _ARCHIVED)),
            Operation(
                path, "create_tenant", "Make one.", self.create, "Tenant", method="POST", takes="NewTenant", made=True
            ),
            Operation(one, "show_tenant", "One of them, with its projects.", self.show, "Tenant"),
            Operation(
                one, "change_tenant", "Change what it pays for, or its weight.", self.change, "Tenant",
                method="PATCH", takes="TenantChange", match="must",
            ),
            Operation(
                f"{one}/archive", "archive_tenant", "End it, and all its keys with it.", self.archive, "Tenant",
                method="POST", match="must",
            ),
        )  # fmt: skip

    async def listed(self, request: Request) -> Response:
        """A page of them: what is declared, then what is stored, by name."""
        principal = principal_of(request)
        query = request.query_params

        async def stored(after: str, most: int) -> list[dict[str, Any]]:
            if principal.tenant:
                found = await self._own(principal.tenant) if after < principal.tenant else []
            else:
                found = await self._tenants.page(after, most, archived=query.get("archived") == "true")
            return [_describe(each) | {"id": each.name} for each in found[:most]]

        declared = [
            told | {"id": f"{_DECLARED}{told['name']}"}
            for told in await self._declared()
            if principal.sees(told["name"])
        ]
        page = await joined_page(query, declared, stored)
        for each in page["data"]:
            del each["id"]
        return json(page)

    async def show(self, request: Request) -> Response:
        """One of them."""
        name = request.path_params["name"]
        if not principal_of(request).sees(name):
            raise _missing(name)
        for told in await self._declared():
            if told["name"] == name:
                return resource(told)
        return resource(await self._whole(await self._tenants.get(name)))

    async def create(self, request: Request) -> Response:
        """Make one."""
        body, principal = read_body(request, NewTenant), principal_of(request)
        self._refuse_declared(body.name)
        made = await self._tenants.create(
            body.name,
            charge=body.charge,
            weight=body.weight,
            note=self._register.audit.noting(principal.who),
        )
        await self._kept(made)
        return resource(await self._whole(made), f"/api/v1/tenants/{made.name}")

    async def change(self, request: Request) -> Response:
        """Change it."""
        body, name = read_body(request, TenantChange), request.path_params["name"]
        await self._refuse_unstored(name)
        after = await self._tenants.change(
            name,
            charge=body.charge,
            weight=body.weight,
            version=version_asked(request),
            note=self._register.audit.noting(principal_of(request).who),
        )
        await self._kept(after, changed=True)
        return resource(await self._whole(after))

    async def archive(self, request: Request) -> Response:
        """End it."""
        name = request.path_params["name"]
        await self._refuse_unstored(name)
        after = await self._tenants.archive(
            name, version=version_asked(request), note=self._register.audit.noting(principal_of(request).who)
        )
        await self._register.audit.seal()
        return resource(await self._whole(after))

    # ---

    async def _kept(self, tenant: StoredTenant, *, changed: bool = False) -> None:
        await self._register.audit.seal()
        if changed or (tenant.charge, tenant.weight) != ("attempts", 1):
            await self._register.use(f"/api/v1/tenants/{tenant.name}")

    async def _own(self, name: str) -> list[StoredTenant]:
        try:
            return [await self._tenants.get(name)]
        except NotFound:  # the file declares it
            return []

    async def _whole(self, tenant: StoredTenant) -> dict[str, Any]:
        projects = await self._tenants.projects(tenant.name, most=_MOST_PROJECTS)
        return _describe(tenant) | {"projects": [each.name for each in projects]}

    async def _declared(self) -> list[dict[str, Any]]:
        """Those of the file; of those that it names at a key alone, whom the store does not have."""
        config = self._overview.config
        found = [_of_file(tenant) for tenant in config.tenants if tenant.where]
        known = {tenant.name for tenant in config.tenants if tenant.where}
        for key in config.keys:
            if key.tenant and key.tenant not in known:
                known.add(key.tenant)
                if not await self._own(key.tenant):
                    found.append(_of_file(Tenant(name=key.tenant, where=key.where)))
        return found

    def _refuse_declared(self, name: str) -> None:
        where = declared_tenants(self._overview.config).get(name)
        if where is not None:
            raise Conflict(f"the tenant {name} is declared at {where}", do="Change it there.", param="name")

    async def _refuse_unstored(self, name: str) -> None:
        """One that the file has, be it at a key alone."""
        self._refuse_declared(name)
        for told in await self._declared():
            if told["name"] == name:
                raise Conflict(
                    f"the tenant {name} is only named by a key at {told['declared']}, and nothing more is kept of it",
                    do="Change the key there, or make the tenant first (penstock tenants create).",
                    param="name",
                )


def _of_file(tenant: Tenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "state": "active",
        "charge": tenant.charge,
        "weight": tenant.weight,
        "projects": list(tenant.projects),
        "created": None,
        "archived": None,
        "declared": tenant.where,
        "etag": None,
    }


def _describe(tenant: StoredTenant) -> dict[str, Any]:
    return {
        "name": tenant.name,
        "state": "active" if tenant.archived is None else "archived",
        "charge": tenant.charge,
        "weight": tenant.weight,
        "created": written(tenant.created),
        "archived": written(tenant.archived),
        "declared": None,
        "etag": tag_of(tenant.version),
    }


def _missing(name: str) -> NotFound:
    return NotFound(f"there is no tenant {as_asked(name)}", do="GET /api/v1/tenants lists those there are.")
