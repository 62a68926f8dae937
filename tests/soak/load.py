"""A well-behaved caller at a fixed rate, and how long its answers took; and many that ask as fast as they can."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from penstock.clock import SystemClock
from penstock.wire.h1_response import ResponseParser

__all__ = ["Asker", "at_rate", "percentile", "request"]

now = SystemClock().monotonic
sleep = SystemClock().sleep


def request(model: str = "up/small") -> bytes:
    """A chat request for a short answer."""
    body = json.dumps({"model": model, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 20}).encode()
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return head + b"content-length: %d\r\n\r\n%b" % (len(body), body)


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Asker(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self) -> None:
        self.status = 0
        self.open = False
        self._parser = ResponseParser()
        self._answered: asyncio.Future[int] | None = None

    @classmethod
    async def connect(cls, port: int) -> Asker:
        """A new one."""
        _, asker = await asyncio.get_running_loop().create_connection(cls, "127.0.0.1", port)
        return asker

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]
        self.open = True

    def ask(self, data: bytes) -> asyncio.Future[int]:
        """Send it; the status once the answer is whole, 0 where there was none."""
        self._answered = asyncio.get_running_loop().create_future()
        if self._parser.complete:
            self._parser.reset()
        if data:
            self._transport.write(data)
        return self._answered

    def data_received(self, data: bytes) -> None:
        self._parser.feed(data)
        self._parser.take()
        if self._parser.complete and self._answered is not None and not self._answered.done():
            self._answered.set_result(self._parser.status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(0)

    def close(self) -> None:
        """At once."""
        self._transport.abort()


async def at_rate(port: int, rate: float, seconds: float, note: Callable[[float, int, float], None]) -> None:
    """Ask so often a second, whatever the answers do; `note` gets each one's begin, status and seconds."""
    free: list[Asker] = []
    data = request()
    running: set[asyncio.Task[None]] = set()

    async def once() -> None:
        began = now()
        asker = free.pop() if free else await Asker.connect(port)
        status = await asker.ask(data)
        note(began, status, now() - began)
        if asker.open:
            free.append(asker)

    began, number = now(), 0
    while now() - began < seconds:
        task = asyncio.get_running_loop().create_task(once())
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
        await sleep(max(0.0, began + number / rate - now()))
    while running:
        await asyncio.wait(running)
    for asker in free:
        asker.close()
