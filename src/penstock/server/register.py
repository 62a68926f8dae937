"""Opens what the control plane keeps: the directory, the stored rules and the audit log of one store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from penstock.admin.register import Register, nothing_to_adopt
from penstock.clock import Clock, Ids, Random
from penstock.config.schema import Config
from penstock.config.stored_rules import declared_tenants
from penstock.stores.audit_log import AuditLog, head_file
from penstock.stores.directory import open_directory
from penstock.stores.rulebook import Rulebook
from penstock.stores.sqlite import Database

__all__ = ["Telling", "open_register"]


class Telling(NamedTuple):
    """Who is told of changes.

    Attributes:
        say: of each new head of the audit log, in a line.
        adopt: has stored rules used once they have changed.
    """

    say: Callable[[str], object] = lambda line: None
    adopt: Callable[[], Awaitable[None]] = nothing_to_adopt


def open_register(
    database: Database,
    config: Config,
    clock: Clock,
    random: Random,
    telling: Telling | None = None,
) -> Register:
    """All of a store, which must be open; its encryption key lies beside it, unless it is declared.

    Args:
        telling: who is told of what.

    Raises:
        ConfigError: the encryption key is not the one that the store was made with, or cannot be used.
    """
    telling = telling if telling is not None else Telling()
    directory = open_directory(database, database.path.parent, config.encryption_key, clock, random)
    directory.declare(declared_tenants(config), [key.tenant for key in config.keys if key.tenant])
    kept = head_file(database.path)
    audit = AuditLog(database, clock, kept, telling.say)
    return Register(directory, Rulebook(database, clock, Ids(clock, random)), audit, telling.adopt)
