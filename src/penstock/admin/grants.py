"""Nobody gives a right they do not have: what a key may do is bounded by what its maker may give. Pure.

What is left unsaid becomes what the maker has; what is asked for beyond it is refused, by its name.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Container
from typing import TypeVar, get_args

import msgspec

from penstock.admin.rights import ROLES, Principal
from penstock.errors import Forbidden, InvalidRequest, NotFound
from penstock.redact import as_asked
from penstock.stores.directory_rows import KeyRights, Priority, Role
from penstock.stores.key_rights import network

__all__ = ["bounded", "covers", "require_role", "tenant_for"]

K = TypeVar("K", bound=KeyRights)

_PRIORITIES = get_args(Priority)


def tenant_for(maker: Principal, asked: str) -> str:
    """Whose the thing is that it makes.

    Raises:
        NotFound: another tenant's, which is not there for it.
    """
    if not maker.tenant or asked in ("", maker.tenant):
        return asked or maker.tenant
    raise NotFound(f"there is no tenant {as_asked(asked)}", do="GET /api/v1/tenants lists those there are.")


def require_role(maker: Principal, role: Role, tenant: str) -> None:
    """See that it may give somebody that role.

    Raises:
        Forbidden: it is a higher one than its own.
        InvalidRequest: the role does not go with the tenant.
    """
    if role == "admin" and tenant:
        raise InvalidRequest(
            "an admin belongs to no tenant", do="Leave tenant out, or make a tenant_admin.", param="role"
        )
    if role == "tenant_admin" and not tenant:
        raise InvalidRequest("a tenant_admin belongs to a tenant", do="Name the tenant.", param="tenant")
    if ROLES.index(role) > ROLES.index(maker.role):
        raise Forbidden(f"the role {maker.role} may not make an {role}", do=f"It takes {role}.", param="role")


def bounded(maker: Principal, wanted: K, models: Container[str]) -> K:
    """Those rights, within what their maker may give.

    Args:
        models: the names under `models:`.

    Raises:
        Forbidden: one goes beyond it; `param` is its name.
    """
    own = maker.grants
    if own is None:
        return wanted
    for name in ("overrides", "trusts_user"):
        if getattr(wanted, name) and not getattr(own, name):
            raise _beyond({"trusts_user": "user"}.get(name, name), "your credential does not have it")
    return msgspec.structs.replace(
        wanted,
        models=_models(wanted.models, own.models, models),
        addresses=_addresses(wanted.addresses, own.addresses),
        expires=_least("expires", wanted.expires, own.expires),
        max_output=_least("max_output", wanted.max_output, own.max_output),
        priority=_priority(wanted.priority, own.priority),
        routes=_routes(wanted.routes, own.routes),
    )


def covers(pattern: str, other: str) -> bool:
    """Whether what `other` matches is matched by `pattern` too: a `*` in it is taken by one of `pattern`'s alone."""
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == other
    *middle, last = rest
    if not other.startswith(first):
        return False
    at = len(first)
    for part in middle:
        found = other.find(part, at)
        if found < 0:
            return False
        at = found + len(part)
    return len(other) - len(last) >= at and other.endswith(last)


def _models(
    wanted: tuple[str, ...] | None, own: tuple[str, ...] | None, models: Container[str]
) -> tuple[str, ...] | None:
    if own is None:
        beyond = [each for each in wanted or () if each not in models]
        what = "only names under `models:`"
    else:
        beyond = [each for each in wanted or () if not any(covers(pattern, each) for pattern in own)]
        what = f"only {', '.join(own)}"
    if beyond:
        raise _beyond("models", f"you may give {what}")
    return own if wanted is None else wanted


def _routes(wanted: tuple[str, ...] | None, own: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Whoever has none steers alone, and is bounded by its other rights."""
    if not own or wanted is None:
        return own if own else wanted
    if not set(wanted) <= set(own):
        raise _beyond("routes", f"yours are {', '.join(own)}")
    return wanted


def _addresses(wanted: tuple[str, ...] | None, own: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if own is None or wanted is None:
        return own if wanted is None else wanted
    networks = [ipaddress.ip_network(each) for each in own]
    for each in wanted:
        try:
            inner = ipaddress.ip_network(network(each))  # as it will be kept
        except ValueError:
            continue  # refused by its own name later
        if not any(inner.version == outer.version and inner.subnet_of(outer) for outer in networks):  # type: ignore[arg-type]
            raise _beyond("addresses", f"yours are {', '.join(own)}")
    return wanted


def _least(name: str, wanted: int | None, own: int | None) -> int | None:
    if own is None or wanted is None:
        return own if wanted is None else wanted
    if wanted > own:
        raise _beyond(name, "yours is less")
    return wanted


def _priority(wanted: str | None, own: str | None) -> str | None:
    if own is None or wanted is None or wanted not in _PRIORITIES:
        return own if wanted is None else wanted
    if _PRIORITIES.index(wanted) < _PRIORITIES.index(own):
        raise _beyond("priority", f"yours is {own}")
    return wanted


def _beyond(param: str, why: str) -> Forbidden:
    return Forbidden(f"{param} goes beyond what you may give: {why}", do="Ask for less, or ask an admin.", param=param)
