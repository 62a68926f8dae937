"""Rates over a restart of the supervisor: no minute of a strict limit has more than the limit, and days go on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway.books import open_books
from penstock.testing import SimLoop, run
from penstock.testing.clock import SeededRandom
from penstock.testing.fleet import Fleet
from tests.stage import Answer, Caller

CHAT = {"model": "sim/small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}


def config(folder: Path, *limits: dict[str, Any], **more: Any) -> Config:
    tree = {"auth": "open", "providers": {"sim": {}}, "limits": list(limits), "state": f"sqlite:///{folder}/p.db"}
    return load_config({**tree, **more}, {})


class Life:
    """One life of a gateway: from its start to its end, or to its death."""

    def __init__(self, loop: SimLoop, config: Config) -> None:
        self.loop = loop
        books = open_books(config, loop.clock, SeededRandom(1), inline=True)
        self.fleet = Fleet(loop, config, 2, books=books)
        self._turn = 0

    async def ask(self, times: int, **more: Any) -> list[Answer]:
        found = []
        for _ in range(times):
            self._turn += 1
            caller = await Caller.connect(self.fleet.addresses[self._turn % 2])
            found.append(await caller.post({**CHAT, **more}))
            caller.close()
        return found


def good(answers: list[Answer]) -> int:
    return sum(answer.status == 200 for answer in answers)


@pytest.mark.parametrize("kind", ["strict", "burst", "leaky"])
def test_a_minute_in_which_the_supervisor_begins_anew_has_no_more_than_any_other(tmp_path: Path, kind: str) -> None:
    async def main(loop: SimLoop) -> None:
        given = config(tmp_path, {"scope": "global", "requests": "5/min", "kind": kind})
        admitted: list[float] = []
        for _ in range(4):
            life = Life(loop, given)
            async with life.fleet:
                for answer in await life.ask(4):
                    if answer.status == 200:
                        admitted.append(loop.clock.monotonic())
                    else:
                        told = int(answer.headers["retry-after-ms"]) / 1000
                await loop.clock.sleep(1)
            await loop.clock.sleep(2)
        most = {"strict": 5, "burst": 6, "leaky": 1}
        assert 0 < len(admitted) <= most[kind]
        life = Life(loop, given)
        async with life.fleet:
            # What was told before the restart still holds.
            await loop.clock.sleep(told)
            assert good(await life.ask(1)) == 1

    run(main)


def test_the_calls_of_a_day_are_counted_on(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        given = config(tmp_path, {"scope": "tenant", "requests": "10/day"})
        for expected in (6, 4, 0):
            life = Life(loop, given)
            async with life.fleet:
                assert good(await life.ask(6)) == expected

    run(main)


def test_tokens_are_counted_by_what_was_used(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        given = config(tmp_path, {"scope": "global", "tokens": "2000/min", "kind": "strict"})
        life = Life(loop, given)
        async with life.fleet:
            (answer,) = await life.ask(1)
            used = answer.json()["usage"]["total_tokens"]
            await loop.clock.sleep(1)
        life = Life(loop, given)
        async with life.fleet:
            (answer,) = await life.ask(1)
            left = int(answer.headers["x-ratelimit-remaining-tokens"])
            assert 1500 < left < 2000 - used, "of this one more is held than it uses"

    run(main)


def test_a_gateway_without_books_begins_with_nothing_taken(tmp_path: Path) -> None:
    async def main(loop: SimLoop) -> None:
        given = load_config(
            {
                "auth": "open",
                "providers": {"sim": {}},
                "state": "memory",
                "limits": [{"scope": "global", "requests": "3/min"}],
            },
            {},
        )
        for _ in range(2):
            async with Fleet(loop, given, 2) as fleet:
                caller = await Caller.connect(fleet.addresses[0])
                assert (await caller.post(CHAT)).status == 200
                caller.close()

    run(main)
