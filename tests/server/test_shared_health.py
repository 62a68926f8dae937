"""Health on the whole path: several workers and their supervisor, a provider that fails, reloads and dead workers."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.providers.simulated import SimulatedProvider
from penstock.testing import SimLoop, run
from penstock.testing.fleet import Fleet

KEY = "sk-up"
BODY = json.dumps({"model": "lone", "messages": [{"role": "user", "content": "Hello"}]}).encode()


def config(workers: int, **lone: object) -> Config:
    return load_config(
        {
            "auth": "open",
            "providers": {"up": {"kind": "openai", "base_url": "http://up:8000/v1", "api_key": "env:UP_KEY"}},
            "models": {"lone": {"targets": ["up/small"], "retry": "off", **lone}},
            "server": {"workers": workers},
        },
        {"UP_KEY": KEY},
    )


class Scene:
    """A fleet before one provider."""

    def __init__(self, loop: SimLoop, workers: int) -> None:
        self.loop = loop
        self.workers = workers
        self.up = SimulatedProvider(loop.clock, key=KEY, keep=1000)
        self.fleet = Fleet(loop, config(workers), workers, seed=loop.seed)

    async def __aenter__(self) -> Scene:
        await self.loop.create_server(self.up.connection, "up", 8000)
        await self.fleet.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.fleet.__aexit__(kind, error, trace)
        self.up.close()

    @property
    def asked(self) -> int:
        """Requests that reached the provider."""
        return self.up.journal.requests

    async def ask(self, worker: int) -> tuple[int, dict[str, Any]]:
        """One call on a connection of its own."""
        host, port = self.fleet.addresses[worker % self.workers]
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            b"connection: close\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)
        )
        answer = await reader.read()
        writer.close()
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head[9:12]), json.loads(body)

    async def fail(self) -> None:
        """Five calls that fail, at one worker after another."""
        self.up.script = "status=503"
        for turn in range(5):
            assert (await self.ask(turn))[0] == 503
        assert self.asked == 5

    async def all_ask(self) -> list[str]:
        """The code that each worker answers with, asked at the same time; "" for a good answer."""
        answers = await asyncio.gather(*(self.ask(worker) for worker in range(self.workers)))
        return [told["error"]["code"] if status != 200 else "" for status, told in answers]


def play(workers: int, main: Callable[[Scene], Awaitable[None]], seed: int = 1) -> None:
    async def whole(loop: SimLoop) -> None:
        async with Scene(loop, workers) as scene:
            await main(scene)

    run(whole, seed=seed, leak_free=True)


@pytest.mark.parametrize("workers", [1, 3])
def test_what_fails_at_several_workers_is_open_for_all_and_then_sent_nothing(workers: int) -> None:
    async def main(scene: Scene) -> None:
        await scene.fail()
        await scene.loop.clock.sleep(0.01)
        # One goes before its time, once: it is all there is. It fails, and then nothing is sent.
        first = await scene.all_ask()
        assert scene.asked == 6
        assert first.count("circuit_open") == workers - 1
        for _ in range(20):
            assert await scene.all_ask() == ["circuit_open"] * workers
        assert scene.asked == 6

    play(workers, main)


def test_half_open_lets_one_through_over_all_workers_and_three_bring_it_back() -> None:
    async def main(scene: Scene) -> None:
        await scene.fail()
        scene.up.script = "first_token=100ms"
        await scene.loop.clock.sleep(6.0)
        before, began = scene.asked, scene.loop.time()
        asked = scene.loop.create_task(scene.all_ask())
        await scene.loop.clock.sleep(0.05)
        assert scene.asked == before + 1
        # The others wait for a moment how that ends, and each is the next one to try it.
        assert await asked == ["", "", ""]
        assert 0.3 <= scene.loop.time() - began < 1.0
        assert await scene.all_ask() == ["", "", ""]
        moves = scene.fleet.supervisor.overview.metrics.breaker_moves.series
        assert moves == {("up/small", "open"): 1, ("up/small", "half_open"): 1, ("up/small", "closed"): 1}

    play(3, main)


def test_neither_a_reload_nor_fresh_workers_close_it() -> None:
    async def main(scene: Scene) -> None:
        await scene.fail()
        await scene.ask(0)  # the one before its time
        supervisor, before = scene.fleet.supervisor, scene.asked
        await supervisor.adopt(config(3, breaker={"failures": 50, "open": "1s"}))
        assert await scene.all_ask() == ["circuit_open"] * 3
        await supervisor.renew()
        assert len(scene.fleet.hired) == 6
        assert await scene.all_ask() == ["circuit_open"] * 3
        assert scene.asked == before

    play(3, main)


def test_a_worker_that_dies_takes_a_permit_along_for_ten_seconds() -> None:
    async def main(scene: Scene) -> None:
        await scene.fail()
        scene.up.script = "silence"
        await scene.loop.clock.sleep(6.0)
        lost = scene.loop.create_task(scene.ask(1))
        await scene.loop.clock.sleep(0.1)
        assert scene.asked == 6
        scene.fleet.holder(1).kill()
        with pytest.raises(ConnectionResetError):
            await lost
        scene.up.script = ""
        await scene.loop.clock.sleep(6.5)
        # It waits three seconds for whoever has the permit.
        assert (await scene.ask(0))[1]["error"]["code"] == "circuit_open"
        await scene.loop.clock.sleep(1.0)
        for worker in range(3):
            assert (await scene.ask(worker))[0] == 200
        assert await scene.all_ask() == ["", "", ""]

    play(3, main)


def test_retries_of_all_workers_are_a_tenth_of_the_requests_and_ten_saved_up() -> None:
    async def main(scene: Scene) -> None:
        retried = {"max_attempts": 3, "base": "1ms"}
        await scene.fleet.supervisor.adopt(config(3, breaker="off", retry=retried))
        scene.up.script = "status=500"
        for _ in range(50):
            await scene.all_ask()
        requests, seconds = 150, scene.loop.time() - 1000.0
        assert requests < scene.asked <= 1.1 * requests + seconds + 10
        refused = scene.fleet.supervisor.overview.metrics.retries_refused.series
        assert refused[("up/small",)] > 100

    play(3, main)
