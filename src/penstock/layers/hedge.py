"""Layer hedge: asks a second deployment where the first is silent for long, and takes whichever answers first.

It stands inside the one loop over attempts, to which the race is one attempt with one outcome: it returns when the
winner has its first output, or raises what the first said, once both have failed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.errors import PenstockError
from penstock.messages import Request
from penstock.records import Attempt, Decision, Record
from penstock.routing.hedging import is_repeatable, latest_moment, other_for
from penstock.routing.judge import Tried, failure_of
from penstock.routing.plan import Plan
from penstock.usage import BYTES_A_TOKEN

__all__ = ["Hedging"]


class Hedging:
    """Races a request's first attempt against a second where the plan says so; retries and fallbacks run alone."""

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._clock = clock
        self._now = clock.monotonic

    def __call__(self, request: Request) -> Awaitable[Reply]:
        if request.plan.hedge is None or request.kind != "first":
            return self._call(request)
        return self._first(request, request.plan)

    async def _first(self, request: Request, plan: Plan) -> Reply:
        plan.extra.asked()
        after = None if request.trial or not is_repeatable(request.fields) else _after(request, plan)
        if after is None:
            return await self._call(request)
        race = _Race()
        try:
            return await self._run(race, request, after)
        except BaseException:
            try:
                await race.call_off()
            finally:
                race.settle()
            raise

    async def _run(self, race: _Race, request: Request, after: float) -> Reply:
        race.enter(self._call, request)
        timer = self._clock.call_later(after, race.wake)
        try:
            await race.news()
        finally:
            timer.cancel()
        if race.running:
            other = self._other(request, after)
            if other is not None:
                race.enter(self._call, other)
        while race.winner() is None and race.running:
            await race.news()
        winner = race.winner()
        if winner is None:
            raise self._lost(race, request)
        reply = winner.task.result()
        for loser in race.entries:
            if loser is not winner:
                if loser.request.attempt is not None:
                    loser.request.attempt.lost = True
                await loser.end()
                self._settle(loser, winner, reply)
        if winner.request is not request:
            _take_over(request, winner.request)
        return reply

    def _other(self, request: Request, after: float) -> Request | None:
        """The same request to a second deployment, if there is one and it may be sent."""
        plan, record, now = request.plan, request.record, self._now()
        if len(record.attempts) >= plan.retry.max_total or now >= request.deadline:
            return None
        candidate = other_for(plan, request.candidate, now)
        if candidate is None or not plan.extra.try_take():
            return None
        record.decisions.append(Decision("hedged", candidate.id, f"no output after {after:.3g} s", now, after))
        return msgspec.structs.replace(
            request, candidate=candidate, target=candidate.deployment, kind="hedge", attempt=None
        )

    def _lost(self, race: _Race, request: Request) -> BaseException:
        """All have failed: what the first said; that the second was tried is told to who goes on."""
        first, *others = race.entries
        for other in others:
            error = other.task.exception()
            if isinstance(error, PenstockError):
                self._failed(other, error)
                tried = request.tried = request.tried if request.tried is not None else {}
                tried[other.request.candidate.id] = Tried(1, failure_of(error), self._now())
        error = first.task.exception()
        assert error is not None
        return error

    def _settle(self, loser: _Entry, winner: _Entry, reply: Reply) -> None:
        """What became of the one that lost, and what it costs."""
        error = None if loser.task.cancelled() else loser.task.exception()
        if isinstance(error, PenstockError):
            self._failed(loser, error)
            return
        attempt: Attempt | None = loser.request.attempt
        if attempt is None or attempt.outcome != "cancelled":
            return
        if loser.task.cancelled():
            self._note_silence(loser.request, attempt)
        if attempt.usage is not None:
            return
        closed = _Closed(loser.request.record, loser.request.candidate.deployment, attempt, winner.request.attempt)
        if reply.streaming:
            reply.on_end(_Closed.book, closed)  # by then it is known what the winner used
        else:
            closed.book()

    def _failed(self, entry: _Entry, error: PenstockError) -> None:
        entry.request.record.decisions.append(Decision("failed", entry.request.candidate.id, error.code, self._now()))

    def _note_silence(self, request: Request, attempt: Attempt) -> None:
        """It would have taken longer than the time it had; that says something if others take less."""
        pace, now = request.candidate.pace, self._now()
        took, mean = now - attempt.started, pace.ewma
        if mean is not None and took > mean:
            pace.first_output(took, request.record.bytes_in / BYTES_A_TOKEN, now, stream=request.stream)


