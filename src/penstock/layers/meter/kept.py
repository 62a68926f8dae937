"""Attempts that nothing limits: nothing is reserved of any budget for them, and they have their rows in the ledger.

What all requests of a gateway without budgets go through: it does no more than these rows need.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import ClassVar

import msgspec

from penstock.call import Call, Reply
from penstock.layers.meter.entries import Entries, entered
from penstock.layers.meter.lessons import Lessons
from penstock.messages import Request
from penstock.records import Attempt
from penstock.reservation import Reservation
from penstock.routing.money import NO_CLAIM, NOTHING, Claim, Uses

__all__ = ["Keeping", "Kept"]

# Of a token (`routing/estimate.py`), where there is nothing but text.
_BYTES = 4
# One answer of so many is learned from once there is little to be learned of each: nothing hangs on it here.
LEARNED_THEN = 32


class Kept(msgspec.Struct, gc=False, eq=False):
    """What is known of one attempt until it is over; as `held.Held`, without what is held."""

    reservation: ClassVar[Reservation | None] = None
    claim: ClassVar[Claim] = NO_CLAIM
    use: ClassVar[Uses] = NOTHING

    request: Request
    lessons: Lessons
    before: Attempt | None
    attempt: Attempt | None = None
    number: int = 0
    answered: bool = False

    def forecast(self) -> tuple[int, int | None, int | None]:
        """Tokens and cost of its input, likely; what it may cost at most nobody has reckoned."""
        request = self.request
        candidate, record = request.candidate, request.record
        if record.operation != "chat" or request.begun or not _is_text(request.fields.get("messages")):
            bound = candidate.deployment.bound(request)
            tokens = self.lessons.expected(candidate.name, bound)
            return tokens, bound.ceiling.cost(tokens, 0) if bound.ceiling is not None else None, None
        # It is text alone, and only if this process dies will anybody ask.
        tokens = int(record.bytes_in / _BYTES * self.lessons.factor(candidate.name, "ascii")) + 1
        price = candidate.deployment.price
        return tokens, price.ceiling(record.wall).cost(tokens, 0) if price is not None else None, None


class Keeping:
    """Opens and closes a row for each attempt."""

    def __init__(self, call: Call, entries: Entries, lessons: Lessons) -> None:
        self._call = call
        self._entries = entries
        self._close = entries.close
        self._lessons = lessons

    def __call__(self, request: Request) -> Awaitable[Reply]:
        """Raises Overloaded: the ledger cannot be written, and nothing was sent."""
        kept = Kept(request, self._lessons, request.attempt)
        return entered(self._call, request, kept, self._entries, self._end)

    def _end(self, kept: Kept) -> None:
        request = kept.request
        attempt: Attempt | None = kept.attempt if kept.answered else request.attempt
        if attempt is kept.before:
            attempt = None  # it was not sent
        elif attempt is not None and attempt.usage is None and attempt.outcome == "cancelled":
            left = attempt
            if attempt.lost:
                # What it is billed may go by how long the winner's answer becomes.
                left.settle = lambda: self._leave(kept, left)
            else:
                self._leave(kept, left)
            return
        self._close(kept, attempt, None)
        usage = attempt.usage if attempt is not None else None
        if usage is not None and not usage.estimated and self._lessons.due():
            name, bound = request.candidate.name, request.candidate.deployment.bound(request)
            self._lessons.learn(name, self._lessons.expected(name, bound), bound, usage.input_tokens)

    def _leave(self, kept: Kept, attempt: Attempt) -> None:
        """Nobody waits for its answer any more."""
        if attempt.usage is None and not attempt.unsent:
            kept.request.candidate.deployment.book_left(kept.request.record, attempt)
        self._close(kept, attempt, None)


def _is_text(messages: msgspec.Raw | None) -> bool:
    """Whether there is nothing else in them, as far as can be seen at once: parts stand in a list, and have a type."""
    if messages is None:
        return False
    data = bytes(messages)
    return data.find(b"[", 1) < 0 or b'"type"' not in data
