"""What the control plane keeps: tenants and keys, stored rules, and the log of who changed them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from penstock.stores.audit_log import AuditLog
from penstock.stores.directory import Directory
from penstock.stores.rulebook import Rulebook

__all__ = ["Done", "Register", "nothing_to_adopt"]


async def nothing_to_adopt() -> None:
    """Nobody works with stored rules."""


class Register(NamedTuple):
    """All of one store.

    Attributes:
        adopt: has stored rules used once they have changed.
    """

    directory: Directory
    rules: Rulebook
    audit: AuditLog
    adopt: Callable[[], Awaitable[None]] = nothing_to_adopt


class Done(NamedTuple):
    """A change outside the store, as the audit log takes it."""

    what: str
    subject: str
    tenant: str = ""
    before: Any = None
    after: Any = None
