"""`/api/v1/keys` and `/api/v1/admins`: callers' keys, and those that open the control plane alone.

Both are keys of one store, told apart by whether they have a role. A secret is in the answer that made it, and nowhere
else. What the configuration file declares is shown, and changed there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.bodies import read_body, version_asked
from penstock.admin.grants import bounded, require_role, tenant_for
from penstock.admin.key_shapes import (
    DECLARED,
    NewAdmin,
    NewKeyBody,
    RightsBody,
    Rotation,
    describe_declared,
    describe_key,
    rights_of,
)
from penstock.admin.moments import seconds, written
from penstock.admin.operations import PAGING, Operation, Query, json, principal_of, resource
from penstock.admin.overview import Overview
from penstock.admin.pages import joined_page
from penstock.admin.register import Register
from penstock.admin.rights import Principal
from penstock.clock import Clock
from penstock.config.stored_rules import declared_tenants
from penstock.errors import Conflict, Forbidden, InvalidRequest, NotFound
from penstock.redact import as_asked
from penstock.stores.directory_rows import KeyInfo, KeyRights, MadeKey, NewKey

__all__ = ["KeyRoutes"]

# Of the store at a time, where some are of the other kind.
_PAGE = 200
_TENANT = Query("tenant", "That one's alone; `-`: those of no tenant.", {"type": "string"})
_REVOKED = Query("revoked", "`true`: those too that are revoked.", {"enum": ["true", "false"]})
_LISTING = (*PAGING, _TENANT, _REVOKED)


class KeyRoutes:
    """The operations on keys.

    Args:
        admins: of those with a role; else of those without.
    """

    def __init__(self, register: Register, overview: Overview, clock: Clock, *, admins: bool) -> None:
        self._register = register
        self._overview = overview
        self._clock = clock
        self._admins = admins
        self._path = "/api/v1/admins" if admins else "/api/v1/keys"
        # Who changes one part of a key must not take back what another has changed since.
        self._changing = asyncio.Lock()

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        one, path = ("admin" if self._admins else "key"), self._path
        new = "NewAdmin" if self._admins else "NewKey"
        return (
            Operation(path, f"list_{one}s", "Those there are.", self.listed, "Keys", query=_LISTING),
            Operation(
                path, f"create_{one}", "Make one; its secret is told once, here.", self.create, "MadeKey",
                method="POST", takes=new, made=True,
            ),
            Operation(f"{path}/{{id}}", f"show_{one}", "One of them.", self.show, "Key"),
            Operation(
                f"{path}/{{id}}", f"change_{one}", "Change its rights; what is not said stays.", self.change, "Key",
                method="PATCH", takes="KeyRights", match="must",
            ),
            Operation(
                f"{path}/{{id}}/revoke", f"revoke_{one}", "End it, at once and for good.", self.revoke, "Key",
                method="POST", match="may",
            ),
            Operation(
                f"{path}/{{id}}/rotate", f"rotate_{one}", "Give it a new secret, told once, here.", self.rotate,
                "MadeKey", method="POST", takes="Rotation", match="must",
            ),
        )  # fmt: skip

    async def listed(self, request: Request) -> Response:
        """A page of them: what is declared, then what is stored, in the order in which it was made."""
        query, principal, now = request.query_params, principal_of(request), self._now()
        asked = query.get("tenant")
        if asked is not None:
            tenant: str | None = tenant_for(principal, "" if asked == "-" else asked)
        else:
            tenant = principal.tenant or None

        async def stored(after: str, most: int) -> list[dict[str, Any]]:
            found = await self._stored(tenant, after, most, revoked=query.get("revoked") == "true")
            ended = await self._ended({each.tenant for each in found})
            return [describe_key(each, now, archived=each.tenant in ended) for each in found]

        declared = [
            told
            for told in self._declared()
            if principal.sees(told["tenant"]) and (tenant is None or (told["tenant"] or "") == tenant)
        ]
        page = await joined_page(query, declared, stored)
        return json(page | {"data": await self._with_use(page["data"])})

    async def show(self, request: Request) -> Response:
        """One of them."""
        id, principal = request.path_params["id"], principal_of(request)
        if id.startswith(DECLARED):
            return resource((await self._with_use([self._declared_one(id, principal)]))[0])
        found = await self._get(id, principal)
        ended = await self._ended({found.tenant})
        return resource(describe_key(found, self._now(), archived=found.tenant in ended))

    async def create(self, request: Request) -> Response:
        """Make one."""
        body = read_body(request, NewAdmin) if self._admins else read_body(request, NewKeyBody)
        principal, directory = principal_of(request), self._register.directory
        tenant = tenant_for(principal, body.tenant)
        self._refuse_declared(body.name, tenant)
        wanted = rights_of(body, self._now())
        named: dict[str, Any] = {"name": body.name, "env": body.env, "tenant": tenant}
        if isinstance(body, NewAdmin):
            require_role(principal, body.role, tenant)
            named |= {"role": body.role, "routes": ()}
        else:
            named["project"] = body.project
        rights = msgspec.structs.asdict(self._within(principal, wanted))
        new = NewKey(**(rights | named))
        made = await directory.keys.create(new, principal.name, note=self._register.audit.noting(principal.who))
        return await self._told(made, f"{self._path}/{made.key.id}")

    async def change(self, request: Request) -> Response:
        """Change its rights."""
        body, principal = read_body(request, RightsBody), principal_of(request)
        async with self._changing:
            before = await self._own(request, principal)
            version = version_asked(request)
            rights = self._within(principal, rights_of(body, self._now(), before))
            after = await self._register.directory.keys.change(
                before.id, rights, version=version, note=self._register.audit.noting(principal.who)
            )
        await self._register.audit.seal()
        return resource(describe_key(after, self._now()))

    async def revoke(self, request: Request) -> Response:
        """End it."""
        principal = principal_of(request)
        before = await self._own(request, principal)
        after = await self._register.directory.keys.revoke(
            before.id,
            version=version_asked(request, needed=False),
            note=self._register.audit.noting(principal.who),
        )
        await self._register.audit.seal()
        return resource(describe_key(after, self._now()))

    async def rotate(self, request: Request) -> Response:
        """Give it a new secret."""
        body, principal = read_body(request, Rotation), principal_of(request)
        async with self._changing:
            before = await self._own(request, principal)
            version = version_asked(request)
            # Who gets its secret gets all that it may.
            rights = KeyRights(**{name: getattr(before, name) for name in KeyRights.__struct_fields__})
            if self._within(principal, rights) != rights:
                raise Forbidden("that key may do more than you may give", do="Have an admin rotate it.")
            made = await self._register.directory.keys.rotate(
                before.id,
                seconds(body.overlap, "overlap"),
                version=version,
                note=self._register.audit.noting(principal.who),
            )
        return await self._told(made)

    # ---

    async def _told(self, made: MadeKey, made_at: str = "") -> Response:
        await self._register.audit.seal()
        told = describe_key(made.key, self._now()) | {"secret": made.secret.reveal()}
        return resource(told, made_at)

    async def _with_use(self, told: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same; of declared ones, of which the store has no row, the books say when they were used last."""
        labels = [each["label"] for each in told if each["declared"]]
        used = await self._register.directory.called(labels)
        return [each | {"last_used": written(used.get(each["label"]))} if each["declared"] else each for each in told]

    async def _ended(self, tenants: set[str]) -> set[str]:
        """Those of them that are archived."""
        found = set()
        for name in tenants - {""} - set(declared_tenants(self._overview.config)):
            with suppress(NotFound):  # the file declared it once
                if (await self._register.directory.tenants.get(name)).archived is not None:
                    found.add(name)
        return found

    def _now(self) -> int:
        return int(self._clock.wall())

    def _within(self, principal: Principal, wanted: KeyRights) -> KeyRights:
        if wanted.routes == () and not self._admins:
            raise InvalidRequest(
                "routes is empty, which allows nothing", do="Leave it out to allow every route.", param="routes"
            )
        return bounded(principal, wanted, self._overview.config.models)

    async def _stored(self, tenant: str | None, after: str, most: int, *, revoked: bool) -> list[KeyInfo]:
        found: list[KeyInfo] = []
        while len(found) < most:
            rows = await self._register.directory.keys.page(tenant, after, _PAGE, revoked=revoked)
            found += [row for row in rows if (row.role is not None) == self._admins]
            if len(rows) < _PAGE:
                break
            after = rows[-1].id
        return found[:most]

    async def _get(self, id: str, principal: Principal) -> KeyInfo:
        """A stored one that is there for it; raises NotFound."""
        try:
            found = await self._register.directory.keys.get(id)
        except NotFound:
            raise self._missing(id) from None
        if not principal.sees(found.tenant) or (found.role is not None) != self._admins:
            raise self._missing(id)
        return found

    async def _own(self, request: Request, principal: Principal) -> KeyInfo:
        """One that it may change; raises NotFound, Forbidden, and Conflict for what the file declares."""
        id = request.path_params["id"]
        if id.startswith(DECLARED):
            told = self._declared_one(id, principal)
            raise Conflict(f"the key {told['name']} is declared at {told['declared']}", do="Change it there.")
        found = await self._get(id, principal)
        if found.role is not None:
            require_role(principal, found.role, found.tenant)
        return found

    # --- what the file declares

    def _declared(self) -> list[dict[str, Any]]:
        keys = [key for key in self._overview.config.keys if (key.role is not None) == self._admins or not self._admins]
        return [describe_declared(key, self._now()) for key in keys]

    def _declared_one(self, id: str, principal: Principal) -> dict[str, Any]:
        for told in self._declared():
            if told["id"] == id and principal.sees(told["tenant"]):
                return told
        raise self._missing(id)

    def _missing(self, id: str) -> NotFound:
        what = "nobody with a role is" if self._admins else "there is no key"
        return NotFound(f"{what} {as_asked(id)}", do=f"GET {self._path} lists those there are.")

    def _refuse_declared(self, name: str, tenant: str) -> None:
        label = f"{tenant}/{name}" if tenant else name
        for key in self._overview.config.keys:
            if key.name == label or (key.name == name and (key.tenant or "") == tenant):
                raise Conflict(
                    f"the key {key.name} is declared at {key.where}", do="Give it another name.", param="name"
                )
