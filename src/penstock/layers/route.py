"""Layer route: from the name asked for to where it may go, if the caller may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import msgspec

from penstock.call import Call, Reply
from penstock.errors import Forbidden
from penstock.messages import Caller, Request
from penstock.routing.names import Found, Names
from penstock.routing.plan import Plan

__all__ = ["Route"]


class _Routed(msgspec.Struct, eq=False):
    """Where a request goes: by which layer and configuration, what is asked for, and by whose rights.

    Attributes:
        whole, streamed: how long all of a unary request may take, and of a streamed one, in seconds.
    """

    route: Route
    model: str
    admits: Callable[[Found], bool] | None
    deployment: str
    plan: Plan
    whole: float | None
    streamed: float | None


class Route:
    """Finds the plan, and with it by when the request must be over.

    Args:
        names: what can be asked for.
        plan: where what was found may go, for this caller.
    """

    def __init__(self, call: Call, names: Names, plan: Callable[[Found, Caller], Plan]) -> None:
        self._call = call
        self._names = names
        self._plan = plan

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """Raises UnknownModel, Forbidden; Unauthenticated without a credential that the caller must have."""
        caller, record = request.caller, request.record
        routed: _Routed | None = caller.routed
        if (
            routed is None
            or routed.model != request.model
            or routed.admits is not caller.admits
            or routed.route is not self
        ):
            routed = self._route(request)
        record.deployment = routed.deployment
        request.plan = routed.plan
        total = routed.streamed if request.stream else routed.whole
        if total is not None and record.started + total < request.deadline:
            request.deadline = record.started + total
        call = self._call
        return call(request)

    def _route(self, request: Request) -> _Routed:
        """Found once for all requests of a connection that ask for the same. Raises as the call."""
        caller, admits = request.caller, request.caller.admits
        found = self._names.find(request.model, admits) if admits is not None else self._names.find(request.model)
        if admits is not None and not admits(found):
            raise Forbidden(
                f"this key may not use model '{found.name}'",
                do="Ask for another, or have it added to the key's models.",
            )
        request.record.deployment = found.deployment
        plan = self._plan(found, caller)
        whole, streamed = plan.timeouts.whole(stream=False), plan.timeouts.whole(stream=True)
        routed = _Routed(self, request.model, admits, found.deployment, plan, whole, streamed)
        if plan.lasting and caller.wishes is None:
            caller.routed = routed
        return routed
