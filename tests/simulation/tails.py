"""Providers whose first tokens are slow now and then, and how long callers wait for theirs: with hedging and without.

The gateway is whole, from the call to the provider's socket; the provider is bytes at drawn times.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from functools import partial
from math import sqrt
from random import Random
from typing import Any

import msgspec

from penstock.config.load import load_config
from penstock.gateway import Gateway
from penstock.messages import Caller, Request
from penstock.testing import SeededRandom, SimLoop, run
from penstock.wire.h1 import RequestParser

__all__ = ["SHAPES", "Waits", "play"]

# Of all first tokens so many come after ten times as long as they else would.
SLOW, TIMES = 0.03, 10.0
# When they else would: from 0.1 to 0.9 s, each as likely; or lognormal about a median of 0.5 s, the p95 at 1.14 s.
SHAPES: dict[str, Callable[[Random], float]] = {
    "even": lambda chance: chance.uniform(0.1, 0.9),
    "lognormal": lambda chance: 0.5 * chance.lognormvariate(0, 0.5),
}
# Requests a second.
RATE = 40.0
# Two standard errors.
SURE = 1.96
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
KEYS = {"A_KEY": "sk-aaaaaaaaaaaaaaaa", "B_KEY": "sk-bbbbbbbbbbbbbbbb"}


def _chunk(**more: Any) -> bytes:
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", **more}
    data = b"data: %b\n\n" % json.dumps(body).encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


ANSWER = (
    _chunk(choices=[{"index": 0, "delta": {"content": "Hello"}, "finish_reason": None}])
    + _chunk(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"
)


class Provider(asyncio.Protocol):
    """One connection to a deployment: answers whole, as late as the draw for that request says."""

    def __init__(self, loop: SimLoop, draw: Callable[[str], float]) -> None:
        self._loop = loop
        self._draw = draw
        self._parser = RequestParser()
        self._transport: Any = None
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        while self._parser.ready:
            request = self._parser.ready.popleft()
            number = json.loads(request.body)["messages"][0]["content"]
            self._timer = self._loop.call_later(self._draw(number), self._answer)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _answer(self) -> None:
        self._transport.write(HEAD + ANSWER)


class Draws:
    """How late a deployment's first tokens are: the same for the same request, whatever else happens.

    Attributes:
        asked: how many requests it was sent.
    """

    def __init__(self, name: str, seed: int, shape: str) -> None:
        self._key = f"{seed} {name}"
        self._shape = SHAPES[shape]
        self.asked = 0

    def __call__(self, number: str) -> float:
        self.asked += 1
        chance = Random(f"{self._key} {number}")
        seconds = self._shape(chance)
        return seconds * TIMES if chance.random() < SLOW else seconds


class Waits:
    """How long each caller waited for its first token, and how many requests that took."""

    def __init__(self, seconds: list[float], sent: int) -> None:
        self.sorted = sorted(seconds)
        self.sent = sent

    @property
    def extra(self) -> float:
        """What was sent in excess, as a part of the requests."""
        return (self.sent - len(self.sorted)) / len(self.sorted)

    def quantile(self, part: float) -> tuple[float, float, float]:
        """The smallest wait that so large a part does not exceed, and the bounds of its 95 % interval: as many ranks
        beside it as a binomial count varies by."""
        count = len(self.sorted)
        rank, spread = count * part, SURE * sqrt(count * part * (1 - part))
        at = [min(count - 1, max(0, round(rank + by) - 1)) for by in (0, -spread, spread)]
        value, low, high = (self.sorted[each] for each in at)
        return value, low, high


def play(count: int, seed: int, *, hedge: bool, shape: str = "even") -> Waits:
    """So many streamed requests, one after the other at random times."""

    async def main(loop: SimLoop) -> Waits:
        draws = {name: Draws(name, seed, shape) for name in ("a", "b")}
        for name, each in draws.items():
            await loop.create_server(partial(Provider, loop, each), name, 80)
        config = load_config(_config(hedge=hedge), KEYS)
        gateway = Gateway(config, loop.clock, SeededRandom(seed))
        waits: list[float] = []
        chance, asking = Random(seed), list[asyncio.Task[None]]()
        for number in range(count):
            asking.append(loop.create_task(_ask(gateway, str(number), waits)))
            await loop.clock.sleep(chance.expovariate(RATE))
        await asyncio.gather(*asking)
        assert all(one.pace.in_flight == 0 for plan in gateway.plans for one in plan.candidates)
        assert gateway.upstream_busy == 0
        await gateway.aclose()
        assert len(waits) == count
        return Waits(waits, sum(each.asked for each in draws.values()))

    waits: Waits = run(main, seed, leak_free=False, max_steps=200 * count + 100_000)
    return waits


async def _ask(gateway: Gateway, number: str, waits: list[float]) -> None:
    record = gateway.begin("chat")
    messages = json.dumps([{"role": "user", "content": number}]).encode()
    fields = {"model": msgspec.Raw(b'"m"'), "messages": msgspec.Raw(messages), "stream": msgspec.Raw(b"true")}
    record.model, record.stream, record.bytes_in = "m", True, len(messages)
    reply = await gateway.call(Request("openai_chat", "m", True, fields, Caller(trusted=True), record))
    waits.append(gateway.now() - record.started)
    try:
        while await reply.read() is not None:
            pass
    finally:
        reply.close()


def _config(*, hedge: bool) -> dict[str, Any]:
    providers = {
        name: {"kind": "openai", "base_url": f"http://{name}:80/v1", "api_key": f"env:{name.upper()}_KEY"}
        for name in ("a", "b")
    }
    model: dict[str, Any] = {"targets": ["a/m", "b/m"]}
    if hedge:
        model["hedge"] = {"after": "auto", "most": "2%"}
    return {"auth": "open", "providers": providers, "models": {"m": model}}
