"""Keys as the control plane takes and gives them: in the words of the configuration file. No secret is among them."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from penstock.admin.bodies import tag_of
from penstock.admin.moments import moment, written
from penstock.config.schema import Key
from penstock.stores.directory_rows import KeyInfo, KeyRights, Role

__all__ = [
    "DECLARED",
    "NewAdmin",
    "NewKeyBody",
    "RightsBody",
    "Rotation",
    "declared_rights",
    "describe_declared",
    "describe_key",
    "rights_of",
]

# What the id of a key begins with that the configuration file declares: no id of a stored one has a colon.
DECLARED = "declared:"


class RightsBody(msgspec.Struct, kw_only=True):
    """What may be said of a key's rights; what is left out stays as it is, or as it is for all keys."""

    models: list[str] | UnsetType | None = UNSET
    routes: list[str] | UnsetType | None = UNSET
    addresses: list[str] | UnsetType | None = UNSET
    expires: str | UnsetType | None = UNSET
    max_output: int | UnsetType | None = UNSET
    priority: str | UnsetType | None = UNSET
    overrides: Literal["allowed", "refused"] | UnsetType = UNSET
    user: Literal["trusted"] | UnsetType | None = UNSET


class NewKeyBody(RightsBody, kw_only=True):
    """A key to be made."""

    name: str
    tenant: str = ""
    project: str = ""
    env: Literal["live", "test"] = "live"


class NewAdmin(RightsBody, kw_only=True):
    """A principal to be made: a key that opens the control plane alone. Its rights are what it may give to keys."""

    name: str
    role: Role
    tenant: str = ""
    env: Literal["live", "test"] = "live"


class Rotation(msgspec.Struct, kw_only=True):
    """How long the secret that a key has stays good beside the new one."""

    overlap: str = "0s"


def rights_of(body: RightsBody, now: int, before: KeyRights | None = None) -> KeyRights:
    """The rights that are asked for; what is not said is as `before`.

    Raises:
        InvalidRequest: `expires` is no time.
    """
    old = before if before is not None else KeyRights()
    fields: dict[str, Any] = {name: getattr(old, name) for name in KeyRights.__struct_fields__}
    for name in ("models", "routes", "addresses", "max_output", "priority"):
        value = getattr(body, name)
        if value is not UNSET:
            fields[name] = tuple(value) if isinstance(value, list) else value
    if body.expires is not UNSET:
        fields["expires"] = moment(body.expires, "expires", now)
    if body.overrides is not UNSET:
        fields["overrides"] = body.overrides == "allowed"
    if body.user is not UNSET:
        fields["trusts_user"] = body.user == "trusted"
    return KeyRights(**fields)


def describe_key(key: KeyInfo, now: int, *, archived: bool = False) -> dict[str, Any]:
    """A stored key, ready for JSON.

    Args:
        archived: whether its tenant has ended.
    """
    newest = key.secrets[0] if key.secrets else None
    return {
        "id": key.id,
        "name": key.name,
        "label": key.label,
        "state": "revoked" if key.revoked is not None else "archived" if archived else _state(key.expires, now),
        "env": key.env,
        "tenant": key.tenant or None,
        "project": key.project or None,
        **_rights(key),
        "prefix": newest.prefix if newest is not None else None,
        "last_four": newest.last_four if newest is not None else None,
        "secrets": [
            {
                "prefix": each.prefix,
                "last_four": each.last_four,
                "created": written(each.created),
                "ends": written(each.ends),
            }
            for each in key.secrets
            if each.ends is None or each.ends > now
        ],
        "created": written(key.created),
        "created_by": key.created_by,
        "revoked": written(key.revoked),
        "last_used": written(key.last_used),
        "declared": None,
        "etag": tag_of(key.version),
    }


def declared_rights(key: Key) -> KeyRights:
    """What a key of the configuration file may do."""
    return KeyRights(
        models=key.models,
        routes=key.routes,
        addresses=key.addresses or None,
        expires=key.expires,
        max_output=key.max_output,
        priority=key.priority,
        overrides=key.overrides,
        trusts_user=key.trusted_user,
        role=key.role,
    )


def describe_declared(key: Key, now: int) -> dict[str, Any]:
    """A key of the configuration file, likewise."""
    rights = declared_rights(key)
    nothing = dict.fromkeys(("env", "prefix", "last_four", "created", "created_by", "revoked", "last_used", "etag"))
    return {
        "id": f"{DECLARED}{key.name}",
        "name": key.name,
        "label": key.name,
        "state": _state(key.expires, now),
        "tenant": key.tenant,
        "project": key.project,
        **_rights(rights),
        **nothing,
        "secrets": [],
        "declared": key.where,
    }


def _rights(rights: KeyRights) -> dict[str, Any]:
    return {
        "models": rights.models,
        "routes": rights.routes,
        "addresses": rights.addresses,
        "expires": written(rights.expires),
        "max_output": rights.max_output,
        "priority": rights.priority,
        "overrides": "allowed" if rights.overrides else "refused",
        "user": "trusted" if rights.trusts_user else None,
        "role": rights.role,
    }


def _state(expires: int | None, now: int) -> str:
    return "expired" if expires is not None and expires <= now else "active"
