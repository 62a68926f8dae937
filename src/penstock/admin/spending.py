"""The routes that tell what was spent, and of what somebody was alerted."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.operations import JSON, PAGING, Operation, principal_of
from penstock.admin.usage import Usages
from penstock.admin.usage_answers import CSV, USAGE, Told, list_alerts, tell_usage
from penstock.clock import Clock

__all__ = ["SpendingRoutes"]


class SpendingRoutes:
    """What was used, and alerts, as far as somebody knows.

    Args:
        usages, alerts: who knows; None: nobody, and it cannot be asked for.
    """

    def __init__(self, usages: Usages | None, alerts: Told | None, clock: Clock) -> None:
        self._usages = usages
        self._alerts = alerts
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

    async def usage(self, request: Request) -> Response:
        """What was used."""
        assert self._usages is not None
        return await tell_usage(self._usages, principal_of(request), request.query_params, self._clock.wall())

    async def alerts(self, request: Request) -> Response:
        """A page of alerts."""
        assert self._alerts is not None
        told = await list_alerts(self._alerts, principal_of(request), request.query_params)
        return Response(msgspec.json.encode(told), media_type=JSON)
