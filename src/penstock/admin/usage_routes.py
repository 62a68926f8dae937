"""`/api/v1/usage`, as JSON and as CSV, row by row; `/api/v1/alerts`, and `/api/v1/spending`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from penstock.admin.operations import JSON, PAGING, Operation, Query, principal_of
from penstock.admin.pages import cursor_of, id_of, limit_of, page
from penstock.admin.rights import Principal
from penstock.admin.usage import MOST_ROWS, Asked, Usages, encode_csv, narrowed, read_asked, rows_of
from penstock.clock import Clock
from penstock.errors import InvalidRequest
from penstock.stores.alerts import Noted
from penstock.stores.attribution import Question, Tally
from penstock.stores.bookings import DIMENSIONS

__all__ = ["SpendingRoutes", "Told", "Watcher", "list_alerts", "tell_usage"]

CSV = "text/csv; charset=utf-8"
_TEXT: dict[str, Any] = {"type": "string"}
USAGE = (
    Query("by", f"Up to four of {', '.join(DIMENSIONS)}, day and hour, separated by commas.", _TEXT),
    Query("since", "7d, 12h, a day or a time with its zone; 30 days ago where it is not said.", _TEXT),
    Query("until", "The same; not included. Now where it is not said.", _TEXT),
    *(Query(name, f"Of this {name} alone.", _TEXT) for name in DIMENSIONS),
    Query("format", "How the answer is written.", {"enum": ["json", "csv"], "default": "json"}),
)
_NUMBER = re.compile(r"[0-9]{1,15}")
_encode = msgspec.json.Encoder().encode


class Told(Protocol):
    """Who knows what somebody was told."""

    async def newest(self, before: int | None, most: int, tenant: str | None = None) -> list[tuple[int, Noted]]:
        """The newest alerts, with their numbers; raises StoreFailed."""
        ...


class Watcher(Protocol):
    """Who watches what budgets have spent."""

    def standings(self) -> Sequence[Mapping[str, Any]]:
        """How the accounts stand of which something is spent, the fullest first, each with its `id` and `tenant`."""
        ...


class SpendingRoutes:
    """Their operations, as far as there is who knows.

    Args:
        usages: who knows what was used. alerts: who knows what somebody was told. watcher: who watches budgets.
    """

    def __init__(self, usages: Usages | None, alerts: Told | None, watcher: Watcher | None, clock: Clock) -> None:
        self._usages = usages
        self._alerts = alerts
        self._watcher = watcher
        self._clock = clock

    def operations(self) -> Iterator[Operation]:
        """What can be asked for."""
        if self._usages is not None:
            yield Operation(
                "/api/v1/usage", "usage", "What was spent and used, by model, user, tag and more.", self.usage, "Usage",
                (JSON, CSV), query=USAGE,
            )  # fmt: skip
        if self._alerts is not None:
            yield Operation(
                "/api/v1/alerts", "alerts", "What somebody was told, the newest first.", self.alerts, "Alerts",
                query=PAGING,
            )  # fmt: skip

        if self._watcher is not None:
            yield Operation(
                "/api/v1/spending", "spending", "How budgets stand in their windows, and when they will be used up.",
                self.spending, "Spending", query=PAGING,
            )  # fmt: skip

    async def spending(self, request: Request) -> Response:
        """A page of accounts."""
        assert self._watcher is not None
        principal = principal_of(request)
        # What a tenant's own may see is what is that tenant's alone; what several share is none's.
        seen = {each["id"]: each for each in self._watcher.standings() if principal.sees(each["tenant"])}
        ids, following = page(list(seen), request.query_params)
        return Response(_encode({"data": [seen[id] for id in ids], "next_cursor": following}), media_type=JSON)

    async def usage(self, request: Request) -> Response:
        """What was used."""
        assert self._usages is not None
        return await tell_usage(self._usages, principal_of(request), request.query_params, self._clock.wall())

    async def alerts(self, request: Request) -> Response:
        """A page of alerts."""
        assert self._alerts is not None
        told = await list_alerts(self._alerts, principal_of(request), request.query_params)
        return Response(_encode(told), media_type=JSON)


async def tell_usage(usages: Usages, principal: Principal, query: Mapping[str, str], now: float) -> Response:
    """What was used, of what it may see.

    Raises:
        InvalidRequest: the query cannot be read.
        StoreFailed: the store cannot be read now.
    """
    said = dict(query)
    form = said.pop("format", "json")
    if form not in ("json", "csv"):
        raise InvalidRequest("format is json or csv", do="Leave it out, or write one of them.", param="format")
    asked: Asked | None = read_asked(said, now)
    assert asked is not None
    by = asked.by
    if principal.tenant:
        asked = narrowed(asked, principal.tenant)
    # What is somebody else's is not there.
    tallies = await usages.usage(asked.question) if asked is not None else []
    total = await usages.usage(asked.question._replace(by=(), step=0)) if asked is not None else []
    rows = rows_of(asked, tallies[:MOST_ROWS]) if asked is not None else []
    truncated = len(tallies) > MOST_ROWS
    if form == "csv":
        headers = {"content-disposition": 'attachment; filename="usage.csv"', "x-penstock-truncated": _flag(truncated)}
        return StreamingResponse(encode_csv(by, rows), headers=headers, media_type=CSV)
    return StreamingResponse(_as_json(rows, _sum(total), truncated=truncated), media_type=JSON)


def _sum(total: list[Tally]) -> dict[str, Any] | None:
    return rows_of(Asked(Question(), ()), total)[0] if total else None


def _as_json(rows: Iterable[Mapping[str, Any]], total: Any, *, truncated: bool) -> Iterator[bytes]:
    yield b'{"data":['
    piece: list[bytes] = []
    first = True
    for row in rows:
        piece.append((b"" if first else b",") + _encode(row))
        first = False
        if len(piece) == 500:
            yield b"".join(piece)
            piece.clear()
    yield b"".join(piece)
    yield b'],"total":%b,"truncated":%b}' % (_encode(total), _flag(truncated).encode())


def _flag(value: bool) -> str:
    return "true" if value else "false"


async def list_alerts(told: Told, principal: Principal, query: Mapping[str, Any]) -> dict[str, Any]:
    """A page of what somebody was told, the newest first; a tenant's own sees what concerns that tenant.

    Raises:
        InvalidRequest: `limit` or `cursor` is not one.
        StoreFailed: the store cannot be read now.
    """
    limit, before = limit_of(query), id_of(query, _NUMBER)
    found = await told.newest(int(before) if before else None, limit + 1, principal.tenant or None)
    shown = found[:limit]
    following = cursor_of(str(shown[-1][0])) if len(found) > limit else None
    return {"data": [_alert(noted) for _, noted in shown], "next_cursor": following}


def _alert(noted: Noted) -> dict[str, Any]:
    """As the webhook is told it, and what became of that."""
    return {"id": noted.id, **msgspec.json.decode(noted.body), "webhook": noted.state, "tries": noted.tries}
