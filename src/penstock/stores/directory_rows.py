"""What the directory holds, as values: tenants, projects, keys. Times are Unix seconds; no secret is among them."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import msgspec

from penstock.errors import InvalidRequest
from penstock.redact import Secret, is_secret
from penstock.stores.key_format import Env

__all__ = [
    "OPERATIONS",
    "Change",
    "Charge",
    "KeyInfo",
    "KeyRights",
    "KeySecret",
    "MadeKey",
    "NewKey",
    "Note",
    "Priority",
    "Project",
    "Role",
    "Tenant",
    "checked_name",
    "unusual_in",
]

Charge = Literal["attempts", "winner"]
Priority = Literal["critical", "high", "normal", "low", "sheddable"]  # routing/wishes.py has them too
Role = Literal["viewer", "operator", "tenant_admin", "admin"]

# What a key can be allowed to ask for on the data plane, or not: `Record.operation` has them.
OPERATIONS = ("chat", "embeddings", "count_tokens", "models")

# Names stand in log lines, accounts (`acme/app`), URLs and exports: nothing that means something there.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def checked_name(value: str, param: str) -> str:
    """A name that may be given to a tenant, a project, a key.

    Raises:
        InvalidRequest: it may not.
    """
    if not _NAME.fullmatch(value):
        raise InvalidRequest(
            f"{param} must be 1 to 64 letters, digits, dots, dashes and underscores, and begin with a letter or digit",
            do="Give it another name.",
            param=param,
        )
    if is_secret(value):
        raise InvalidRequest(
            f"{param} looks like a credential, and names are shown to everybody",
            do="Give it another name.",
            param=param,
        )
    return value


class Tenant(msgspec.Struct, frozen=True):
    """Who pays.

    Attributes:
        charge: for which attempts it pays: for all, or for the one whose answer was given.
        weight: its part of what tenants compete for.
        archived: since when it has ended, and all its keys with it; None: it has not.
        version: of the row, for if-match.
    """

    name: str
    charge: Charge
    weight: int
    created: int
    archived: int | None
    version: int


class Project(msgspec.Struct, frozen=True):
    """What a tenant files keys under. `archived`: since when it has ended, and its keys with it."""

    tenant: str
    name: str
    created: int
    archived: int | None
    version: int


class KeyRights(msgspec.Struct, frozen=True, kw_only=True):
    """What a key may do.

    Attributes:
        models: names and patterns it may ask for; None: every name under `models:` and no other.
        routes: operations it may ask for (`chat`, `embeddings`, `count_tokens`, `models`); None: each; (): none, for a
            key that is for the control plane alone.
        addresses: networks from which it may be used; None: any.
        expires: when it ends; None: never.
        max_output: the most tokens of output that a call may ask for; None: as many as the model has.
        priority: the most urgent that its calls may be; None: any.
        overrides: whether its calls may say how they are tried.
        trusts_user: whether the user that its calls name is believed.
        role: on the control plane; None: none.
    """

    models: tuple[str, ...] | None = None
    routes: tuple[str, ...] | None = None
    addresses: tuple[str, ...] | None = None
    expires: int | None = None
    max_output: int | None = None
    priority: str | None = None
    overrides: bool = False
    trusts_user: bool = False
    role: Role | None = None


class NewKey(KeyRights, frozen=True, kw_only=True):
    """A key to be made. `tenant`, `project`: "" for none."""

    name: str
    env: Env = "live"
    tenant: str = ""
    project: str = ""


class KeySecret(msgspec.Struct, frozen=True):
    """What may be shown of what a key is known by. `ends`: from when on it is not; None: as long as the key lives."""

    prefix: str
    last_four: str
    created: int
    ends: int | None


class KeyInfo(KeyRights, frozen=True, kw_only=True):
    """A key as it may be shown.

    Attributes:
        secrets: the newest first; while a rotation overlaps there are two, and old ones stay to be looked up.
        revoked: since when; None: it is not.
        last_used: about when, to a minute or two; None: never.
        version: of the row, for if-match.
    """

    id: str
    name: str
    env: Env
    tenant: str
    project: str
    created: int
    created_by: str
    revoked: int | None
    last_used: int | None
    version: int
    secrets: tuple[KeySecret, ...] = ()

    @property
    def label(self) -> str:
        """What records and accounts call it."""
        return f"{self.tenant}/{self.name}" if self.tenant else self.name


class MadeKey(NamedTuple):
    """A key and its secret, which is nowhere else and is shown once."""

    key: KeyInfo
    secret: Secret


class Change(NamedTuple):
    """What a write did, for the audit log.

    Attributes:
        what: `key.create`, `tenant.archive` ...
        subject: the id or name of what was changed.
        tenant: whose it is; "" for nobody's.
        before, after: the row as it may be shown; None where there was, or is, none.
    """

    what: str
    subject: str
    tenant: str
    before: Any
    after: Any


# Called within the transaction of a write, so that both are kept or neither.
Note = Callable[[sqlite3.Connection, Change], object]


def unusual_in(connection: sqlite3.Connection) -> list[Tenant]:
    """Those of a store of whom something else holds than of the others: what they pay for, or their weight."""
    rows = "SELECT * FROM tenants WHERE archived IS NULL AND (charge != 'attempts' OR weight != 1) ORDER BY name"
    return [Tenant(*row) for row in connection.execute(rows)]
