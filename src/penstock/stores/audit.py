"""The audit log: who changed what, when, and how it was before; a chain: every entry holds the hash of the last one.

An entry is written in the transaction of the change it tells of, so that neither is there without the other. The
table's triggers refuse every other write; who can write the file itself could undo them, and is found by `verify`. The
hash of the last entry is kept outside the table too (stores/audit_log.py): else whoever cuts the end off would not be.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

import msgspec

__all__ = ["START", "Change", "Entry", "Head", "Who", "append", "examine", "head_of", "latest", "page", "verify"]

# What the first entry follows.
START = bytes(32)
# So that a hash of this log is none of anything else's.
_DOMAIN = b"penstock audit 1\n"
_TRIGGERS = ("audit_is_appended", "audit_is_kept", "audit_stays")


class Who(NamedTuple):
    """Who changed it: a principal of the control plane, or `file` for whoever can write the state's folder."""

    name: str
    role: str


class Change(Protocol):
    """What was changed (stores/directory_rows.py has them).

    Attributes:
        what: `key.create`, `tenant.archive` ...
        subject: the id or name of what was changed.
        tenant: whose it is; "" for nobody's.
        before, after: as it may be shown, without secrets; None where there was, or is, none.
    """

    @property
    def what(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def tenant(self) -> str: ...
    @property
    def before(self) -> Any: ...
    @property
    def after(self) -> Any: ...


class Entry(msgspec.Struct, frozen=True):
    """One entry. `at`: Unix nanoseconds; `before` and `after` are JSON, None where there was, or is, nothing."""

    number: int
    at: int
    actor: str
    role: str
    what: str
    subject: str
    tenant: str
    before: str | None
    after: str | None
    previous: bytes
    hash: bytes

    def hashed(self) -> bytes:
        """What its hash must be: over every other column, as a JSON array."""
        told = (
            self.number, self.at, self.actor, self.role, self.what, self.subject, self.tenant, self.before, self.after,
            self.previous.hex(),
        )  # fmt: skip
        return sha256(_DOMAIN + msgspec.json.encode(told)).digest()


class Head(NamedTuple):
    """The last entry's number and hash. `str()` gives `NUMBER:HASH`."""

    number: int
    hash: bytes

    def __str__(self) -> str:
        return f"{self.number}:{self.hash.hex()}"


def head_of(text: str) -> Head:
    """The same from its text. Raises ValueError."""
    number, _, digest = text.strip().partition(":")
    if not number.isascii() or not number.isdigit() or len(number) > 18 or len(digest) != 64:
        raise ValueError("it is written NUMBER:HASH")
    return Head(int(number), bytes.fromhex(digest))


def append(connection: sqlite3.Connection, at: int, who: Who, change: Change) -> Head:
    """Add an entry, within the transaction of the change.

    Args:
        at: Unix nanoseconds.

    Raises:
        TypeError: the change holds what cannot be shown, such as a Secret.
    """
    last = latest(connection)
    entry = Entry(
        last.number + 1, at, who.name, who.role, change.what, change.subject, change.tenant, _told(change.before),
        _told(change.after), last.hash, b"",
    )  # fmt: skip
    hashed = entry.hashed()
    connection.execute(
        "INSERT INTO audit VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (*msgspec.structs.astuple(entry)[:-1], hashed),
    )
    return Head(entry.number, hashed)


def latest(connection: sqlite3.Connection) -> Head:
    """The last entry's; number 0 where there is none."""
    row = connection.execute("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1").fetchone()
    return Head(0, START) if row is None else Head(*row)


def page(
    connection: sqlite3.Connection, before: int | None = None, most: int = 100, tenant: str | None = None
) -> list[Entry]:
    """The newest entries first.

    Args:
        before: those with smaller numbers alone.
        tenant: those about that one alone.
    """
    rows = connection.execute(
        "SELECT * FROM audit WHERE (?1 IS NULL OR number < ?1) AND (?2 IS NULL OR tenant = ?2)"
        " ORDER BY number DESC LIMIT ?3",
        (before, tenant, most),
    )
    return [Entry(*row) for row in rows]


def verify(connection: sqlite3.Connection, *heads: Head) -> Iterator[str]:
    """What is wrong with the log, in words: nothing where nobody has touched it.

    Args:
        heads: last entries that were noted elsewhere, at any time: the log must still have them.
    """
    wanted = {head.number: head.hash for head in heads if head.number}
    last = Head(0, START)
    for row in connection.execute("SELECT * FROM audit ORDER BY number"):
        try:
            entry = msgspec.convert(dict(zip(Entry.__struct_fields__, row, strict=True)), Entry)
        except (ValueError, TypeError):
            yield f"the entry after {last.number} cannot be read: it was changed"
            last = Head(last.number + 1, b"")
            continue
        yield from _faults(entry, last)
        noted = wanted.pop(entry.number, entry.hash)
        if noted != entry.hash:
            yield f"entry {entry.number} is another one than the one that was noted: the log was written anew"
        last = Head(entry.number, entry.hash)
    if wanted:
        yield f"the log ends with entry {last.number}, and there was an entry {max(wanted)}: its end was cut off"
    triggers = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
    if missing := [name for name in _TRIGGERS if name not in triggers]:
        yield f"the table has lost its guards ({', '.join(missing)})"


def examine(connection: sqlite3.Connection, *heads: Head) -> tuple[Head, list[str]]:
    """The last entry, and what is wrong; that the log is gone or damaged is a fault as well."""
    try:
        return latest(connection), list(verify(connection, *heads))
    except sqlite3.Error as error:
        return Head(0, START), [f"the log cannot be read: {error}"]


def _faults(entry: Entry, last: Head) -> Iterator[str]:
    if entry.number != last.number + 1:
        missing = entry.number - last.number - 1
        which = (
            f"entry {last.number + 1} is" if missing == 1 else f"entries {last.number + 1} to {entry.number - 1} are"
        )
        yield f"{which} missing"
    elif entry.previous != last.hash:
        yield f"entry {entry.number} does not follow entry {last.number}: one of them was put there, moved or changed"
    if entry.hash != entry.hashed():
        yield f"entry {entry.number} was changed: its hash is that of something else"


def _told(value: Any) -> str | None:
    return None if value is None else msgspec.json.encode(value).decode()
