"""Callers that leave in the middle, on real sockets: how soon their provider is told."""

from __future__ import annotations

import asyncio
import json
from random import Random

from penstock.clock import Clock
from penstock.testing import SimulatedServer
from tests.real import Real
from tests.stage import Caller, chat

__all__ = ["leave_all"]

AT_ONCE = 20
JSON = {"content-type": "application/json"}
SCRIPTS = ("tokens=100000,between=20ms", "tokens=100000,burst=5,between=50ms", "silence", "stall=3", "first_token=30s")


async def leave_all(real: Real, count: int, seed: int = 1) -> list[float]:
    """So many requests whose callers leave at some moment; for each the seconds until the provider's end was closed,
    by the provider's clock.

    Nothing may be left over afterwards: no connection, no task.
    """
    assert isinstance(real.upstream, SimulatedServer)
    random, quiet, clock = Random(seed), len(asyncio.all_tasks()), real.upstream.provider.clock
    left: dict[str, float] = {}
    numbers = iter(range(count))

    async def work() -> None:
        for number in numbers:
            left[f"caller {number}"] = await _leave(real, f"caller {number}", random, clock)

    await asyncio.gather(*(work() for _ in range(AT_ONCE)))
    await real.until(lambda: not real.plane.listener.connections and not real.gateway.upstream_busy)
    await real.until(lambda: len(asyncio.all_tasks()) <= quiet)
    assert real.gateway.metrics.in_flight.series[()] == 0
    took = []
    for seen in real.upstream.provider.journal.log:
        said = json.loads(seen.body)["messages"][0]["content"]
        name = said if isinstance(said, str) else said[0]["text"]
        assert seen.ended is not None
        took.append(max(0.0, seen.ended - left[name]))
    return took


async def _leave(real: Real, name: str, random: Random, clock: Clock) -> float:
    caller: Caller = await real.caller()
    provider, script = random.choice(("up", "ant")), random.choice(SCRIPTS)
    wanted = chat(name, f"{provider}/small:{script}", stream=script != "silence")
    await caller.send("POST", "/v1/chat/completions", json.dumps(wanted).encode(), JSON)
    if script.startswith("tokens"):
        await caller.reader.readuntil(b"data: ")
    await clock.sleep(random.random() * 0.2)
    gone = clock.monotonic()
    if random.random() < 0.5:
        caller.writer.transport.abort()
    else:
        caller.writer.close()
    return gone