class _Entry:
    """One of those that race."""

    def __init__(self, call: Call, request: Request) -> None:
        self.request = request
        self.task: asyncio.Task[Reply] = asyncio.get_running_loop().create_task(_run(call, request))

    async def end(self) -> None:
        """See that it is over and holds nothing: the connection is closed by the time this returns."""
        task = self.task
        if not task.done():
            task.cancel()
            await asyncio.wait([task])
        if not task.cancelled() and task.exception() is None:
            task.result().close()


class _Closed(NamedTuple):
    """An attempt that was closed for another, and is still to be paid for."""

    record: Record
    deployment: Any
    attempt: Attempt
    winner: Attempt

    def book(self) -> None:
        """Write down what it costs."""
        prompt = -(-self.record.bytes_in // BYTES_A_TOKEN)
        self.deployment.book_closed(self.record, self.attempt, prompt, self.winner.usage)
        _settle(self.attempt)


class _Race:
    """Attempts at the same request that run at the same time."""

    def __init__(self) -> None:
        self.entries: list[_Entry] = []
        self._waiter: asyncio.Future[None] | None = None

    @property
    def running(self) -> bool:
        """Whether any is not over."""
        return any(not entry.task.done() for entry in self.entries)

    def enter(self, call: Call, request: Request) -> None:
        """One more."""
        entry = _Entry(call, request)
        self.entries.append(entry)
        entry.task.add_done_callback(self.wake)

    def wake(self, done: object = None) -> None:
        """Have who waits look."""
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def news(self) -> None:
        """Wait until one of those that run is over, or until `wake`."""
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def winner(self) -> _Entry | None:
        """The first listed of those that have answered."""
        for entry in self.entries:
            task = entry.task
            if task.done() and not task.cancelled() and task.exception() is None:
                return entry
        return None

    def settle(self) -> None:
        """Nobody will say any more what those that lost are billed."""
        for entry in self.entries:
            if entry.request.attempt is not None:
                _settle(entry.request.attempt)

    async def call_off(self) -> None:
        """Nobody wants an answer any more."""
        for entry in self.entries:
            entry.task.cancel()
        for entry in self.entries:
            await entry.end()


def _settle(attempt: Attempt) -> None:
    settle, attempt.settle = attempt.settle, None
    if settle is not None:
        settle()


async def _run(call: Callable[[Request], Awaitable[Reply]], request: Request) -> Reply:
    return await call(request)


def _after(request: Request, plan: Plan) -> float | None:
    """When to ask the second; None where too little is known of the first."""
    assert plan.hedge is not None
    if plan.hedge.after is not None:
        return plan.hedge.after
    tokens = request.record.bytes_in / BYTES_A_TOKEN
    tail, most = request.candidate.pace.tail(tokens, stream=request.stream), plan.hedge.most
    if tail is None:
        return None
    moment: float | None = tail.moments.get(most)
    if moment is None:
        moment = tail.moments[most] = latest_moment(tail.samples, most)
    return moment


def _take_over(request: Request, winner: Request) -> None:
    """From here on the request is the one that won."""
    request.candidate, request.target = winner.candidate, winner.target
    request.attempt, request.kind = winner.attempt, winner.kind
    request.prompt, request.wait, request.idle = winner.prompt, winner.wait, winner.idle
