"""A provider that takes so many calls at a time and refuses the others; nobody has told the gateway how many."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from typing import Any

from penstock.testing import SimLoop, run
from penstock.wire.h1 import RequestParser
from tests.stage import Caller, Stage, chat

ROOM = 10
TAKES = 1.0
CALLERS = 30
SECONDS = 60.0
BODY = json.dumps({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}]}).encode()  # fmt: skip
ERROR = b'{"error":{"message":"too many","type":"rate_limit_error","code":"rate_limit_exceeded"}}'


class Narrow:
    """A provider with room for so many."""

    def __init__(self, loop: SimLoop, room: int) -> None:
        self.loop = loop
        self.room = room
        self.open = 0
        self.asked: list[tuple[float, int]] = []

    def connection(self) -> asyncio.Protocol:
        return _Connection(self)


class _Connection(asyncio.Protocol):
    def __init__(self, provider: Narrow) -> None:
        self.provider = provider
        self.parser = RequestParser()
        self.transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.parser.feed(data)
        provider = self.provider
        while self.parser.ready:
            self.parser.ready.popleft()
            full = provider.open >= provider.room
            provider.asked.append((provider.loop.time(), 429 if full else 200))
            if full:
                self._answer(429, ERROR)
            else:
                provider.open += 1
                provider.loop.call_later(TAKES, self._done)

    def _done(self) -> None:
        self.provider.open -= 1
        self._answer(200, BODY)

    def _answer(self, status: int, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
            % (status, len(body), body)
        )


def test_its_capacity_is_found_and_used() -> None:
    async def main(loop: SimLoop) -> None:
        config = {
            "providers": {"n": {"kind": "openai", "base_url": "http://narrow:80/v1", "api_key": "env:UP_KEY"}},
            "models": {"fast": {"targets": ["n/m"]}},
        }
        narrow = Narrow(loop, ROOM)
        await loop.create_server(narrow.connection, "narrow", 80)
        async with Stage(loop, config) as stage:
            start = loop.time()
            answered: list[tuple[float, int]] = []

            async def ask() -> None:
                caller = await Caller.connect()
                while loop.time() < start + SECONDS:
                    status = (await caller.post(chat())).status
                    answered.append((loop.time(), status))
                    if status != 200:
                        await loop.clock.sleep(1)
                caller.close()

            await asyncio.gather(*(ask() for _ in range(CALLERS)))
            [candidate] = next(iter(stage.gateway.plans)).candidates
            assert ROOM - 2 <= candidate.pace.gate.limit <= ROOM + 2

        def later(told: list[tuple[float, int]]) -> Counter[int]:
            return Counter(status for at, status in told if start + SECONDS / 2 <= at < start + SECONDS)

        # Once it is found all of it is used, and no caller is refused; one call in twenty looks whether there is more.
        assert later(answered).keys() == {200}
        assert later(answered)[200] >= 0.95 * ROOM / TAKES * SECONDS / 2
        assert later(narrow.asked)[429] <= 0.06 * later(narrow.asked).total()

    run(main)
