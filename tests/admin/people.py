"""Those who have a role, for tests of the control plane: by their secrets."""

from __future__ import annotations

from penstock.admin.rights import Principal
from tests.admin.asgi import ADMIN, Header

__all__ = ["PEOPLE", "People", "bearer"]

PEOPLE = {
    "viewer": Principal("key:viewer", "viewer"),
    "operator": Principal("key:operator", "operator"),
    "second admin": Principal("key:second", "admin"),
    "acme viewer": Principal("key:acme-viewer", "viewer", "acme"),
    "acme operator": Principal("key:acme-operator", "operator", "acme"),
    "acme tenant_admin": Principal("key:acme-admin", "tenant_admin", "acme"),
}


class People:
    """Knows them, all but those that are revoked."""

    def __init__(self) -> None:
        self.revoked: set[str] = set()

    async def principal(self, secret: str, address: str) -> Principal | None:
        return PEOPLE.get(secret) if secret not in self.revoked else None


def bearer(who: str) -> Header:
    """What they send."""
    return ADMIN if who == "admin" else ("authorization", f"Bearer {who}")
