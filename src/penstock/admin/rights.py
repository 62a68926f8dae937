"""Who may do what on the control plane: one table, by method and path. What is not in it cannot be asked for.

Roles in ascending order: who has one may do what those before it may. A principal that belongs to a tenant sees and
changes what is that tenant's alone: anything else is not there for it (404), and what concerns everybody it may not ask
for (403).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, get_args

import msgspec

from penstock.errors import Forbidden
from penstock.stores.audit import Who
from penstock.stores.directory_rows import KeyRights, Role

__all__ = ["OPEN", "RIGHTS", "ROLES", "Principal", "Right", "Role", "require", "right_of"]

ROLES: tuple[Role, ...] = get_args(Role)


class Principal(msgspec.Struct, frozen=True):
    """Who asks the control plane.

    Attributes:
        name: as the audit log has it.
        tenant: to which it belongs; "" for none: it sees all of them.
        grants: what the keys that it makes may do at most; None: everything.
    """

    name: str
    role: Role
    tenant: str = ""
    grants: KeyRights | None = None

    @property
    def who(self) -> Who:
        """As the audit log has it."""
        return Who(self.name, self.role)

    def sees(self, tenant: str | None) -> bool:
        """Whether what belongs to that tenant, or to none (None, ""), is there for it."""
        return not self.tenant or self.tenant == tenant


class Right(NamedTuple):
    """What one must be to ask for a route.

    Attributes:
        least: the least role; None: nothing, not even a credential.
        own: whoever belongs to a tenant gets what is that tenant's; else the route concerns everybody, and it is
            refused.
    """

    least: Role | None
    own: bool = False


OPEN = Right(None)


def _of(things: str, least: Role, *writes: str) -> dict[str, Right]:
    """Those of a list: whoever has a role may look, and from that one on change it."""
    path = f"/api/v1/{things}"
    reads = dict.fromkeys((f"GET {path}", f"GET {path}/{{id}}"), Right("viewer", own=True))
    changes = (f"POST {path}", f"PATCH {path}/{{id}}", *(write.replace("ID", f"{path}/{{id}}") for write in writes))
    return reads | dict.fromkeys(changes, Right(least, own=True))


_DEPLOYMENT = "POST /api/v1/deployments/{id}"

# A route without a row here cannot be registered.
RIGHTS: Mapping[str, Right] = {
    "GET /": OPEN,
    "GET /metrics": Right("viewer"),  # open on loopback, as Prometheus finds it there
    "GET /api/openapi.json": OPEN,
    "GET /api/v1/config": Right("viewer"),
    "GET /api/v1/health": Right("viewer"),
    "POST /api/v1/reload": Right("operator"),
    "GET /api/v1/deployments": Right("viewer"),
    **{f"{_DEPLOYMENT}/{order}": Right("operator") for order in ("drain", "isolate", "restore")},
    "GET /api/v1/rehearsals": Right("viewer"),
    "POST /api/v1/rehearse": Right("operator"),  # it costs money
    "GET /api/v1/requests": Right("viewer", own=True),
    "GET /api/v1/requests/{id}/explain": Right("viewer", own=True),
    "GET /api/v1/tenants": Right("viewer", own=True),
    "POST /api/v1/tenants": Right("admin"),
    "GET /api/v1/tenants/{name}": Right("viewer", own=True),
    "PATCH /api/v1/tenants/{name}": Right("admin"),
    "POST /api/v1/tenants/{name}/archive": Right("admin"),
    **_of("keys", "tenant_admin", "POST ID/revoke", "POST ID/rotate"),
    **_of("admins", "tenant_admin", "POST ID/revoke", "POST ID/rotate"),
    **_of("limits", "tenant_admin", "DELETE ID"),
    **_of("budgets", "tenant_admin", "DELETE ID"),
    **dict.fromkeys(("GET /api/v1/credentials", "GET /api/v1/credentials/{name}"), Right("operator")),
    "POST /api/v1/credentials": Right("admin"),
    **dict.fromkeys((f"{method} /api/v1/credentials/{{name}}" for method in ("PATCH", "DELETE")), Right("admin")),
    "GET /api/v1/audit": Right("operator", own=True),
    "GET /api/v1/usage": Right("viewer", own=True),
    "GET /api/v1/alerts": Right("viewer", own=True),
    "GET /api/v1/spending": Right("viewer", own=True),
}


def right_of(method: str, path: str) -> Right:
    """The row of a route. Raises LookupError where it has none: a route that nobody thought about is none."""
    try:
        return RIGHTS[f"{method} {path}"]
    except KeyError:
        raise LookupError(f"{method} {path} has no row in admin/rights.py") from None


def require(principal: Principal, right: Right) -> None:
    """Let it in, or not; whose the thing is that it asks for is for the route to see.

    Raises:
        Forbidden: its role does not reach so far, or it belongs to a tenant and the route concerns everybody.
    """
    if right.least is None:
        return
    if ROLES.index(principal.role) < ROLES.index(right.least):
        raise Forbidden(f"the role {principal.role} may not do that", do=f"It takes {_or_higher(right.least)}.")
    if principal.tenant and not right.own:
        raise Forbidden(
            "that concerns every tenant, and this credential belongs to one",
            do="Ask somebody whose credential belongs to none.",
        )


def _or_higher(least: Role) -> str:
    above = ROLES[ROLES.index(least) :]
    return " or ".join(above) if len(above) > 1 else above[0]
