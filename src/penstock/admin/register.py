"""What the control plane keeps: tenants and keys, stored rules, and the log of who changed them."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from penstock.errors import Overloaded, PenstockError
from penstock.stores.audit import Who
from penstock.stores.audit_log import AuditLog
from penstock.stores.directory import Directory
from penstock.stores.rulebook import Rulebook
from penstock.stores.sqlite import StoreFailed

__all__ = ["Done", "Register", "note", "nothing_to_adopt"]

log = logging.getLogger("penstock.admin")


async def nothing_to_adopt() -> None:
    """Nobody works with stored rules."""


class Register(NamedTuple):
    """All of one store.

    Attributes:
        adopt: has stored rules, and what holds of tenants, used once they have changed.
    """

    directory: Directory
    rules: Rulebook
    audit: AuditLog
    adopt: Callable[[], Awaitable[None]] = nothing_to_adopt

    async def use(self, path: str) -> None:
        """Have what was kept used, on every worker.

        Args:
            path: where it can be looked at.

        Raises:
            Overloaded: it is kept, and is not in use yet.
        """
        try:
            await self.adopt()
        except (PenstockError, StoreFailed) as error:
            raise Overloaded(
                f"that is kept, and is not in use yet: {error}",
                do=f"Look at it with GET {path}; a reload of the configuration tries again.",
            ) from error


class Done(NamedTuple):
    """A change outside the store, as the audit log takes it."""

    what: str
    subject: str
    tenant: str = ""
    before: Any = None
    after: Any = None


async def note(register: Register | None, who: Who, done: Done) -> None:
    """Have the audit log of a register, if there is one, tell what was done outside the store.

    It stands even where the store cannot be written now.
    """
    if register is None:
        return
    try:
        await register.audit.add(who, done)
    except StoreFailed as error:
        log.error("%s of %s is not in the audit log: %s", done.what, done.subject, error)
