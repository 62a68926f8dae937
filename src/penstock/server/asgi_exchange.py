"""An `Exchange` whose answer leaves as ASGI messages instead of bytes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from penstock.clock import Clock
from penstock.server.exchange import Exchange
from penstock.server.protocol import STALL_SECONDS, WRITE_HIGH_WATER

__all__ = ["AsgiExchange", "Message", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class AsgiExchange(Exchange):
    """What is written waits here until `deliver` has sent it; `drain` waits for that.

    Args:
        scope: the request's, as the ASGI server gave it.
    """

    def __init__(self, scope: Scope) -> None:
        self.started = self.ended = False
        self.written = 0
        self.extra = b""
        self.keep_alive = True
        self._bodyless = scope["method"] == "HEAD"
        self._connection_known = str(scope.get("http_version", "1.1")).startswith("1")
        self.peer = (scope.get("client") or (None,))[0]
        self._outbox: deque[Message] = deque()
        self._unsent = 0
        self._closed = False
        self._wake: asyncio.Future[None] | None = None
        self._room: asyncio.Future[None] | None = None

    def send(self, status: int, headers: bytes, body: bytes) -> None:
        self.started = self.ended = True
        self.written = len(body)
        self._head(status, headers + b"content-length: %d\r\n" % len(body))
        self._body(b"" if self._bodyless else body, more=False)

    def send_nothing(self, headers: bytes) -> None:
        self.started = self.ended = True
        self._head(204, headers)
        self._body(b"", more=False)

    def start(self, status: int, headers: bytes, first: bytes = b"") -> None:
        self.started = True
        self._head(status, headers)
        if first:
            self.push(first)

    def push(self, data: bytes) -> bool:
        self.written += len(data)
        self._body(data, more=True)
        return self.stalled

    @property
    def stalled(self) -> bool:
        return self._unsent > WRITE_HIGH_WATER

    async def drain(self) -> None:
        while self.stalled and not self._closed:
            self._room = asyncio.get_running_loop().create_future()
            await self._room

    def finish(self, last: bytes = b"") -> None:
        self.written += len(last)
        self._body(last, more=False)
        self.ended = True

    def close(self) -> None:
        self._closed = True
        _done(self._wake)
        _done(self._room)

    async def deliver(self, send: Send, clock: Clock) -> None:
        """Send what is written, until `close`.

        Raises:
            TimeoutError: the caller has read nothing for as long as it may.
            OSError and others: as the server's `send` does once the caller is gone.
        """
        while True:
            while self._outbox:
                message = self._outbox.popleft()
                async with clock.timeout(STALL_SECONDS):
                    await send(message)
                self._unsent -= len(message.get("body", b""))
                if not self.stalled:
                    _done(self._room)
            if self._closed:
                return
            self._wake = asyncio.get_running_loop().create_future()
            await self._wake

    def _head(self, status: int, headers: bytes) -> None:
        lines = (headers + self.extra).split(b"\r\n")
        pairs = [(name, value) for name, _, value in (line.partition(b": ") for line in lines if line)]
        if not self.keep_alive and self._connection_known:
            pairs.append((b"connection", b"close"))
        self._put({"type": "http.response.start", "status": status, "headers": pairs})

    def _body(self, data: bytes, *, more: bool) -> None:
        self._unsent += len(data)
        self._put({"type": "http.response.body", "body": data, "more_body": more})

    def _put(self, message: Message) -> None:
        self._outbox.append(message)
        _done(self._wake)


def _done(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)
