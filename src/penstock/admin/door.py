"""Who is let in: the admin key's bearer, who is an admin, and whoever else is known to have a role here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from penstock.admin.credential import FILE, VARIABLE, Credential
from penstock.admin.rights import Principal
from penstock.admin.tries import Tries
from penstock.errors import RateLimited, Unauthenticated

__all__ = ["ADMIN_KEY", "FILE_OWNER", "Door", "LocalDoor", "Principals"]

ADMIN_KEY = Principal("admin-key", "admin")
FILE_OWNER = Principal("file", "admin")


class Principals(Protocol):
    """Who knows those that have a role."""

    async def principal(self, secret: str, address: str) -> Principal | None:
        """Whose secret that is; None where nobody's, it is revoked or has expired, or may not be used from there."""
        ...


class Door:
    """Tells who asks.

    Args:
        credential: the admin key.
        principals: who else may; None: nobody.
        noticed: is told that the admin key has become another one.
        tries: counts what is wrong; None: nobody does.
    """

    def __init__(
        self,
        credential: Credential,
        principals: Principals | None = None,
        noticed: Callable[[], Awaitable[None]] | None = None,
        tries: Tries | None = None,
    ) -> None:
        self._credential = credential
        self._principals = principals
        self._noticed = noticed
        self._tries = tries

    async def admit(self, authorization: Sequence[str], address: str = "") -> Principal:
        """Who sent these Authorization headers, all of one request's, from that address.

        Raises:
            Unauthenticated: none, several, or not `Bearer` with a secret that is known; always in the same words.
            RateLimited: wrong ones came from there again and again, and this is one more. A right one is let in, too.
        """
        given = _bearer(authorization[0]) if len(authorization) == 1 else ""
        opened = self._credential.opens(given)
        if self._credential.changed and self._noticed is not None:
            self._credential.changed = False
            await self._noticed()
        if opened:
            return ADMIN_KEY
        known = self._principals if given else None
        found = await known.principal(given, address) if known is not None else None
        if found is None:
            # What is not there is no try.
            wait = await self._tries.wrong(address) if self._tries is not None and authorization else 0.0
            raise _refusal(wait)
        return found


class LocalDoor(Door):
    """Lets in whoever works on the file itself: who can write the state's folder needs no other credential."""

    def __init__(self) -> None:
        pass

    async def admit(self, authorization: Sequence[str], address: str = "") -> Principal:
        """As `Door`; always the same."""
        return FILE_OWNER


def _refusal(wait: float) -> Unauthenticated | RateLimited:
    do = f"Send `Authorization: Bearer <{VARIABLE} or {FILE}>`."
    if not wait:
        return Unauthenticated("the admin key is missing or wrong", do=do)
    return RateLimited(
        "wrong admin keys came from your address again and again",
        do=f"{do} A right one is let in at once; a wrong one makes the wait longer.",
        retry_after=wait,
    )


def _bearer(authorization: str) -> str:
    scheme, _, rest = authorization.partition(" ")
    return rest.strip(" ") if scheme.lower() == "bearer" else ""  # RFC 9110, 11.1: schemes have no case
