"""`/api/v1/requests`: requests that are being answered and those of the last moments, and what became of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.operations import JSON, PAGING, Operation, json, principal_of
from penstock.admin.pages import cursor_of, id_of, limit_of
from penstock.admin.rights import Principal
from penstock.clock import Clock
from penstock.errors import NotFound

__all__ = ["RequestRoutes", "Requests"]

# https://www.rfc-editor.org/rfc/rfc9562#section-5.7, as Penstock writes it; its first 48 bits are Unix milliseconds.
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


class Requests(Protocol):
    """Who knows what became of requests. A line is JSON, as the request log has it."""

    async def find(self, id: str) -> bytes | None:
        """The line of a request; None where it is not known."""
        ...

    async def past(self, id: str) -> bytes | None:
        """What the ledger tells of one that `find` does not know, as JSON; None where it has nothing."""
        ...

    async def newest(self, before: str, most: int) -> list[tuple[str, bytes]]:
        """Ids and lines of the newest that began before that one, or of all (""); the newest first."""
        ...


class RequestRoutes:
    """The operations on requests."""

    def __init__(self, requests: Requests, clock: Clock) -> None:
        self._requests = requests
        self._clock = clock
        self._began = clock.wall()

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        return (
            Operation(
                "/api/v1/requests", "requests", "The requests being answered and the last ones, the newest first.",
                self.listed, "Requests", query=PAGING,
            ),
            Operation(
                "/api/v1/requests/{id}/explain", "explain",
                "What was decided about a request, and what became of it; of an old one what the ledger has.",
                self.explain, "Explained",
            ),
        )  # fmt: skip

    async def listed(self, request: Request) -> Response:
        """A page of requests."""
        return json(await _page(self._requests, request.query_params, principal_of(request)))

    async def explain(self, request: Request) -> Response:
        """One request."""
        found = await _find(self._requests, request.path_params["id"], principal_of(request))
        line = found if found is not None else _missing(request.path_params["id"], self._began, self._clock)
        return Response(line, media_type=JSON)


async def _page(requests: Requests, query: Mapping[str, Any], principal: Principal) -> dict[str, Any]:
    """A page of requests that it may see, the newest first.

    Raises:
        InvalidRequest: `limit` or `cursor` is not one.
    """
    limit, before = limit_of(query), id_of(query, _ID)
    found: list[tuple[str, bytes]] = []
    while len(found) <= limit:
        more = await requests.newest(before, limit + 1)
        found += [each for each in more if _visible(each[1], principal)]
        if len(more) <= limit:
            break
        before = more[-1][0]
    shown = found[:limit]
    following = cursor_of(shown[-1][0]) if len(found) > limit else None
    return {"data": [msgspec.Raw(line) for _, line in shown], "next_cursor": following}


async def _find(requests: Requests, id: str, principal: Principal) -> bytes | None:
    """The line of a request, or what is left of it; None where nothing is, or it is none of those that it may see."""
    id = id.lower()
    if not _ID.fullmatch(id):
        return None
    line = await requests.find(id)
    if line is None:
        line = await requests.past(id)
    return line if line is not None and _visible(line, principal) else None


class _Whose(msgspec.Struct):
    tenant: str | None = None


_whose = msgspec.json.Decoder(_Whose).decode


def _visible(line: bytes, principal: Principal) -> bool:
    return not principal.tenant or principal.sees(_whose(line).tenant)


def _missing(id: str, began: float, clock: Clock) -> NoReturn:
    """Say why there is no such request here.

    Args:
        began: Unix time at which this gateway began.

    Raises:
        NotFound: always.
    """
    id = id.lower()
    if not _ID.fullmatch(id):
        raise NotFound(
            "that is not a request's id",
            do="An answer has it in the header x-request-id: it looks like 0190b0a5-5c3e-7d2a-9f61-0c8e3b7a4d21.",
        )
    asked = int(id[:8] + id[9:13], 16) / 1000
    if asked < began:
        why = f"it is from before this gateway began ({_text(began)}), and no attempt of it is in the ledger"
    elif asked > clock.wall() + 60:
        why = "it is from another gateway, whose clock goes differently"
    else:
        why = "it is from another gateway, or asked no provider and is too old: the last 10,000 are kept"
    raise NotFound(
        f"there is no request {id} here: it is dated {_text(asked)}, so {why}",
        do="Its line is in the request log of the gateway that answered it.",
    )


def _text(wall: float) -> str:
    return datetime.fromtimestamp(min(wall, 253402300799.0), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
