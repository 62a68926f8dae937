"""Layer 3, deadline: by when the request must be over, where its caller says so. The model's own limit comes later."""

from __future__ import annotations

from collections.abc import Awaitable

from penstock.call import Call, Reply
from penstock.messages import Request

__all__ = ["Deadline"]


class Deadline:
    """Turns the caller's wish into a point in time."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def __call__(self, request: Request) -> Awaitable[Reply]:
        wishes = request.caller.wishes
        if wishes is not None and wishes.deadline is not None:
            request.deadline = request.record.started + wishes.deadline
        call = self._call
        return call(request)
