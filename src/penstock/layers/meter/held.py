"""What is held for one attempt, from before it is sent until it is booked."""

from __future__ import annotations

from typing import Any

from penstock.messages import Request
from penstock.records import Attempt
from penstock.reservation import Reservation
from penstock.routing.allowance import Allowance
from penstock.routing.money import NOTHING, Claim

__all__ = ["Held"]


class Held:
    """What is held for one attempt.

    Attributes:
        given: how long each of its answers may be; `use`: what it may use.
        expected: what of input it likely takes.
        attempt: whose answer it is; `before`: the one before it.
        number: of its row, 0 while there is none.
        answered: it has given an answer, or the beginning of one.
        counted: its prompt has been counted exactly, or cannot be.
    """

    __slots__ = (
        *("answered", "attempt", "before", "bound", "claim", "counted", "expected", "given", "money"),
        *("number", "request", "reservation", "use"),
    )

    def __init__(self, request: Request, bound: Any, claim: Claim) -> None:
        self.request = request
        self.bound = bound
        self.claim = claim
        self.money: Allowance | None = request.money
        self.given: int = bound.given
        most = request.caller.max_output
        if most is not None and (most < bound.given or not bound.own):
            self.given = most
        self.use = NOTHING
        self.expected = 0
        self.number = 0
        self.reservation: Reservation | None = None
        self.answered = self.counted = False
        self.attempt: Attempt | None = None
        self.before: Attempt | None = request.attempt

    def forecast(self) -> tuple[int, int | None, int | None]:
        """Tokens and cost of its input, likely; what it may cost at most."""
        bound, tokens = self.bound, self.expected
        cost = bound.ceiling.cost(tokens, 0) if bound.ceiling is not None else None
        known = self.reservation is not None and bound.priced
        return tokens, cost, self.use.usd if known else bound.cost(self.given)
