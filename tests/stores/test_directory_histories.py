"""Random histories of a directory: who follows its changes knows what who reads it whole knows, whenever they look; and
both know what the store would say of each secret."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path

import pytest

from penstock.errors import Conflict, NotFound
from penstock.redact import Secret
from penstock.stores.directory_rows import KeyRights, NewKey
from penstock.stores.key_messages import KeyRow
from tests.stores.directories import Opened

STEPS = 60
WAYS = [*("tenant", "project", "change", "revoke", "end", "wait"), *["key"] * 3, *["rotate"] * 2]


class Follower:
    """Reads what has changed, now and then."""

    def __init__(self) -> None:
        self.version = 0
        self.rows: dict[bytes, KeyRow] = {}
        self.archived: tuple[str, ...] = ()

    async def look(self, opened: Opened) -> None:
        changes = await opened.directory.changes(self.version)
        self.version = changes.version
        for digest in changes.gone:
            self.rows.pop(digest, None)
        self.rows.update((row.digest, row) for row in changes.rows)
        if changes.archived is not None:
            self.archived = changes.archived


class History:
    """Somebody who does this and that."""

    def __init__(self, opened: Opened, chance: random.Random) -> None:
        self.opened = opened
        self.chance = chance
        self.tenants: list[str] = []
        self.keys: list[str] = []
        self.secrets: list[Secret] = []
        self.refused = 0

    async def step(self) -> None:
        directory, chance = self.opened.directory, self.chance
        what = chance.choice(
            ["tenant", "project", "key", "key", "key", "rotate", "rotate", "change", "revoke", "end", "wait"]
        )
        tenant = chance.choice([*self.tenants, ""])
        key = chance.choice(self.keys) if self.keys else "none"
        try:
            if what == "tenant":
                name = f"t{len(self.tenants)}"
                await directory.tenants.create(name)
                self.tenants.append(name)
            elif what == "project":
                await directory.tenants.create_project(tenant or "nobody", chance.choice("pq"))
            elif what == "key":
                project = chance.choice(["p", "q", ""]) if tenant else ""
                expires = self.opened.now + chance.randrange(1, 200) if chance.random() < 0.3 else None
                name = f"k{chance.randrange(30)}"
                made = await directory.keys.create(
                    NewKey(name=name, tenant=tenant, project=project, expires=expires), "me"
                )
                self.keys.append(made.key.id)
                self.secrets.append(made.secret)
            elif what == "rotate":
                self.secrets.append((await directory.keys.rotate(key, chance.choice([0, 30, 300]))).secret)
            elif what == "change":
                await directory.keys.change(key, KeyRights(max_output=chance.randrange(1, 9)))
            elif what == "revoke":
                await directory.keys.revoke(key)
            elif what == "end" and chance.random() < 0.4:
                if chance.random() < 0.5:
                    await directory.tenants.archive(tenant or "nobody")
                else:
                    await directory.tenants.archive_project(tenant or "nobody", chance.choice("pq"))
            elif what == "wait":
                self.opened.hand.advance(chance.randrange(100))
        except (Conflict, NotFound):
            self.refused += 1


def good(follower: Follower, opened: Opened, secret: Secret) -> bool:
    row = follower.rows.get(opened.directory.vault.digest(secret.reveal()))
    if row is None or row.ended(follower.archived):
        return False
    return row.expires is None or row.expires > opened.clock.wall()


@pytest.mark.parametrize("seed", range(12))
def test_who_follows_knows_what_who_reads_all_knows(seed: int) -> None:
    async def live(opened: Opened) -> None:
        chance = random.Random(seed)
        history, follower = History(opened, chance), Follower()
        for _ in range(STEPS):
            await history.step()
            if chance.random() < 0.3:
                await follower.look(opened)
        await follower.look(opened)
        whole = await opened.directory.changes(0)
        ended = frozenset(follower.archived)
        assert {d: row for d, row in follower.rows.items() if not row.ended(ended)} == {
            row.digest: row for row in whole.rows
        }
        assert sorted(follower.archived) == sorted(whole.archived or ())
        assert follower.version == whole.version == await opened.directory.version()
        for secret in history.secrets:
            holder = await opened.directory.keys.holder(secret.reveal())
            assert good(follower, opened, secret) == (holder is not None)
        assert len(history.secrets) > 5

    with tempfile.TemporaryDirectory() as folder, Opened(Path(folder)) as opened:
        asyncio.run(live(opened))
