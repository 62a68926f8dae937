"""The channel between supervisor and worker over a socket pair that the worker inherits."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any

from penstock.stores.centre import Frames, Message, encode_message

__all__ = ["SocketChannel", "connect_channel"]

log = logging.getLogger("penstock.server")

# Reports are held back from here on; a side that leaves so much unread that the second is reached is given up.
HIGH_WATER = 1024 * 1024
MOST_UNREAD = 32 * 1024 * 1024


class SocketChannel(asyncio.Protocol):
    """A `stores.centre.Channel` as an asyncio protocol.

    Args:
        kinds: what the other side may send.
    """

    def __init__(self, kinds: Any) -> None:
        self._frames = Frames(kinds)
        self._transport: asyncio.Transport | None = None
        self._received: Callable[[Message], object] | None = None
        self._lost: Callable[[], object] | None = None
        self._early: list[Message] = []
        self._ended = False
        self.full = False

    def open(self, received: Callable[[Message], object], lost: Callable[[], object]) -> None:
        self._received, self._lost = received, lost
        early, self._early = self._early, []
        for message in early:
            received(message)
        if self._ended:
            lost()

    def send(self, message: Message) -> None:
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        transport.write(encode_message(message))
        if transport.get_write_buffer_size() > MOST_UNREAD:
            transport.abort()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        transport.set_write_buffer_limits(high=HIGH_WATER)  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._frames.feed(data)
        except ValueError as error:
            log.error("the channel between supervisor and worker is broken: %s", error)
            if self._transport is not None:
                self._transport.abort()
            return
        for message in messages:
            if self._received is None:
                self._early.append(message)
            else:
                self._received(message)

    def pause_writing(self) -> None:
        self.full = True

    def resume_writing(self) -> None:
        self.full = False

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._ended = True
        if self._lost is not None:
            self._lost()


async def connect_channel(end: socket.socket, kinds: Any) -> SocketChannel:
    """The channel over one end of a socket pair, which it owns from now on."""
    end.setblocking(False)
    channel = SocketChannel(kinds)
    # Accepted or made as a pair, to the loop it is a socket that is connected already.
    await asyncio.get_running_loop().connect_accepted_socket(lambda: channel, end)
    return channel
