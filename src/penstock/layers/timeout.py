"""Innermost layer, timeout: how long one attempt may take (semantics.md: Deadlines)."""

from __future__ import annotations

from collections.abc import Awaitable

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.messages import Request
from penstock.usage import BYTES_A_TOKEN

__all__ = ["Timeout"]


class Timeout:
    """Sets an attempt's waits, which whoever holds the connection keeps, and counts it: from here it is sent."""

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._now = clock.monotonic

    def __call__(self, request: Request) -> Awaitable[Reply]:
        timeouts = request.plan.timeouts
        now = self._now()
        left = request.deadline - now
        if request.stream:
            reasons = request.candidate.reasons
            tokens = request.record.bytes_in / BYTES_A_TOKEN
            wait = timeouts.first_output(tokens, reasons=reasons)
            request.idle = timeouts.silence(reasons=reasons)
        else:
            wait = timeouts.attempt if timeouts.attempt is not None else left / request.untried
        wishes = request.caller.wishes
        if wishes is not None and wishes.timeout is not None:
            wait = wishes.timeout
        request.wait = wait if wait < left else left if left > 0.0 else 0.0
        if not request.paid:
            # Here and not before it had its turn: retries are a part of what was sent.
            request.candidate.health.sent(now)
        call = self._call
        return call(request)
