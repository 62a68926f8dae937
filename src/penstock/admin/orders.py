"""`/api/v1/deployments` and `/api/v1/rehearsals`: how deployments stand, and operators' words about them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import Response

from penstock.admin.deployments import deployment_ids, describe_deployments, order_deployments, switched_off
from penstock.admin.operations import PAGING, Endpoint, Operation, Query, json, principal_of
from penstock.admin.overview import Overview
from penstock.admin.pages import page
from penstock.admin.register import Done, Register, note
from penstock.admin.rehearsals import Rehearsals, last_rehearsals, rehearse
from penstock.clock import Clock
from penstock.stores.condition import Order

__all__ = ["ORDERS", "DeploymentRoutes"]

ORDERS: dict[Order, str] = {
    "drain": "Send a deployment no more calls, for maintenance, until it is restored.",
    "isolate": "As drain, and it is not rehearsed either: for one that must not be asked.",
    "restore": "Use a deployment again: ends a drain, an isolation and every pause, and closes its breaker.",
}


class DeploymentRoutes:
    """The operations on deployments.

    Args:
        refresh: brings the metrics up to date before they are shown.
        rehearsals: who rehearses; None where nobody does, and it cannot be asked for.
        register: whose audit log has what was done; None: nobody's.
    """

    def __init__(
        self,
        overview: Overview,
        clock: Clock,
        refresh: Callable[[], Awaitable[None]],
        rehearsals: Rehearsals | None,
        register: Register | None,
    ) -> None:
        self._overview = overview
        self._clock = clock
        self._refresh = refresh
        self._rehearsals = rehearsals
        self._register = register

    def operations(self) -> tuple[Operation, ...]:
        """For the table."""
        listed = Operation(
            "/api/v1/deployments", "deployments", "Every deployment and what became of it so far.",
            self.listed, "Deployments", query=PAGING,
        )  # fmt: skip
        orders = (
            Operation(
                f"/api/v1/deployments/{{id}}/{order}", f"{order}_deployment", summary, self._order(order), "Ordered",
                method="POST",
            )
            for order, summary in ORDERS.items()
        )  # fmt: skip
        return listed, *orders, *(self._of_rehearsals(self._rehearsals) if self._rehearsals is not None else ())

    def _of_rehearsals(self, rehearsals: Rehearsals) -> tuple[Operation, ...]:
        async def last(request: Request) -> Response:
            return json(last_rehearsals(rehearsals))

        async def now(request: Request) -> Response:
            one = request.query_params.get("deployment", "")
            found = await rehearse(rehearsals, one)
            await note(
                self._register,
                principal_of(request).who,
                Done("rehearse", one, after=[each["deployment"] for each in found["data"]]),
            )
            return json(found)

        one = Query("deployment", "This one alone.", {"type": "string"})
        return (
            Operation(
                "/api/v1/rehearsals", "rehearsals", "What came of each deployment's last rehearsal.", last,
                "Rehearsals",
            ),
            Operation(
                "/api/v1/rehearse", "rehearse", "Ask each deployment for one token now; that costs as much.", now,
                "Rehearsals", query=(one,), method="POST",
            ),
        )  # fmt: skip

    async def listed(self, request: Request) -> Response:
        """A page of the deployments."""
        await self._refresh()
        overview = self._overview
        known = deployment_ids(overview, self._clock.monotonic())
        ids, following = page(known, request.query_params)
        rehearsed = self._rehearsals.rehearsed if self._rehearsals is not None else {}
        return json(
            {
                "data": describe_deployments(overview, ids, self._clock, rehearsed),
                "next_cursor": following,
                "switched_off": switched_off(overview.config),
            }
        )

    def _order(self, order: Order) -> Endpoint:
        """An operator's word about a deployment, or about all of its name."""

        async def answer(request: Request) -> Response:
            id = request.path_params["id"]
            told = order_deployments(self._overview, id, order, self._clock)
            await note(
                self._register,
                principal_of(request).who,
                Done(f"deployment.{order}", id, after=[each["id"] for each in told]),
            )
            return json({"data": told})

        return answer
