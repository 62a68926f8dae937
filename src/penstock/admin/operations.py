"""What can be asked of the control plane: operations, and the router's table made from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Literal, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from penstock.admin.pages import LARGEST, USUAL
from penstock.admin.rights import Principal

__all__ = ["JSON", "PAGING", "Endpoint", "Operation", "Query", "json", "make_routes", "principal_of", "resource"]

JSON = "application/json"

Endpoint = Callable[[Request], Awaitable[Response]]


class Query(NamedTuple):
    """A query parameter and its JSON Schema."""

    name: str
    about: str
    schema: dict[str, Any]


PAGING = (
    Query("limit", "How many at most.", {"type": "integer", "minimum": 1, "maximum": LARGEST, "default": USUAL}),
    Query("cursor", "`next_cursor` of the page before.", {"type": "string"}),
)


class Operation(NamedTuple):
    """One method of one route; who may ask for it stands in `admin/rights.py`.

    Attributes:
        path: a deployment's id in it is encoded as one segment (RFC 3986: `#` is `%23`); its slashes may stay.
        answer: what runs; it may raise any PenstockError.
        returns: which of the document's schemas the answer has.
        media: the content types it may have.
        tagged: whether the answer has an ETag and honours If-None-Match.
        method: GET, or POST for what does something.
        takes: which of the schemas its body has; "" for none.
        made: whether it makes something: it answers 201 with where that is.
        match: whether if-match must or may name the version that is to be changed.
    """

    path: str
    name: str
    summary: str
    answer: Endpoint
    returns: str
    media: tuple[str, ...] = (JSON,)
    query: tuple[Query, ...] = ()
    tagged: bool = False
    method: str = "GET"
    takes: str = ""
    made: bool = False
    match: Literal["", "may", "must"] = ""

    @property
    def key(self) -> str:
        """Its row in the table of rights."""
        return f"{self.method} {self.path}"

    @property
    def route(self) -> str:
        """The path as the router has it: ids of deployments have slashes in them."""
        return self.path.replace("/deployments/{id}", "/deployments/{id:path}")


def json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """An answer."""
    return Response(msgspec.json.encode(value), status, headers, JSON)


def resource(value: dict[str, Any], made_at: str = "") -> Response:
    """One thing, with its etag as a header too.

    Args:
        made_at: where it can be asked for, where it was made just now.
    """
    headers = {"etag": value["etag"]} if value["etag"] is not None else {}
    return json(value, 201, {"location": made_at, **headers}) if made_at else json(value, headers=headers)


def make_routes(operations: Iterable[Operation], endpoint: Callable[[Operation], Endpoint]) -> list[Route]:
    """One route for each path, whatever its methods, so that a wrong one is told all that there are."""
    by_path: dict[str, dict[str, Endpoint]] = {}
    for each in operations:
        by_path.setdefault(each.route, {})[each.method] = endpoint(each)
    return [Route(path, _by_method(methods), methods=list(methods)) for path, methods in by_path.items()]


def _by_method(methods: dict[str, Endpoint]) -> Endpoint:
    async def answer(request: Request) -> Response:
        return await methods["GET" if request.method == "HEAD" else request.method](request)

    return answer


def principal_of(request: Request) -> Principal:
    """Who asks; only for operations that are not open."""
    principal: Principal = request.state.principal
    return principal
