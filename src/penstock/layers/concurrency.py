"""Layer concurrency: so many calls at a time at a deployment; the others wait their turn, the most urgent first.

Where nothing is limited, which is so until a provider refuses or the configuration says so, it costs a look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from penstock.call import Call, Reply, until_over
from penstock.clock import Clock
from penstock.errors import Overloaded
from penstock.messages import Request
from penstock.records import Decision
from penstock.reservation import Rule, Shortage
from penstock.routing.plan import Candidate
from penstock.routing.timeouts import Timeouts
from penstock.routing.turn import look_again, others_than, rank_of
from penstock.usage import BYTES_A_TOKEN

__all__ = ["Concurrency", "Seating"]

# What was learnt from refusals is a guess, which a brownout makes too low: nobody waits for longer because of it, and
# who then is answered shows that there is room.
GUESS_SECONDS = 3.0
# No caller is told to wait for longer before it asks again.
LONGEST_SECONDS = 60.0


class Seating(NamedTuple):
    """The limits of calls at a time that hold for where an attempt goes, all its calls together, hedges too.

    Attributes:
        of: those that hold for a deployment, by its name, and for which value.
        seats: where they are counted (`stores/seats.py`).
    """

    of: Callable[[str], Sequence[tuple[Rule, str]]]
    seats: Any


class Concurrency:
    """Lets an attempt through once its deployment's gate (`stores/gate.py`) has room for it, and then its provider.

    Another deployment that has room at once goes before a wait. The breaker, which is outside, counts the attempt and
    tells the gate when it is over: a stream's when it is closed.

    Args:
        weigh: a tenant's part of the turns beside others'.
        seating: None: nothing but gates.
    """

    def __init__(
        self,
        call: Call,
        clock: Clock,
        weigh: Callable[[str], float] = lambda tenant: 1.0,
        seating: Seating | None = None,
    ) -> None:
        self._call = call
        self._weigh = weigh
        self._seating = seating
        self._clock = clock
        self._now = clock.monotonic

    def __call__(self, request: Request) -> Awaitable[Reply]:
        candidate = request.candidate
        pace = candidate.pace
        if self._seating is not None and (held := self._seating.of(candidate.name)):
            return self._seated(request, pace.gate if pace.limited else None, held)
        if pace.limited:
            return self._through(request, pace.gate)
        call = self._call
        return call(request)

    async def _through(self, request: Request, gate: Any) -> Reply:
        """Raises Overloaded: elsewhere is room; the queue is full; the call's turn did not come in time.

        UpstreamRateLimited, CircuitOpen: when its turn came its deployment was to be asked no more.
        """
        beyond = await self._enter(request, gate)
        reply = await self._call(request)
        gate.passed(self._now(), beyond=beyond)
        return reply

    async def _seated(self, request: Request, gate: Any, held: Sequence[tuple[Rule, str]]) -> Reply:
        """First through the gate, as those who wait for a seat count as running there. Raises as `_through`."""
        beyond = gate is not None and await self._enter(request, gate)
        assert self._seating is not None
        seat = self._seating.seats.try_take(held) or await self._sit(request, held)
        reply = await until_over(self._call, request, seat.leave)
        if gate is not None:
            gate.passed(self._now(), beyond=beyond)
        return reply

    async def _enter(self, request: Request, gate: Any) -> bool:
        """Come in at once, or wait for the turn; see `_queue`."""
        if gate.try_enter():
            return False
        if _roomier(request):
            raise _elsewhere(request, gate.expected())
        return await self._queue(request, gate)

    async def _sit(self, request: Request, held: Sequence[tuple[Rule, str]]) -> Any:
        """A seat at all of them, after a wait. Raises as `_through`."""
        if _roomier(request):
            raise _elsewhere(request, 1.0)
        assert self._seating is not None
        began, tenant = self._now(), request.record.tenant or ""

        def tell(place: Callable[[], int] | None) -> None:
            request.place = place

        asking = (rank_of(request), tenant, self._weigh(tenant), began, request.deadline)
        found = await self._seating.seats.take(held, asking, tell)
        waited, short = self._now() - began, isinstance(found, Shortage)
        if waited > 0:
            why = "late" if short else "go"
            request.record.decisions.append(Decision("queued", request.candidate.id, why, began, waited))
        if isinstance(found, Shortage):
            what = f"{found.rule.limit:,} calls at a time for {found.rule.scope} '{found.value}'"
            raise _refused(request, found.wait, f"busy: {what} are under way, which is the limit")
        if waited > 0 and request.candidate.health.blocked and not request.trial:
            try:
                look_again(request, self._now())
            except BaseException:
                found.leave()
                raise
        return found

    async def _queue(self, request: Request, gate: Any) -> bool:
        """Wait for its turn; whether it goes beyond what was learnt, of which it has waited for long enough."""
        now = self._now()
        patience = _patience(request, request.deadline - now)
        if gate.guesses:
            patience = min(patience, GUESS_SECONDS)
        tenant = request.record.tenant or ""
        place = gate.queue(rank_of(request), now + patience, tenant, self._weigh(tenant))
        if place is None:
            raise _refused(request, gate.expected(), "busy, and so is its queue")
        timer = self._clock.call_later(patience, lambda: gate.late(place))
        request.place = lambda: place.ahead + 1
        try:
            turn = await place.turn
        except BaseException:
            gate.leave(place)
            raise
        finally:
            request.place = None
            timer.cancel()
        waited = self._now() - now
        beyond = turn == "late" and gate.guesses and waited >= GUESS_SECONDS and gate.exceed()
        why = "it waited for long enough" if beyond else turn
        request.record.decisions.append(Decision("queued", request.candidate.id, why, now, waited))
        if turn == "late" and not beyond:
            raise _refused(request, gate.expected(), f"busy; the call's turn did not come within {patience:g} s")
        if turn == "shed":
            raise _refused(request, gate.expected(), "busy, and its queue is full of calls that go before this one")
        if request.candidate.health.blocked:
            look_again(request, self._now())
        return beyond


def _roomier(request: Request) -> bool:
    """Whether another deployment that was not tried would take it at once."""
    return any(map(_has_room, others_than(request)))


def _has_room(candidate: Candidate) -> bool:
    gate = candidate.pace.gate
    return gate is None or gate.has_room


def _patience(request: Request, left: float) -> float:
    """How long the call may wait: as long as it would for an answer, and so that there is time left for one.

    When far more come than can be answered, turns would else go to those whose time is nearly over, and for nothing.
    """
    left -= request.candidate.pace.ewma or 0.0
    timeouts: Timeouts = request.plan.timeouts
    wishes = request.caller.wishes
    wait: float
    if wishes is not None and wishes.timeout is not None:
        wait = wishes.timeout
    elif request.stream:
        wait = timeouts.first_output(request.record.bytes_in / BYTES_A_TOKEN, reasons=request.candidate.reasons)
    else:
        wait = timeouts.attempt if timeouts.attempt is not None else left / request.untried
    return max(0.0, min(wait, left))


def _refused(request: Request, wait: float, why: str) -> Overloaded:
    return Overloaded(
        f"{request.candidate.name} is {why}",
        do="Wait as long as retry-after says.",
        retry_after=min(wait, LONGEST_SECONDS),
    )


def _elsewhere(request: Request, wait: float) -> Overloaded:
    refused = _refused(request, wait, "busy, and another deployment is not")
    refused.elsewhere = True
    return refused
