"""The library tells what a gateway tells: budgets that are nearly used up, and what only an operator can mend."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from penstock import Penstock, PenstockError, RateLimited
from penstock.client.engines import Engines, open_engine
from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.gateway.own_books import LAST_SECONDS
from penstock.testing import ScriptedUpstream, SeededRandom, SimLoop, run
from penstock.wire.webhook import verify
from tests.server.test_steward import SECRET

HOOK = {"url": "http://127.0.0.1:9000/hook", "secret": "env:HOOK"}
HEARD = b"HTTP/1.1 204 No Content\r\n\r\n"


def config(state: str, **more: Any) -> Config:
    tree = {"auth": "open", "providers": {"sim": {}}, "default_model": "sim/small", "state": state}
    return load_config({**tree, **more}, {"HOOK": SECRET}, serving=False)


def a_budget(**more: Any) -> dict[str, Any]:
    return {"scope": "global", "limit": "30 requests/hour", "hard": False, "alert_at": [0.5], **more}


def program(loop: SimLoop, given: Config) -> Penstock:
    return Penstock._on(Engines(partial(open_engine, given, loop.clock, SeededRandom(1), inline=True)))


async def listen(loop: SimLoop, *answers: bytes) -> ScriptedUpstream:
    receiver = ScriptedUpstream(*answers, clock=loop.clock)
    await loop.create_server(receiver.connection, "127.0.0.1", 9000)
    return receiver


def kinds(receiver: ScriptedUpstream) -> list[str]:
    return [json.loads(request.body)["type"].removeprefix("penstock.") for request in receiver.requests]


def play(scene: Callable[[SimLoop], Awaitable[None]]) -> None:
    run(scene, leak_free=True)


def test_a_program_that_goes_on_is_watched(tmp_path: Path) -> None:
    given = config(f"sqlite:///{tmp_path}/p.db", budgets=[a_budget(on_soft="throttle")], alerts={"webhook": HOOK})

    async def scene(loop: SimLoop) -> None:
        receiver = await listen(loop, HEARD)
        async with program(loop, given) as llm:
            for _ in range(16):
                await llm.generate("Hello")
                await loop.clock.sleep(15.0)
            with pytest.raises(RateLimited, match="runs short, and calls are slowed down"):
                _ = [await llm.generate("Hello") for _ in range(5)]
            await loop.clock.sleep(1.0)
        assert sorted(kinds(receiver)) == ["budget.projected", "budget.threshold"]
        for request in receiver.requests:
            headers = {name.decode(): value.decode() for name, value in request.headers.items()}
            assert verify(SECRET, headers, request.body, int(headers["webhook-timestamp"]))

    play(scene)


def test_one_that_ends_at_once_tells_as_it_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    given = config(f"sqlite:///{tmp_path}/p.db", budgets=[a_budget()], alerts={"webhook": HOOK})

    async def scene(loop: SimLoop) -> None:
        receiver = await listen(loop, HEARD)
        for _ in range(2):
            async with program(loop, given) as llm:
                await asyncio.gather(*(llm.generate("Hello") for _ in range(8)))
        assert kinds(receiver) == ["budget.threshold"], "once in the window"
        async with program(loop, given) as llm:
            await llm.generate("Hello")
        assert len(receiver.requests) == 1

    with caplog.at_level(logging.WARNING, "penstock.alerts"):
        play(scene)
    assert [one.message for one in caplog.records if one.message.startswith("budget: 50 %")] != []


def test_a_receiver_that_is_silent_holds_nobody_up_and_hears_it_later(tmp_path: Path) -> None:
    given = config(f"sqlite:///{tmp_path}/p.db", budgets=[a_budget()], alerts={"webhook": HOOK, "anomaly": "off"})

    async def scene(loop: SimLoop) -> None:
        silent = ScriptedUpstream(b"", clock=loop.clock)
        server = await loop.create_server(silent.connection, "127.0.0.1", 9000)
        async with program(loop, given) as llm:
            await asyncio.gather(*(llm.generate("Hello") for _ in range(16)))
            began = loop.time()
        assert len(silent.requests) == 1
        assert loop.time() - began <= LAST_SECONDS + 0.5
        server.close()
        receiver = await listen(loop, HEARD)
        async with program(loop, given) as llm:
            await llm.generate("Hello")
            await loop.clock.sleep(1.0)
        (again,) = receiver.requests
        assert again.headers[b"webhook-id"] == silent.requests[0].headers[b"webhook-id"]

    play(scene)


def test_without_a_ledger_a_webhook_hears_of_what_is_broken() -> None:
    given = config("memory", alerts={"webhook": HOOK})

    async def scene(loop: SimLoop) -> None:
        receiver = await listen(loop, HEARD)
        async with program(loop, given) as llm:
            with pytest.raises(PenstockError):
                await llm.generate("Hello", model="sim/small:status=401")
            await loop.clock.sleep(16.0)
        assert kinds(receiver) == ["deployment.suspended"]

    play(scene)


def test_where_nobody_is_to_be_told_nothing_runs() -> None:
    async def scene(loop: SimLoop) -> None:
        async with program(loop, config("memory")) as llm:
            await llm.generate("Hello")
            assert [task.get_name() for task in asyncio.all_tasks() if "steward" in task.get_name()] == []

    play(scene)
