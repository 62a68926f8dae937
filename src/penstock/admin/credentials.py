"""`/api/v1/credentials`: what providers are paid with, kept in the store. What goes in never comes out here."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.bodies import read_body, tag_of, version_asked
from penstock.admin.moments import written
from penstock.admin.operations import PAGING, Operation, json, principal_of, resource
from penstock.admin.overview import Overview
from penstock.admin.pages import joined_page
from penstock.admin.register import Register
from penstock.config.stored import users_of
from penstock.errors import InvalidRequest
from penstock.redact import Secret
from penstock.stores.provider_secrets import CredentialInfo

__all__ = ["CredentialRoutes"]


class NewCredential(msgspec.Struct, kw_only=True):
    """A credential to be kept."""

    name: str
    value: str

    def __repr__(self) -> str:
        return f"<NewCredential {self.name!r}>"


class CredentialChange(msgspec.Struct, kw_only=True):
    """What takes its place."""

    value: str

    def __repr__(self) -> str:
        return "<CredentialChange>"


class CredentialRoutes:
    """The operations on providers' credentials."""

    def __init__(self, register: Register, overview: Overview) -> None:
        self._register = register
        self._credentials = register.directory.credentials
        self._overview = overview

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        path = "/api/v1/credentials"
        one = f"{path}/{{name}}"
        return (
            Operation(path, "list_credentials", "Those there are.", self.listed, "Credentials", query=PAGING),
            Operation(
                path, "create_credential", "Keep one, encrypted; `api_key: store:NAME` uses it.", self.create,
                "Credential", method="POST", takes="NewCredential", made=True,
            ),
            Operation(one, "show_credential", "One of them, without its value.", self.show, "Credential"),
            Operation(
                one, "change_credential", "Put another value in its place; it is used at once.", self.change,
                "Credential", method="PATCH", takes="CredentialChange", match="must",
            ),
            Operation(
                one, "remove_credential", "Forget it: providers that use it are switched off.", self.remove,
                "Credential", method="DELETE", match="must",
            ),
        )  # fmt: skip

    async def listed(self, request: Request) -> Response:
        """A page of them, by name."""

        async def stored(after: str, most: int) -> list[dict[str, Any]]:
            return [self._describe(each) | {"id": each.name} for each in await self._credentials.page(after, most)]

        page = await joined_page(request.query_params, [], stored)
        for each in page["data"]:
            del each["id"]
        return json(page)

    async def show(self, request: Request) -> Response:
        """One of them."""
        return resource(self._describe(await self._credentials.get(request.path_params["name"])))

    async def create(self, request: Request) -> Response:
        """Keep one."""
        body = read_body(request, NewCredential)
        made = await self._credentials.put(body.name, _secret(body.value), new=True, note=self._note(request))
        await self._register.audit.seal()
        return resource(self._describe(made), f"/api/v1/credentials/{made.name}")

    async def change(self, request: Request) -> Response:
        """Put another value in its place."""
        body, name = read_body(request, CredentialChange), request.path_params["name"]
        after = await self._credentials.put(
            name, _secret(body.value), new=False, version=version_asked(request), note=self._note(request)
        )
        await self._register.audit.seal()
        return resource(self._describe(after))

    async def remove(self, request: Request) -> Response:
        """Forget it."""
        name = request.path_params["name"]
        gone = await self._credentials.drop(name, version=version_asked(request), note=self._note(request))
        await self._register.audit.seal()
        return json(self._describe(gone))

    def _note(self, request: Request) -> Any:
        return self._register.audit.noting(principal_of(request).who)

    def _describe(self, info: CredentialInfo) -> dict[str, Any]:
        return {
            "name": info.name,
            "last_four": info.last_four or None,
            "providers": list(users_of(self._overview.config, info.name)),
            "created": written(info.created),
            "etag": tag_of(info.version),
        }


def _secret(value: str) -> Secret:
    if not value:
        raise InvalidRequest("value is empty", do="Send the credential as the provider gave it.", param="value")
    return Secret(value, "(sent)")
