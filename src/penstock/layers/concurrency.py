"""Layer concurrency: so many calls at a time at a deployment; the others wait their turn, the most urgent first.

Where nothing is limited, which is so until a provider refuses or the configuration says so, it costs a look.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import CircuitOpen, Overloaded, UpstreamRateLimited
from penstock.messages import Request
from penstock.records import Decision
from penstock.routing.plan import Candidate
from penstock.routing.timeouts import Timeouts
from penstock.routing.wishes import NORMAL, RANKS
from penstock.usage import BYTES_A_TOKEN

__all__ = ["Concurrency"]

# What was learnt from refusals is a guess, which a brownout makes too low: nobody waits for longer because of it, and
# who then is answered shows that there is room.
GUESS_SECONDS = 3.0
# No caller is told to wait for longer before it asks again.
LONGEST_SECONDS = 60.0
NEVER = float("inf")


class Concurrency:
    """Lets an attempt through once its deployment's gate (`stores/gate.py`) has room for it.

    Another deployment that has room at once goes before a wait. The breaker, which is outside, counts the attempt and
    tells the gate when it is over: a stream's when it is closed.

    Args:
        weigh: a tenant's part of the turns beside others'.
    """

    def __init__(self, call: Call, clock: Clock, weigh: Callable[[str], float] = lambda tenant: 1.0) -> None:
        self._call = call
        self._weigh = weigh
        self._clock = clock
        self._now = clock.monotonic

    def __call__(self, request: Request) -> Awaitable[Reply]:
        gate = request.candidate.pace.gate
        if gate is None or gate.limit is None:
            return self._call(request)
        return self._through(request, gate)

    async def _through(self, request: Request, gate: Any) -> Reply:
        """Raises Overloaded: elsewhere is room; the queue is full; the call's turn did not come in time.

        UpstreamRateLimited, CircuitOpen: when its turn came its deployment was to be asked no more.
        """
        beyond = False
        if not gate.try_enter():
            if _roomier(request):
                refused = _refused(request, gate, "busy, and another deployment is not")
                refused.elsewhere = True
                raise refused
            beyond = await self._queue(request, gate)
        reply = await self._call(request)
        gate.passed(self._now(), beyond=beyond)
        return reply

    async def _queue(self, request: Request, gate: Any) -> bool:
        """Wait for its turn; whether it goes beyond what was learnt, of which it has waited for long enough."""
        now = self._now()
        wishes = request.caller.wishes
        rank = RANKS.get(wishes.priority, NORMAL) if wishes is not None else NORMAL
        patience = _patience(request, request.deadline - now)
        if gate.guesses:
            patience = min(patience, GUESS_SECONDS)
        tenant = request.record.tenant or ""
        place = gate.queue(rank, now + patience, tenant, self._weigh(tenant))
        if place is None:
            raise _refused(request, gate, "busy, and so is its queue")
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
            raise _refused(request, gate, f"busy; the call's turn did not come within {patience:g} s")
        if turn == "shed":
            raise _refused(request, gate, "busy, and its queue is full of calls that go before this one")
        if request.candidate.health.blocked and not request.trial:
            _look_again(request, self._now())
        return beyond


def _look_again(request: Request, now: float) -> None:
    """While it waited its deployment may have been paused, or failed so often that it is not asked any more."""
    candidate = request.candidate
    standing = candidate.health.standing(now)
    if standing.state == "ready":
        return
    kind = UpstreamRateLimited if standing.state == "paused" else CircuitOpen
    raise kind(
        f"{candidate.name} is {standing.state} ({standing.why}) since this call waited for its turn",
        do="Wait as long as retry-after says.",
        retry_after=max(0.0, standing.until - now) if standing.until < NEVER else None,
    )


def _roomier(request: Request) -> bool:
    """Whether another deployment that was not tried would take it at once."""
    mine, tried = request.candidate, request.tried
    if tried is not None and mine.id in tried:
        return False  # sent away once, or a retry: whoever else there was has gone before
    return any(
        one is not mine and not one.health.blocked and (tried is None or one.id not in tried) and _has_room(one)
        for one in request.plan.candidates
    )


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


def _refused(request: Request, gate: Any, why: str) -> Overloaded:
    return Overloaded(
        f"{request.candidate.name} is {why}",
        do="Wait as long as retry-after says.",
        retry_after=min(gate.expected(), LONGEST_SECONDS),
    )
