"""Accepts TLS connections, and has only so many of them in their handshake at once.

A loop's own server begins a handshake for whoever connects. Who connects and says nothing has none of the places that
callers are counted by, but a file descriptor, for as long as a handshake may take: a few thousand of them leave none
for callers, providers and the ledger. Here who has been at it for longest makes room: a caller is through in
milliseconds, and whom that meets is one that waits.

Who begins with plain HTTP is answered in plain HTTP, which is all that its client would show: OpenSSL hangs up.
"""

from __future__ import annotations

import asyncio
import logging
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from penstock.clock import Clock, Timer
from penstock.errors import InvalidRequest
from penstock.wire.h1 import Refused

__all__ = ["Handshakes", "places_for"]

log = logging.getLogger("penstock.server")

# Of the connections that there is room for one more part of so many.
_PART = 8
_FEWEST, _MOST = 16, 1000
# Accepted before others have their turn.
_AT_ONCE = 16
# A caller that says nothing in a handshake is not waited for; whose first word came late has this much all the same.
HANDSHAKE_SECONDS, _LEAST_SECONDS = 10.0, 1.0
# Enough of what comes first to tell TLS, which begins with a byte of 22, from a request and its path.
_PEEKED = 512
_REQUEST = re.compile(rb"[A-Z]{3,7} (/[!->@-~]*)")
# How often it is logged that plain HTTP came.
_TOLD_SECONDS = 60.0
# Where no descriptor is free, accepting is tried again after so many seconds.
_RETRY_SECONDS = 0.5


def places_for(connections: int) -> int:
    """How many may be in their handshake where there is room for so many connections."""
    return max(_FEWEST, min(connections // _PART, _MOST))


class Handshakes:
    """A server on listening sockets, which it closes.

    Args:
        made: makes the protocol of one more connection, or of one that is answered so, whatever it asks.
        options: for `connect_accepted_socket`, the context among them.
        places: how many may be at it at once.

    Attributes:
        sockets: on which it listens.
    """

    def __init__(
        self,
        made: Callable[[Refused | None], asyncio.Protocol],
        sockets: Sequence[socket.socket],
        options: Mapping[str, Any],
        places: int,
        clock: Clock,
    ) -> None:
        self.sockets = list(sockets)
        self._made = made
        self._options = options
        self._places = places
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        # The oldest first.
        self._shaking: dict[socket.socket, asyncio.Task[None]] = {}
        self._timer: Timer | None = None
        self._told_plain = -_TOLD_SECONDS
        self._accept()

    def __len__(self) -> int:
        return len(self._shaking)

    def close(self) -> None:
        """Accept no more; handshakes that have begun go on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for each in self.sockets:
            self._loop.remove_reader(each.fileno())
            each.close()
        self.sockets = []

    def _accept(self) -> None:
        self._timer = None
        for each in self.sockets:
            each.setblocking(False)
            self._loop.add_reader(each.fileno(), self._take, each)

    def _take(self, listening: socket.socket) -> None:
        for _ in range(_AT_ONCE):
            try:
                accepted, _ = listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                log.error("no connection can be accepted, tried again in %s s: %s", _RETRY_SECONDS, error.strerror)
                for each in self.sockets:
                    self._loop.remove_reader(each.fileno())
                self._timer = self._timer or self._clock.call_later(_RETRY_SECONDS, self._accept)
                return
            accepted.setblocking(False)
            if len(self._shaking) >= self._places:
                oldest = next(iter(self._shaking))
                del self._shaking[oldest]
                with suppress(OSError):
                    oldest.shutdown(socket.SHUT_RDWR)  # which its transport hears of, and ends
            self._shaking[accepted] = self._loop.create_task(self._shake(accepted))

    async def _shake(self, accepted: socket.socket) -> None:
        try:
            deadline = self._clock.monotonic() + HANDSHAKE_SECONDS
            plain = await self._plain(accepted)
            if plain is not None:
                await self._loop.connect_accepted_socket(lambda: self._made(plain), accepted)
                return
            left = max(deadline - self._clock.monotonic(), _LEAST_SECONDS)
            await self._loop.connect_accepted_socket(
                lambda: self._made(None), accepted, ssl_handshake_timeout=left, **self._options
            )
        except OSError:  # which errors of TLS and timeouts are, too
            accepted.close()
        finally:
            self._shaking.pop(accepted, None)

    async def _plain(self, accepted: socket.socket) -> Refused | None:
        """What to answer one that speaks no TLS; waits for its first word, which stays to be read.

        Raises:
            TimeoutError: there was none.
            ConnectionError: it went without one, as what looks whether somebody listens does.
        """
        came = asyncio.Event()
        self._loop.add_reader(accepted.fileno(), came.set)
        try:
            async with self._clock.timeout(HANDSHAKE_SECONDS):
                await came.wait()
        finally:
            self._loop.remove_reader(accepted.fileno())
        first = accepted.recv(_PEEKED, socket.MSG_PEEK)
        if not first:
            raise ConnectionResetError
        request = _REQUEST.match(first)
        if request is None:
            return None
        now = self._clock.monotonic()
        if now - self._told_plain >= _TOLD_SECONDS:
            self._told_plain = now
            log.warning("plain HTTP from %s at the TLS port: it is told to use https://", accepted.getpeername()[0])
        error = InvalidRequest("plain HTTP came to a port that speaks TLS", do="Write https:// in the base URL.")
        return Refused(error.status, error.message, request[1], error)
