"""What somebody has to be told, each thing once, whatever restarts in between; and what a webhook has still to hear."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from penstock.clock import Clock, Ids
from penstock.stores.sqlite import Database

__all__ = ["Alert", "AlertBook", "Noted"]

# Of those that a webhook has still to hear: beyond that nobody would read them either.
MOST_OPEN = 1_000
# For as long what was told is remembered: longer than any budget's window, so that none is told twice.
KEEP_SECONDS = 70 * 86_400


class Alert(msgspec.Struct, frozen=True):
    """Something that somebody should know.

    Attributes:
        kind: `budget.threshold`, `budget.exhausted`, `budget.projected`, `spend.anomaly`, ...: what receivers go by.
        subject: about what: an account, a tenant.
        once: of that kind and subject it is told once for each of these.
        text: one sentence for a person, without content or a secret.
        tenant: whom it concerns, where that is one alone.
        data: the same for a program.
    """

    kind: str
    subject: str
    once: str
    text: str
    tenant: str | None = None
    data: Mapping[str, Any] = {}


class Noted(NamedTuple):
    """An alert that is to be sent, or was.

    Attributes:
        id: stays the same however often it is sent.
        at: when it was noted, Unix seconds.
        body: JSON.
        tries: how often it has been sent.
    """

    id: str
    kind: str
    at: int
    body: bytes
    tries: int = 0
    state: str = "open"


class AlertBook:
    """Alerts in the store.

    Args:
        db: a store's file, or one in memory where nothing is kept.
    """

    def __init__(self, db: Database, clock: Clock, ids: Ids) -> None:
        self._db = db
        self._clock = clock
        self._ids = ids

    async def note(self, alerts: Sequence[Alert], *, webhook: bool) -> list[tuple[Alert, Noted]]:
        """Those of them that were not noted before; each is noted now.

        Args:
            webhook: whether they are to be sent.

        Raises:
            StoreFailed: none is noted.
        """
        made = [(alert, self.made(alert)) for alert in alerts]
        return await self._db.run(lambda connection: _note(connection, made, webhook))

    def made(self, alert: Alert) -> Noted:
        """As it would be noted."""
        now = int(self._clock.wall())
        return Noted(self._ids.new(), alert.kind, now, _body(alert, now))

    async def due(self, most: int) -> list[Noted]:
        """Those that are to be sent by now, the ones that are late first; raises StoreFailed."""
        now = int(self._clock.wall())
        return await self._db.read(lambda connection: _due(connection, now, most))

    async def next_due(self) -> int | None:
        """When the next is to be sent, in Unix seconds; None where none is. Raises StoreFailed."""
        return await self._db.read(_next_due)

    async def sent(self, id: str) -> None:
        """It has been heard; raises StoreFailed."""
        await self._db.run(lambda connection: _settle(connection, id, "sent", None))

    async def failed(self, id: str, again: float | None) -> None:
        """It has not been heard, and is sent again at that Unix time; None: never. Raises StoreFailed."""
        state = "failed" if again is None else "open"
        await self._db.run(lambda connection: _settle(connection, id, state, again))

    async def give_up(self) -> int:
        """Nothing that is open is sent any more; how many these were. Raises StoreFailed."""
        return await self._db.run(_give_up)

    async def newest(self, before: int | None, most: int, tenant: str | None = None) -> list[tuple[int, Noted]]:
        """The newest, with their numbers, from those before that number on.

        Args:
            tenant: that one's alone; None: all.

        Raises:
            StoreFailed: they cannot be read now.
        """
        return await self._db.read(lambda connection: _newest(connection, before, most, tenant))

    async def forget_old(self) -> None:
        """Forget what was told long ago; raises StoreFailed."""
        before = int(self._clock.wall()) - KEEP_SECONDS
        await self._db.run(lambda connection: connection.execute("DELETE FROM alerts WHERE at < ?", (before,)))


def _body(alert: Alert, now: int) -> bytes:
    """As Standard Webhooks has a message: what, when, and the rest."""
    when = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    data = {"subject": alert.subject, "tenant": alert.tenant, "text": alert.text, **alert.data}
    return msgspec.json.encode({"type": f"penstock.{alert.kind}", "timestamp": when, "data": data})


def _note(
    connection: sqlite3.Connection, made: Sequence[tuple[Alert, Noted]], webhook: bool
) -> list[tuple[Alert, Noted]]:
    (waiting,) = connection.execute("SELECT count(*) FROM alerts WHERE state = 'open'").fetchone()
    found = []
    for alert, noted in made:
        state = "none" if not webhook else "open" if waiting < MOST_OPEN else "dropped"
        row = (
            noted.id,
            alert.kind,
            alert.subject,
            alert.once,
            alert.tenant or "",
            noted.at,
            noted.body,
            state,
            noted.at,
        )
        done = connection.execute(
            "INSERT OR IGNORE INTO alerts (id, kind, subject, once, tenant, at, body, state, tries, due)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, ?)",
            row,
        )
        if done.rowcount:
            waiting += state == "open"
            found.append((alert, noted._replace(state=state)))
    return found


def _due(connection: sqlite3.Connection, now: int, most: int) -> list[Noted]:
    rows = connection.execute(
        "SELECT id, kind, at, body, tries, state FROM alerts WHERE state = 'open' AND due <= ? ORDER BY due, number"
        " LIMIT ?",
        (now, most),
    )
    return [Noted(*row) for row in rows]


def _next_due(connection: sqlite3.Connection) -> int | None:
    (due,) = connection.execute("SELECT min(due) FROM alerts WHERE state = 'open'").fetchone()
    return int(due) if due is not None else None


def _settle(connection: sqlite3.Connection, id: str, state: str, again: float | None) -> None:
    connection.execute(
        "UPDATE alerts SET state = ?, tries = tries + 1, due = coalesce(?, due) WHERE id = ? AND state = 'open'",
        (state, int(again) + 1 if again is not None else None, id),
    )


def _give_up(connection: sqlite3.Connection) -> int:
    return connection.execute("UPDATE alerts SET state = 'failed' WHERE state = 'open'").rowcount


def _newest(
    connection: sqlite3.Connection, before: int | None, most: int, tenant: str | None
) -> list[tuple[int, Noted]]:
    rows = connection.execute(
        "SELECT number, id, kind, at, body, tries, state FROM alerts"
        " WHERE (?1 IS NULL OR number < ?1) AND (?2 IS NULL OR tenant = ?2) ORDER BY number DESC LIMIT ?3",
        (before, tenant, most),
    )
    return [(number, Noted(*rest)) for number, *rest in rows]
