"""The control plane as an ASGI application over an overview: a configuration and what was counted under it.

One table of operations makes the routes, with `admin/rights.py` says who may ask for which, and is what OpenAPI
describes. Whether a request is let in is decided by the route that was matched, never by the URL as it was written.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha256
from typing import NamedTuple

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

from penstock.admin import exposition
from penstock.admin.audit import AuditRoutes
from penstock.admin.bodies import receive
from penstock.admin.credentials import CredentialRoutes
from penstock.admin.door import Door
from penstock.admin.guards import Guarded
from penstock.admin.keys import KeyRoutes
from penstock.admin.openapi import JSON, document
from penstock.admin.operations import Endpoint, Operation, json, make_routes, principal_of
from penstock.admin.orders import DeploymentRoutes
from penstock.admin.overview import Overview, as_it_is
from penstock.admin.problems import problem, problem_of
from penstock.admin.register import Register
from penstock.admin.rehearsals import Rehearsals
from penstock.admin.reloads import ReloadRoutes, Reloads
from penstock.admin.repeats import Repeats
from penstock.admin.requests import RequestRoutes, Requests
from penstock.admin.rights import OPEN, require, right_of
from penstock.admin.rules import RuleRoutes
from penstock.admin.tenants import TenantRoutes
from penstock.admin.usage import Usages
from penstock.admin.usage_routes import SpendingRoutes, Told, Watcher
from penstock.clock import Clock
from penstock.config.guards import is_loopback
from penstock.config.show import describe
from penstock.errors import InvalidRequest, NotFound, Overloaded, PenstockError
from penstock.stores.fill import Fills
from penstock.stores.sqlite import StoreFailed
from penstock.version import VERSION

__all__ = ["ControlPlane", "Shown"]

log = logging.getLogger("penstock.admin")


class Shown(NamedTuple):
    """What a control plane can tell beside its overview.

    Attributes:
        refresh: brings the metrics up to date before they are shown.
        requests: knows what became of requests; None where nobody does, and it cannot be asked for.
        rehearsals: who rehearses, likewise.
        register: keeps tenants, keys, stored rules and the audit log, likewise.
        usages: who knows what was used, likewise.
        alerts: who knows what somebody was told, likewise.
        watcher: who watches what budgets have spent, likewise.
        fills: who knows how full the accounts of limits and budgets are; None: nobody does.
        reloads: who reads the configuration anew, likewise.
    """

    refresh: Callable[[], Awaitable[None]] = as_it_is
    requests: Requests | None = None
    rehearsals: Rehearsals | None = None
    register: Register | None = None
    usages: Usages | None = None
    alerts: Told | None = None
    watcher: Watcher | None = None
    fills: Fills | None = None
    reloads: Reloads | None = None


class ControlPlane:
    """What the control plane answers; `app` is the ASGI application.

    Args:
        overview: whose configuration and metrics are shown.
        door: who is let in to all but the open operations.

    Attributes:
        operations: what can be asked for.
        rights: of each, what one must be.
        routes: the router's own table, made from it.
    """

    def __init__(self, overview: Overview, door: Door, clock: Clock, shown: Shown | None = None) -> None:
        host = overview.config.server.admin.host
        self._overview = overview
        self._door = door
        self._clock = clock
        self._shown = shown if shown is not None else Shown()
        self._repeats = Repeats(clock)
        self._started = clock.monotonic()
        self.operations = self._table()
        self.rights = {each.key: right_of(each.method, each.path) for each in self.operations}
        if is_loopback(host):
            self.rights["GET /metrics"] = OPEN
        self._document = msgspec.json.encode(document(self.operations, self.rights))
        routed = self._make_app()
        self.routes: Sequence[BaseRoute] = routed.routes
        self.app: ASGIApp = Guarded(routed, host)

    def _table(self) -> tuple[Operation, ...]:
        text, shown, clock = (exposition.TEXT, exposition.OPENMETRICS), self._shown, self._clock
        return (
            Operation("/", "index", "What is here.", self.index, "Index"),
            Operation("/metrics", "metrics", "Metrics for Prometheus.", self.metrics, "Page", text),
            Operation("/api/openapi.json", "openapi", "This description.", self.openapi, "Document"),
            Operation(
                "/api/v1/config", "config", "The configuration, resolved, secrets masked.", self.config, "Config",
                tagged=True,
            ),
            *DeploymentRoutes(self._overview, clock, shown.refresh, shown.rehearsals, shown.register).operations(),
            Operation("/api/v1/health", "health", "What the process is doing.", self.health, "Health"),
            *(RequestRoutes(shown.requests, clock).operations() if shown.requests is not None else ()),
            *(self._of_register(shown.register) if shown.register is not None else ()),
            *(ReloadRoutes(shown.reloads, shown.register).operations() if shown.reloads is not None else ()),
            *SpendingRoutes(shown.usages, shown.alerts, shown.watcher, clock).operations(),
        )  # fmt: skip

    def _of_register(self, register: Register) -> tuple[Operation, ...]:
        overview, clock = self._overview, self._clock
        return (
            *TenantRoutes(register, overview).operations(),
            *KeyRoutes(register, overview, clock, admins=False).operations(),
            *KeyRoutes(register, overview, clock, admins=True).operations(),
            *RuleRoutes(register, overview, "limit", self._shown.fills).operations(),
            *RuleRoutes(register, overview, "budget", self._shown.fills).operations(),
            *CredentialRoutes(register, overview).operations(),
            *AuditRoutes(register.audit).operations(),
        )

    def _make_app(self) -> Starlette:
        app = Starlette(
            routes=make_routes(self.operations, self._endpoint),
            exception_handlers={
                PenstockError: _answer_error,
                HTTPException: _answer_http_error,
                StoreFailed: _answer_store_failed,
                ClientDisconnect: _answer_nobody,
                Exception: _answer_bug,
            },
        )
        # A redirect would be written with the Host that the caller sent.
        app.router.redirect_slashes = False
        return app

    def _endpoint(self, operation: Operation) -> Endpoint:
        right = self.rights[operation.key]

        async def endpoint(request: Request) -> Response:
            if right.least is not None:
                address = request.client.host if request.client is not None else ""
                principal = await self._door.admit(request.headers.getlist("authorization"), address)
                require(principal, right)
                request.state.principal = principal
            _check_query(request, operation)
            if operation.method == "GET":
                return await operation.answer(request)
            request.state.body = await receive(request)
            if operation.method == "POST":
                return await self._repeats.once(request, principal_of(request), operation.answer)
            return await operation.answer(request)

        return endpoint

    # --- operations

    async def index(self, request: Request) -> Response:
        """What is here."""
        paths: dict[str, str] = {}
        for each in self.operations:
            paths[each.path] = (
                f"{paths[each.path]} {each.method}: {each.summary}" if each.path in paths else each.summary
            )
        return json({"name": "penstock", "version": VERSION, "paths": paths})

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text."""
        await self._shown.refresh()
        overview = self._overview
        overview.metrics.show_states(overview.health.standings(self._clock.monotonic()))
        taken = exposition.Snapshot(overview.metrics)
        body, media = await asyncio.to_thread(exposition.encode, taken, request.headers.get("accept", ""))
        return Response(body, headers={"content-type": media})

    async def openapi(self, request: Request) -> Response:
        """The description of all operations."""
        return Response(self._document, media_type=JSON)

    async def config(self, request: Request) -> Response:
        """The configuration, resolved, secrets masked."""
        body = msgspec.json.encode(describe(self._overview.config))
        tag = f'"{sha256(body).hexdigest()[:32]}"'
        if _names_tag(request.headers.getlist("if-none-match"), tag):
            return Response(status_code=304, headers={"etag": tag})
        return Response(body, headers={"etag": tag}, media_type=JSON)

    async def health(self, request: Request) -> Response:
        """What the process is doing."""
        await self._shown.refresh()
        metrics = self._overview.metrics
        workers = sorted(metrics.generation.series.items(), key=lambda item: int(item[0][0]))
        return json(
            {
                "version": VERSION,
                "uptime_seconds": round(self._clock.monotonic() - self._started, 3),
                "requests_in_flight": int(metrics.in_flight.series[()]),
                "connections": int(metrics.connections.series[()]),
                "upstream_connections": {
                    "open": int(metrics.upstream_connections.series[()]),
                    "busy": int(metrics.upstream_busy.series[()]),
                },
                "workers": [
                    {"worker": int(name), "config_generation": int(generation)} for (name,), generation in workers
                ],
            }
        )


