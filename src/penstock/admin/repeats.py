"""Idempotency keys: a POST that is sent again, because its answer got lost, gets that answer and does nothing more.

Kept in this process for an hour, the secret of a new key included. After a restart nothing is remembered; then whatever
has a name is still made once, since names are taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from hashlib import sha256
from typing import NamedTuple

from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.rights import Principal
from penstock.clock import Clock
from penstock.errors import Conflict, InvalidRequest

__all__ = ["HEADER", "Repeats"]

HEADER = "idempotency-key"
SECONDS = 3600.0
MOST = 1000
_LONGEST = 255


class _Kept(NamedTuple):
    """`answer`: None as long as it is being made."""

    asked: bytes
    at: float
    answer: Response | None


class Repeats:
    """The answers of the last hour, at most a thousand."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._kept: dict[tuple[str, str], _Kept] = {}

    async def once(
        self, request: Request, principal: Principal, answer: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """The answer to a request; the one it got before where it comes again.

        Raises:
            InvalidRequest: the key is none.
            Conflict: it was sent with another request (422), or the first is still being answered (409).
        """
        given = request.headers.getlist(HEADER)
        if not given:
            return await answer(request)
        key = given[0]
        if len(given) > 1 or not key.isascii() or not key.isprintable() or not 1 <= len(key) <= _LONGEST:
            raise InvalidRequest(f"{HEADER} is 1 to {_LONGEST} visible characters", do="Send a UUID.")
        self._forget()
        asked = _digest(request)
        # Whose it is belongs to it: nobody gets another's answer.
        place = (f"{principal.tenant}|{principal.name}", key)
        kept = self._kept.get(place)
        if kept is not None:
            return _again(kept, asked)
        self._kept[place] = _Kept(asked, self._clock.monotonic(), None)
        try:
            made = await answer(request)
        except BaseException:
            del self._kept[place]
            raise
        self._kept[place] = _Kept(asked, self._clock.monotonic(), made)
        return made

    def _forget(self) -> None:
        now = self._clock.monotonic()
        for place, kept in list(self._kept.items()):
            if now - kept.at < SECONDS and len(self._kept) < MOST:
                break
            if kept.answer is not None:
                del self._kept[place]


def _digest(request: Request) -> bytes:
    head = f"{request.method} {request.scope['path']} {request.headers.get('if-match', '')}\n"
    return sha256(head.encode("utf-8", "surrogatepass") + request.state.body).digest()


def _again(kept: _Kept, asked: bytes) -> Response:
    if kept.asked != asked:
        raise Conflict(f"that {HEADER} was sent with another request", do="Send another key.", status=422)
    if kept.answer is None:
        raise Conflict("the first request with that key is still being answered", do="Send it again in a moment.")
    headers = dict(kept.answer.headers) | {"idempotency-replayed": "true"}
    return Response(kept.answer.body, kept.answer.status_code, headers)
