"""What is held for one attempt, from before it is sent until it is booked."""

from __future__ import annotations

from typing import Any

import msgspec

from penstock.messages import Request
from penstock.records import Attempt, quick
from penstock.reservation import Reservation
from penstock.routing.allowance import Allowance
from penstock.routing.money import NOTHING, USD, Claim, Uses

__all__ = ["Held"]


@quick
class Held(msgspec.Struct, gc=False, eq=False):
    """What is held for one attempt.

    Attributes:
        given: how long each of its answers may be; `use`: what it may use.
        expected: what of input it likely takes; 0 where nobody asks.
        attempt: whose answer it is; `before`: the one before it.
        number: of its row, 0 while there is none.
        answered: it has given an answer, or the beginning of one.
        counted: its prompt has been counted exactly, or cannot be.
    """

    request: Request
    bound: Any
    claim: Claim
    given: int
    money: Allowance | None
    before: Attempt | None
    expected: int = 0
    use: Uses = NOTHING
    number: int = 0
    reservation: Reservation | None = None
    answered: bool = False
    counted: bool = False
    attempt: Attempt | None = None

    def forecast(self) -> tuple[int, int | None, int | None]:
        """Tokens and cost of its input, likely; what it may cost at most."""
        bound, tokens = self.bound, self.expected
        cost = bound.ceiling.cost(tokens, 0) if bound.ceiling is not None else None
        known = self.reservation is not None and bound.priced
        return tokens, cost, self.use[USD] if known else bound.cost(self.given)
