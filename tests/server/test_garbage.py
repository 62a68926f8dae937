"""What ended connections and failed calls leave behind: nothing that only the garbage collector can free."""

from __future__ import annotations

import asyncio
import gc
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.clock import SystemClock
from penstock.errors import PenstockError
from penstock.messages import Request
from penstock.server.protocol import ServerConnection, SocketExchange
from penstock.wire.h1 import Refused, RequestParser
from tests.real import Real, on_uvloop
from tests.stage import Caller, chat

TIMES = 5
JSON = {"content-type": "application/json"}
# Where the provider fails, is full, or is not there, and what is asked instead.
DEAD = {"dead": {"kind": "openai", "base_url": "http://127.0.0.1:1/v1", "api_key": "none"}}
MODELS = {
    "first": {"targets": ["up/small:status=500", "ant/small"]},
    "second": {"targets": ["dead/small", "up/small"]},
    "none": {"targets": ["up/small:status=400", "dead/small", "up/small:status=503"]},
}

Scene = Callable[[Real, Caller], Awaitable[Any]]


async def _sent(caller: Caller, model: str, **more: Any) -> None:
    await caller.send("POST", "/v1/chat/completions", json.dumps(chat(model=model, **more)).encode(), JSON)


async def answered(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="up/small"))).status == 200


async def streamed(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="up/small", stream=True))).events[-1] == "[DONE]"


async def left_waiting(real: Real, caller: Caller) -> None:
    await _sent(caller, "up/small:first_token=30s")
    await real.until(lambda: real.gateway.upstream_busy > 0)


async def left_in_a_stream(_: Real, caller: Caller) -> None:
    await _sent(caller, "up/small:tokens=100000,between=20ms", stream=True)
    await caller.reader.readuntil(b"data: ")


async def not_http(_: Real, caller: Caller) -> None:
    caller.writer.write(b"XYZ\r\n\r\n")
    assert (await caller.reader.read()).startswith(b"HTTP/1.1 400 ")


async def too_late(real: Real, caller: Caller) -> None:
    caller.writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: lo")
    connection = next(iter(real.plane.listener.connections))
    while not connection.enforce(SystemClock().monotonic() + 20):
        await SystemClock().sleep(0.001)
    assert (await caller.reader.read()).startswith(b"HTTP/1.1 408 ")


async def unknown(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="none/such"))).status == 404


async def failing(__: Real, caller: Caller) -> None:
    """From the fifth on the breaker says no."""
    for _ in range(6):
        assert (await caller.post(chat(model="up/small:status=500"))).status >= 500


async def not_there(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="dead/small"))).status >= 500


async def fallen_back(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="first"))).status == 200
    assert (await caller.post(chat(model="second"))).status == 200
    assert (await caller.post(chat(model="second", stream=True))).status == 200


async def all_failed(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="none"))).status >= 400


async def broken_off(_: Real, caller: Caller) -> None:
    assert (await caller.post(chat(model="up/small:tokens=20,cut=5", stream=True))).status == 200


async def not_read(real: Real, caller: Caller) -> None:
    caller.pause()
    await _sent(caller, "up/small:tokens=100000,burst=100", stream=True)
    await real.until(lambda: any(each.resumed is not None for each in real.plane.listener.connections))


async def refused(_: Real, caller: Caller) -> None:
    for body in (b"{", b"[]", json.dumps(chat(model="up/small", stream=1)).encode()):
        assert (await caller.ask("POST", "/v1/chat/completions", body, JSON)).status == 400


SCENES = (
    answered, streamed, left_waiting, left_in_a_stream, not_read, not_http, too_late, unknown, refused,
    failing, not_there, fallen_back, all_failed, broken_off,
)  # fmt: skip


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_an_ended_connection_is_gone_at_once(scene: Scene) -> None:
    async def once(real: Real) -> None:
        caller = await real.caller()
        await real.until(lambda: bool(real.plane.listener.connections))
        await scene(real, caller)
        caller.close()
        await real.until(lambda: not real.plane.listener.connections and not real.gateway.upstream_busy)
        await SystemClock().sleep(0.002)  # what is done in the loop's next turns is done

    async def main() -> None:
        async with Real(providers=DEAD, more={"models": MODELS, "defaults": {"retry": {"max_attempts": 1}}}) as real:
            await once(real)  # what is made once is made now
            gc.collect()
            before = there_are()
            for _ in range(TIMES):
                await once(real)
            assert there_are() - before == Counter()

    gc.disable()
    try:
        on_uvloop(main)
    finally:
        gc.enable()


def there_are() -> Counter[str]:
    """What requests and connections are made of, by its kind."""
    kinds = (ServerConnection, SocketExchange, RequestParser, Request, PenstockError, Refused, asyncio.Task)
    return Counter(type(each).__name__ for each in gc.get_objects() if isinstance(each, kinds))
