"""Layer 4, route: from the name asked for to the deployment that answers, if the caller may use it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from penstock.call import Call, Reply
from penstock.errors import Forbidden
from penstock.messages import Caller, Request
from penstock.routing.names import Found, Names

__all__ = ["Route"]


class Route:
    """Chooses the deployment.

    Args:
        names: what can be asked for.
        deployment: what was found, as the thing that providers know how to reach for this caller.
    """

    def __init__(self, call: Call, names: Names, deployment: Callable[[Found, Caller], Any]) -> None:
        self._call = call
        self._names = names
        self._deployment = deployment

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """Raises UnknownModel, Forbidden; Unauthenticated without a credential that the caller must have."""
        admits = request.caller.admits
        found = self._names.find(request.model, admits) if admits is not None else self._names.find(request.model)
        if admits is not None and not admits(found):
            raise Forbidden(
                f"this key may not use model '{found.name}'",
                do="Ask for another, or have it added to the key's models.",
            )
        request.record.deployment = found.deployment
        request.target = self._deployment(found, request.caller)
        return self._call(request)
