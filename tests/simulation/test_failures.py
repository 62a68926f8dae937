"""The n-th input or output fails, for every n: resolving, connecting, sending, receiving, while serving, reloading and
draining. Whatever it was, nothing leaks, every request has its one log line, and the next caller is served."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from penstock.gateway import Gateway
from penstock.testing import SeededRandom, SimLoop, sweep_failures
from tests.stage import Caller, Stage, chat

PATIENCE = 20.0
CONFIG: dict[str, Any] = {
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
        "far": {"kind": "openai", "base_url": "http://far:8000/v1", "api_key": "env:UP_KEY"},
    },
    "models": {
        "elsewhere": {"targets": ["up/small:status=503", "far/small:status=529", "ant/small"]},
        "hedged": {
            "targets": ["up/small:head=200ms", "ant/small:head=100ms"],
            "hedge": {"after": "50ms", "most": "100%"},
        },
        "narrow": {"targets": ["up/small:head=100ms"], "concurrency": 1},
        "joined": {
            "targets": ["up/small:tokens=12,between=5ms,cut=4", "up/small:tokens=12,cut=8", "up/small:tokens=12"],
            "on_stream_cut": "resume",
        },
    },
    "defaults": {"timeouts": {"connect": "2s", "first_token": "3s", "idle": "3s", "total": "8s"}},
}

Play = Callable[[Stage], Awaitable[Any]]


async def ask(*bodies: dict[str, Any]) -> None:
    """A caller that asks one thing after the other on one connection, and gives up where it breaks."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(PATIENCE):
            caller = await Caller.connect()
            try:
                for body in bodies:
                    answer = await caller.post(body)
                    assert not answer.whole or answer.status in (200, 502, 503, 504, 529), answer.body
            finally:
                caller.close()


async def a_conversation(stage: Stage) -> None:
    await ask(chat(model="up/small"), chat(model="up/small:tokens=9,between=5ms", stream=True), chat(model="up/small"))


async def a_long_stream(stage: Stage) -> None:
    await ask(chat(model="up/small:tokens=400,burst=40,between=1ms", stream=True))


async def a_translation(stage: Stage) -> None:
    await ask(chat(model="ant/small"), chat(model="ant/small:tokens=9,between=5ms", stream=True))


async def callers_together(stage: Stage) -> None:
    await asyncio.gather(*(ask(chat(model="up/small"), chat(model="up/small", stream=True)) for _ in range(3)))


async def names_that_move(stage: Stage) -> None:
    """Several addresses, of which the first leads nowhere; then asked for anew, and gone."""
    await ask(chat(model="far/small"))
    await stage.loop.clock.sleep(40)
    await ask(chat(model="far/small"))
    stage.loop.network.names["far"] = [stage.loop.network.resolve("provider")]
    await stage.loop.clock.sleep(100)
    await ask(chat(model="far/small"), chat(model="far/small"))


async def one_after_the_other(stage: Stage) -> None:
    """The first two fail by what they say, the third answers."""
    await ask(chat(model="elsewhere"), chat(model="elsewhere", stream=True))


async def two_at_once(stage: Stage) -> None:
    """A second one is asked while the first is silent."""
    await ask(chat(model="hedged"), chat(model="hedged", stream=True))


async def one_at_a_time(stage: Stage) -> None:
    """Callers that wait for each other, one of whom gives up."""
    waiting = [asyncio.ensure_future(ask(chat(model="narrow", stream=turn == 1))) for turn in range(4)]
    await stage.loop.clock.sleep(0.15)
    waiting[2].cancel()
    await asyncio.wait(waiting)


