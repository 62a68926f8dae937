"""Keys, with every operation of the store failing once, in both ways, and every await cancelled: afterwards the workers
let in whom the store would let in, and nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import pytest

from penstock.errors import PenstockError
from penstock.redact import Secret
from penstock.stores.directory_rows import KeyRights, MadeKey
from penstock.stores.sqlite import StoreFailed
from penstock.testing import Cancel, SimLoop, sweep_scenario
from tests.server.keyed import WORKERS, Line, Scene, play, stage


class Life:
    """Keys that are made, changed, rotated and revoked, each as far as it comes."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.secrets: list[Secret] = []
        self.failed = 0

    async def _do(self, work: Coroutine[Any, Any, Any]) -> Any:
        try:
            return await work
        except (StoreFailed, PenstockError):
            self.failed += 1
            return None

    def _keep(self, made: MadeKey | None) -> str:
        if made is None:
            return "none"
        self.secrets.append(made.secret)
        return made.key.id

    async def run(self) -> None:
        scene, directory = self.scene, self.scene.directory
        await self._do(directory.tenants.create("acme"))
        first = self._keep(await self._do(scene.opened.key("first", tenant="acme")))
        second = self._keep(await self._do(scene.opened.key("second")))
        third = self._keep(await self._do(scene.opened.key("third")))
        await self.ask()
        self._keep(await self._do(directory.keys.rotate(second, 5)))
        await self._do(directory.keys.change(third, KeyRights(max_output=3)))
        await self.ask()
        await self._do(directory.keys.revoke(third))
        self._keep(await self._do(directory.keys.rotate(first)))
        await self._do(directory.tenants.archive("acme"))
        await self.ask()

    async def ask(self) -> None:
        for number, secret in enumerate(self.secrets):
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self.scene.lines[number % WORKERS].ask(secret.reveal(), b"", "/v1/models")

    async def agrees(self) -> None:
        """A moment after the last fault every worker answers as the store says."""
        scene = self.scene
        await scene.loop.clock.sleep(10)
        for line in scene.lines:
            line.close()
        scene.lines = [Line(address) for address in scene.fleet.addresses]
        for secret in (*self.secrets, Secret("unknown")):
            good = await scene.directory.keys.holder(secret.reveal()) is not None
            assert await scene.statuses(secret) == [200 if good else 401] * WORKERS


@pytest.mark.parametrize("done", [False, True], ids=["it was not done", "it was done, and nobody hears so"])
def test_every_operation_of_the_store_fails_once(done: bool) -> None:
    swept = 0

    def at(number: int) -> int:
        async def main(scene: Scene) -> None:
            db = scene.opened.db
            db.done, db.fails = done, db.operations + number
            life = Life(scene)
            await life.run()
            seen.append(db.operations - (db.fails - number))
            await life.agrees()

        seen: list[int] = []
        play(main, seed=number)
        return seen[0]

    while at(swept + 1) >= swept + 1:
        swept += 1
    # Nine writes, and what the supervisor reads after them.
    assert swept >= 12


def test_cancelled_at_every_await() -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async def main(scene: Scene) -> None:
            life = Life(scene)
            await cancel(life.run())
            await life.agrees()

        await stage(loop, main)

    assert sweep_scenario(scenario) >= 5
