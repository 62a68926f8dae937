"""Every operation of the store fails once, in its turn: whoever asked is told, and what changed is in the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from penstock.stores.sqlite import Database, StoreFailed
from tests.admin.registered import Registered

T = TypeVar("T")


class Failing(Database):
    """Fails at the n-th piece of work from `arm` on: before it is done, or after it was undone."""

    left = 0
    failed = False

    def arm(self, number: int) -> None:
        self.left, self.failed = number, False

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await super().run(self._counted(work))

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await super().read(self._counted(work))

    def _counted(self, work: Callable[[sqlite3.Connection], T]) -> Callable[[sqlite3.Connection], T]:
        def counted(connection: sqlite3.Connection) -> T:
            done = work(connection)
            self.left -= 1
            if self.left == 0:
                self.failed = True
                raise StoreFailed("the disk is full")
            return done

        return counted


def scenario(desk: Registered) -> list[int]:
    """Makes, changes and ends one of each; what each step was answered."""
    made: dict[str, Any] = {}

    def step(room: str, method: str, path: str, body: Any = None) -> int:
        answer = desk.ask("admin", method, path.replace("ID", made.get(room, "none")), body, if_match="*")
        if answer.status == 201:
            made[room] = answer.json.get("id", "")
        return answer.status

    return [
        step("tenants", "POST", "/tenants", {"name": "acme"}),
        step("tenants", "PATCH", "/tenants/acme", {"weight": 2}),
        step("keys", "POST", "/keys", {"name": "web", "tenant": "acme"}),
        step("keys", "PATCH", "/keys/ID", {"max_output": 5}),
        step("keys", "POST", "/keys/ID/rotate"),
        step("limits", "POST", "/limits", {"scope": "task", "match": "x", "requests": "9/min"}),
        step("limits", "PATCH", "/limits/ID", {"requests": "8/min"}),
        step("keys", "POST", "/keys/ID/revoke"),
        step("limits", "DELETE", "/limits/ID"),
        step("tenants", "POST", "/tenants/acme/archive"),
    ]


def changes(desk: Registered) -> dict[str, int]:
    """What the store shows of it."""

    def look(connection: sqlite3.Connection) -> dict[str, int]:
        def count(sql: str) -> int:
            return int(connection.execute(sql).fetchone()[0])

        return {
            "tenant.create": count("SELECT count(*) FROM tenants"),
            "key.create": count("SELECT count(*) FROM keys"),
            "key.rotate": count("SELECT count(*) FROM key_secrets") - count("SELECT count(*) FROM keys"),
            "key.revoke": count("SELECT count(*) FROM keys WHERE revoked IS NOT NULL"),
            "tenant.archive": count("SELECT count(*) FROM tenants WHERE archived IS NOT NULL"),
            "limits": count("SELECT count(*) FROM stored_rules"),
        }

    return desk.db.run_here(look)


def test_the_nth_failure_changes_nothing_that_is_not_in_the_log() -> None:
    number, refused = 0, 0
    while True:
        number += 1
        db = Failing(":memory:", inline=True)
        desk = Registered(db=db)
        db.arm(number)
        answers = scenario(desk)
        failed = db.failed
        db.arm(0)  # for those who look
        happened = changes(desk)
        whats = [entry.what for entry in desk.entries]
        shown = {what: whats.count(what) for what in happened if what != "limits"}
        assert shown == {what: count for what, count in happened.items() if what != "limits"}, number
        assert whats.count("limit.create") - whats.count("limit.remove") == happened["limits"]
        # What depends on a step that failed is not there, or in the way of nothing.
        assert set(answers) <= {200, 201, 404, 503}, (number, answers)
        refused += 503 in answers
        desk.close()
        if not failed:
            break
    assert answers == [201, 200, 201, 200, 200, 201, 200, 200, 200, 200]
    assert number > 30
    assert refused > 15