async def a_reload(stage: Stage) -> None:
    """A new gateway takes over while the old one still answers, which is then closed."""
    old = stage.gateway
    long = chat(model="up/small:tokens=30,between=20ms", stream=True)
    running = asyncio.ensure_future(ask(long, chat(model="up/small")))
    await stage.loop.clock.sleep(0.3)
    fresh = Gateway(stage.config, stage.loop.clock, SeededRandom(1), stage._log)
    stage.plane.adopt(fresh, 2)
    stage.gateway = fresh
    await ask(chat(model="up/small"))
    await running
    assert old.upstream_busy == 0, old
    assert old.metrics.in_flight.series[()] == 0
    await old.aclose()


async def a_drain(stage: Stage) -> None:
    """Some are being answered, one has half a request in, one is idle."""
    running = [
        asyncio.ensure_future(ask(chat(model="up/small:tokens=30,between=20ms", stream=True))),
        asyncio.ensure_future(ask(chat(model="up/small:first_token=1s"))),
    ]
    await stage.loop.clock.sleep(0.2)
    idle = []
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE):
            for sent in (b"", b"POST /v1/chat/comp"):
                idle.append(await Caller.connect())
                idle[-1].writer.write(sent)
    await stage.plane.drain(5)
    assert not stage.plane.listener.connections
    for caller in idle:
        caller.close()
    await asyncio.gather(*running)


async def a_stream_that_is_gone_on_with(stage: Stage) -> None:
    """Whoever goes on with it: the caller has a prefix of one answer, and an end or an error."""
    whole, joined = await text_of("up/small:tokens=12"), await text_of("joined")
    if whole.endswith("[DONE]"):
        assert joined == whole or whole.startswith(joined.removesuffix("[ERROR]")), joined


async def text_of(model: str) -> str:
    """What a stream says, and how it ended; "" where nothing came of it."""
    with suppress(OSError, TimeoutError, asyncio.IncompleteReadError):
        async with asyncio.timeout(PATIENCE):
            caller = await Caller.connect()
            try:
                answer = await caller.post(chat(model=model, stream=True))
                if answer.whole and answer.status == 200:
                    last = answer.events[-1]
                    return answer.text + (last if last == "[DONE]" else "[ERROR]")
            finally:
                caller.close()
    return ""


PLAYS: dict[str, tuple[Play, int]] = {
    "conversation": (a_conversation, 30),
    "long stream": (a_long_stream, 20),
    "translation": (a_translation, 20),
    "together": (callers_together, 60),
    "names": (names_that_move, 30),
    "fallback": (one_after_the_other, 40),
    "hedge": (two_at_once, 40),
    "queue": (one_at_a_time, 40),
    "resume": (a_stream_that_is_gone_on_with, 30),
    "reload": (a_reload, 80),
    "drain": (a_drain, 40),
}


@pytest.mark.parametrize("play", PLAYS)
def test_every_operation(play: str) -> None:
    act, least = PLAYS[play]

    async def scenario(loop: SimLoop) -> None:
        provider = loop.network.resolve("provider")
        loop.network.names["far"] = ["10.9.9.9", provider]
        async with Stage(loop, CONFIG) as stage:
            await act(stage)
            # What a caller that vanished left open ends by its own deadlines, and the next one is served.
            await loop.clock.sleep(120)
            assert stage.gateway.upstream_busy == 0, stage.gateway
            assert stage.gateway.metrics.in_flight.series[()] == 0
            assert not stage.plane.listener.connections
            assert len({line["id"] for line in stage.lines}) == len(stage.lines)
            for line in stage.lines:
                assert line.get("error") != "internal_error", line
                assert all(attempt["outcome"] != "open" for attempt in line.get("attempts", []))
            if act is not a_drain:
                await _served(stage)

    failed = sweep_failures(scenario)
    assert failed.total() >= least, failed
    assert {"resolve", "connect", "send", "receive"} <= set(failed), failed


async def _served(stage: Stage) -> None:
    """One of two is: it may be this one whose operation fails."""
    statuses = []
    for _ in range(2):
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(PATIENCE):
                caller = await Caller.connect()
                try:
                    statuses.append((await caller.post(chat(model="up/small"))).status)
                finally:
                    caller.close()
    assert 200 in statuses, statuses