def _check_query(request: Request, operation: Operation) -> None:
    known = {query.name for query in operation.query}
    words = {query.name: query.schema["enum"] for query in operation.query if "enum" in query.schema}
    given = [name for name, _ in request.query_params.multi_items()]
    for name, value in request.query_params.multi_items():
        if name not in known:
            raise InvalidRequest("there is a query parameter that this route does not have", do=_queries(known))
        if given.count(name) > 1:
            raise InvalidRequest(f"{name} is given more than once", do="Give it once.", param=name)
        if name in words and value not in words[name]:
            raise InvalidRequest(f"{name} is {' or '.join(words[name])}", do="Write one of them.", param=name)


def _queries(known: set[str]) -> str:
    return f"It has {', '.join(sorted(known))}." if known else "It has none."


def _names_tag(conditions: list[str], tag: str) -> bool:
    """Whether If-None-Match holds the tag, compared weakly (RFC 9110, section 13.1.2)."""
    tags = [one.strip().removeprefix("W/") for value in conditions for one in value.split(",")]
    return tag in tags or "*" in tags


async def _answer_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PenstockError)
    return problem_of(error)


async def _answer_http_error(request: Request, error: Exception) -> Response:
    """What the router refuses: an unknown path or method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allow = ", ".join(sorted((error.headers or {})["Allow"].split(", ")))
        method = allow.partition(",")[0]
        return problem(405, NotFound.code, f"this route is asked by {method}", f"Send {method}.", {"allow": allow})
    do = "GET / says what is here."
    if request.url.path.startswith(("/v1/", "/openai/", "/anthropic/")):
        do = "Models are asked at the gateway's own address, server.listen; this is the control plane."
    return problem(error.status_code, NotFound.code, "there is no such route here", do)


async def _answer_store_failed(request: Request, error: Exception) -> Response:
    """The disk is full or fails; nothing was changed."""
    log.error("%s", error)
    return problem(503, Overloaded.code, "the store cannot be written or read now", "Look into Penstock's log.")


async def _answer_nobody(request: Request, error: Exception) -> Response:
    """Whoever asked left before the body was whole: no mistake of ours, and nobody to be told."""
    return Response(status_code=400)


async def _answer_bug(request: Request, error: Exception) -> Response:
    """A mistake of ours. The server writes the traceback to stderr; the caller learns only that there is one."""
    return problem(500, "internal_error", "Penstock made a mistake", "Look into its log, and report it.")
