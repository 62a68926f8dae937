"""One connection to the simulated provider: HTTP/1.1 on any transport, requests answered in order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Protocol, cast

from penstock.clock import Clock
from penstock.providers.simulated.failures import ApiError
from penstock.providers.simulated.journal import Journal, Seen
from penstock.providers.simulated.play import FINISH, Act, Player, Step
from penstock.wire.h1 import HttpRequest, Refused, RequestParser, encode_response_head

__all__ = ["Connection", "Responder"]

_SECRET = frozenset((b"authorization", b"x-api-key", b"api-key", b"cookie"))
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Responder(Protocol):
    """Who answers: the provider, as far as a connection needs it."""

    @property
    def clock(self) -> Clock:
        """For waits and the journal's times."""

    @property
    def journal(self) -> Journal:
        """Where requests are counted."""

    @property
    def connections(self) -> dict[Connection, None]:
        """Where open connections are kept."""

    def respond(self, request: HttpRequest, seen: Seen, *, close: bool) -> Iterable[Step]:
        """The steps of the response."""
        ...


class Connection(asyncio.Protocol):
    """Reads requests, plays responses, and tells the journal how each ended."""

    def __init__(self, provider: Responder) -> None:
        self._provider = provider
        self._parser = RequestParser()
        self._transport: asyncio.Transport | None = None
        self._player: Player | None = None
        self._seen: Seen | None = None
        self._refused: Refused | None = None
        self._last = False
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are none by inheritance
        self._provider.connections[self] = None

    def data_received(self, data: bytes) -> None:
        if self._last or self._refused is not None or self._transport is None:
            return
        try:
            self._parser.feed(data)
        except Refused as refused:
            self._refused = refused
        if self._parser.wants_continue and self._player is None:
            self._transport.write(_CONTINUE)
        if self._player is None:
            self._next()

    def eof_received(self) -> None:
        """A peer that closes its half has gone (no client of this API half-closes): the transport closes."""
        if self._player is not None:
            self._record("disconnected")
            self.abort()

    def pause_writing(self) -> None:
        self._paused = True
        if self._player is not None:
            self._player.pause()

    def resume_writing(self) -> None:
        self._paused = False
        if self._player is not None:
            self._player.resume()

    def connection_lost(self, error: Exception | None) -> None:
        self._provider.connections.pop(self, None)
        self._record("disconnected")
        self._transport = None
        self._parser.close()

    @property
    def written(self) -> int:
        """Bytes of the current response handed to the transport; 0 between responses."""
        return 0 if self._player is None else self._player.written

    def abort(self) -> None:
        """Drop the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def _next(self) -> None:
        """Answer the next request that is whole, or what could not be read."""
        if self._transport is None or self._last:
            return
        steps: Iterable[Step]
        if self._parser.ready:
            request = self._parser.ready.popleft()
            self._seen = seen = self._begin(request)
            steps = self._provider.respond(request, seen, close=not request.keep_alive)
        elif self._refused is not None:
            self._last = True
            steps = _refusal(self._refused)
        else:
            return
        self._player = Player(self._transport, self._provider.clock, steps, self._ended)
        if self._paused:
            self._player.pause()
        self._player.run()

    def _begin(self, request: HttpRequest) -> Seen:
        seen = Seen(
            self._provider.clock.monotonic(),
            request.method.decode("latin-1"),
            request.path.decode("latin-1"),
            {name: b"***" if name in _SECRET else value for name, value in request.headers.items()},
            request.body,
            query=request.query.decode("latin-1"),
        )
        self._provider.journal.begin(seen)
        return seen

    def _ended(self, act: Act | None) -> None:
        self._record("done" if act in (None, FINISH) else "cut")
        if act is None:
            self._next()
        else:
            self._last = True

    def _record(self, outcome: str) -> None:
        player, seen = self._player, self._seen
        self._player = self._seen = None
        if player is not None:
            player.stop()
            if seen is not None:
                self._provider.journal.end(seen, outcome, self._provider.clock.monotonic(), player.written)


def _refusal(refused: Refused) -> Iterable[Step]:
    error = ApiError(refused.status, refused.message)
    body = error.body
    headers = (
        (b"content-type", error.content_type),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    )
    return [encode_response_head(refused.status, headers) + body, FINISH]
