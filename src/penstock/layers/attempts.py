"""Layer attempts: the one loop over retries and fallbacks. A pure judge says what may follow; this does it.

It returns at the commit point, so nothing that it repeats was ever seen by the caller.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec

from penstock.call import Call, Frame, Reply, fixed_reply
from penstock.clock import Clock, Random
from penstock.errors import (
    CircuitOpen,
    DeadlineExceeded,
    EveryDeploymentFailed,
    Overloaded,
    PenstockError,
    UpstreamError,
    UpstreamRateLimited,
)
from penstock.messages import Request
from penstock.records import Attempt, Decision, Record
from penstock.routing.balance import order_candidates
from penstock.routing.degrade import is_theirs
from penstock.routing.judge import FINAL, LONGEST_SECONDS, Option, Tried, failure_of, options
from penstock.routing.plan import Candidate, Plan
from penstock.routing.timeouts import Timeouts
from penstock.standing import Standing

__all__ = ["Attempts"]

# A permit to try a deployment that has failed lapses so long after its first output was due.
TRIAL_GRACE = 5.0
# So long in all a request waits for pauses to end that could go nowhere else; longer, and a queue would grow.
PATIENCE_SECONDS = 3.0
# Within that patience, how often a request looks whether the one call that tries a deployment has found it well.
TRIAL_SECONDS = 0.25
NEVER = float("inf")

# By how its deployments stand, what a request is told that none may be asked for: the first that applies.
_REASONS: dict[str, type[PenstockError]] = {
    "paused": UpstreamRateLimited,
    "open": CircuitOpen,
    "trial": CircuitOpen,
}
# Makes of a stream that may break off one that is gone on with (`providers/joined.join`).
Join = Callable[[Reply, Request, Any, Call, Callable[[], float]], Reply]

_WAITS = frozenset(("queued", "waited"))
DEGRADED = [(b"x-penstock-degraded", b"true")]


class Attempts:
    """Asks one deployment after another until one answers, or nothing may follow any more."""

    def __init__(self, call: Call, clock: Clock, random: Random, join: Join | None = None) -> None:
        self._call = call
        self._join = join
        self._clock = clock
        self._now = clock.monotonic
        self._chance = random.random

    async def __call__(self, request: Request) -> Reply:
        """Raises PenstockError: the only deployment's own error, EveryDeploymentFailed, CircuitOpen, ..."""
        plan: Plan = request.plan
        record = request.record
        record.candidates = plan.ids
        first = plan.candidates[0]
        if plan.settled and not first.health.blocked:
            request.untried = len(plan.candidates)
            request.candidate, request.target = first, first.deployment
            call = self._call
            try:
                reply = await call(request)
            except PenstockError as error:
                reply = await self._go_on(request, tuple(order_candidates(plan, self._now(), self._chance)), error)
        else:
            reply = await self._begin(request, plan)
        attempt = request.attempt
        if attempt is not None:
            record.deployment = request.candidate.name
            record.waited = attempt.answered - record.attempts[0].sent
            if record.decisions:
                record.waited += _held_up(record)
            if reply.answer.__class__ is Frame:  # unlike a stream, as `streaming` says without a call
                record.adopt(attempt)
            else:
                # What its attempt amounts to is known at its end; what its head tells now, already.
                record.dropped, record.clamped = attempt.dropped, attempt.clamped
                if len(record.attempts) > 1:
                    record.adopt_stream(attempt)
                if plan.on_stream_cut == "resume" and self._join is not None:
                    onward = partial(self._onward, tried={})
                    reply = self._join(reply, request, onward, self._call, self._now)
                    reply.hooks.append((_adopt_first, (request, attempt)))
                else:
                    reply.hooks.append((_adopt, request))
        return reply

    # --- the first attempt

    async def _begin(self, request: Request, plan: Plan) -> Reply:
        """Where the first is not simply the first listed."""
        now = self._now()
        order = tuple(order_candidates(plan, now, self._chance))
        candidate = await self._first(request, plan, order)
        if candidate is None:
            return self._degrade(request, self._nobody(request, order))
        if candidate is not order[0] or len(order) > 1:
            self._decide(request, "chosen", candidate, plan.strategy)
        request.untried = len(order)
        try:
            return await self._ask(request, candidate, "first")
        except PenstockError as error:
            return await self._go_on(request, order, error)

    async def _first(self, request: Request, plan: Plan, order: tuple[Candidate, ...]) -> Candidate | None:
        """Whom to ask first; waits a moment for one where all are paused."""
        patience = min(self._now() + PATIENCE_SECONDS, request.deadline)
        noted: set[tuple[str, str]] = set()
        while True:
            now = self._now()
            pauses = []
            for candidate in order:
                standing = candidate.health.standing(now)
                if await self._admit(request, candidate, standing):
                    return candidate
                if (candidate.id, standing.state) not in noted:
                    noted.add((candidate.id, standing.state))
                    self._decide(request, "passed_over", candidate, f"{standing.state}: {standing.why}")
                if standing.state == "paused":
                    pauses.append(standing.until)
                elif standing.state == "trial":
                    pauses.append(now + TRIAL_SECONDS)
            reserve = await self._reserve(request, order)
            if reserve is not None:
                return reserve
            until = min(pauses, default=NEVER)
            if until >= patience:
                return self._last_resort(request, order)
            await self._wait(request, None, max(until - now, 0.0))

    async def _admit(self, request: Request, candidate: Candidate, standing: Standing) -> bool:
        request.trial = False
        if standing.state == "ready":
            return True
        if standing.state == "trial":
            request.trial = await candidate.health.try_trial(self._trial_life(request))
        return request.trial

    async def _reserve(self, request: Request, order: tuple[Candidate, ...]) -> Candidate | None:
        """Where every deployment is open, the one that has been for the longest time is tried before its time."""
        now = self._now()
        standings = [candidate.health.standing(now) for candidate in order]
        if any(standing.state not in ("open", "trial") for standing in standings):
            return None
        closed = [one for one, standing in zip(order, standings, strict=True) if standing.state == "open"]
        for candidate in sorted(closed, key=lambda one: one.health.since)[:1]:
            request.trial = await candidate.health.try_trial(self._trial_life(request), early=True)
            if request.trial:
                return candidate
        return None

    def _last_resort(self, request: Request, order: tuple[Candidate, ...]) -> Candidate | None:
        """Of those that can be asked without harm though they will most likely refuse, where there are no others.

        Whoever has just mended the key, the quota or the model at the provider shall not have to wait: what is passed
        over where others can answer is asked where none can.
        """
        now = self._now()
        for candidate in order:
            if candidate.health.refuses(now):
                request.trial = True
                return candidate
        return None

    def _trial_life(self, request: Request) -> float:
        """How long a permit lasts, whether or not its call has ended by then (semantics.md: Breaker).

        A model that thinks for long is given no longer: where it is silent, another call soon sees whether it is back.
        """
        timeouts: Timeouts = request.plan.timeouts
        return timeouts.first_output(0, reasons=False) + TRIAL_GRACE

    # --- the next ones

    async def _go_on(self, request: Request, order: tuple[Candidate, ...], error: PenstockError) -> Reply:
        """Whatever may follow a failure, until something answers."""
        tried: dict[str, Tried] = request.tried or {}  # a hedge may have failed as well
        request.tried = tried
        said = error
        try:
            while True:
                failure = failure_of(error)
                if failure == FINAL or _says_more(error, said):
                    said = error
                candidate = request.candidate
                known = tried.setdefault(candidate.id, Tried())
                known.failure = failure
                known.count += not (known.failure.busy or known.failure.unsent)
                known.ready_at = self._now()
                self._decide(request, "failed", candidate, error.code)
                option = await self._next(request, order, tried)
                if option is None:
                    request.record.give_up()
                    return self._degrade(request, self._given_up(request, said, len(tried)), said)
                self._decide(request, "chosen", option.candidate, option.kind)
                request.untried = max(1, sum(one.id not in tried for one in order))
                request.pause = option.wait
                try:
                    return await self._ask(request, option.candidate, option.kind)
                except PenstockError as failed:
                    error = failed
        finally:
            del error, said  # as in `_degrade`

    async def _onward(
        self,
        request: Request,
        error: PenstockError,
        prefer: Callable[[Candidate], int],
        *,
        tried: dict[str, Tried],
        hopeless: bool,
    ) -> Request | None:
        """What is asked after a stream has broken off behind its first output, by somebody who can go on with it."""
        candidate, record = request.candidate, request.record
        # A hedge that was called off says nothing about who was asked.
        asked = [attempt.deployment for attempt in record.attempts if attempt.outcome != "cancelled"]
        for id in asked:
            tried.setdefault(id, Tried()).count = asked.count(id)
        failure = failure_of(error)
        known = tried.setdefault(candidate.id, Tried())
        # What is wrong with the request is wrong with this way of asking for it: the first one took it.
        onward = "any" if failure.onward == "none" else failure.onward
        known.failure = failure._replace(again=failure.again and not hopeless, onward=onward)
        known.ready_at = self._now()
        self._decide(request, "failed", candidate, "no_match" if hopeless else error.code)
        made = msgspec.structs.replace(request, kind="resume", trial=False, tried=tried)
        option = await self._next(made, request.plan.candidates, tried, prefer)
        if option is None:
            return None
        made.candidate, made.target, made.pause = option.candidate, option.candidate.deployment, option.wait
        self._decide(made, "chosen", made.candidate, made.kind)
        return made

    async def _next(
        self,
        request: Request,
        order: tuple[Candidate, ...],
        tried: dict[str, Tried],
        prefer: Callable[[Candidate], int] = lambda _: 0,
    ) -> Option | None:
        """What follows, once its time has come: the best that is allowed, paid for and admitted."""
        if len(request.record.attempts) >= request.plan.retry.max_total:
            self._decide(request, "gave_up", None, "max_total")
            return None
        refused: set[str] = set()
        while True:
            found = options(request.plan, order, tried, request.candidate, self._now(), self._chance)
            option = await self._allowed(request, sorted(found, key=lambda one: prefer(one.candidate)), refused)
            if option is None:
                return None
            if option.wait > 0:
                await self._wait(request, option.candidate, option.wait)
            standing = option.candidate.health.standing(self._now())
            if await self._admit(request, option.candidate, standing):
                return option
            refused.add(option.candidate.id)
            self._decide(request, "passed_over", option.candidate, f"{standing.state}: {standing.why}")

    async def _allowed(self, request: Request, found: Sequence[Option], refused: set[str]) -> Option | None:
        """The best thing that may follow and is paid for; it may have to be waited for."""
        now = self._now()
        for option in found:
            candidate = option.candidate
            if candidate.id in refused:
                continue
            standing = candidate.health.standing(now)
            if standing.state == "paused":
                option = option._replace(wait=max(option.wait, standing.until - now))
            elif standing.state not in ("ready", "trial"):
                self._decide(request, "passed_over", candidate, f"{standing.state}: {standing.why}")
                continue
            if now + option.wait >= request.deadline or option.wait > LONGEST_SECONDS:
                self._decide(request, "passed_over", candidate, "it would take too long", option.wait)
                continue
            if option.cost and not await candidate.health.try_retry(option.cost):
                self._decide(request, "passed_over", candidate, "retry quota")
                continue
            request.paid = option.cost
            return option
        return None

    async def _ask(self, request: Request, candidate: Candidate, kind: str) -> Reply:
        request.candidate, request.target, request.kind = candidate, candidate.deployment, kind
        return await self._call(request)

    async def _wait(self, request: Request, candidate: Candidate | None, seconds: float) -> None:
        self._decide(request, "waited", candidate, "", seconds)
        await self._clock.sleep(seconds)

    def _degrade(self, request: Request, error: PenstockError, cause: PenstockError | None = None) -> Reply:
        """The model's fixed answer in place of an error, where it has one and the error is for it; else raises it."""
        plan, record = request.plan, request.record
        if plan.on_failure is None or record.operation != "chat" or not is_theirs(error):
            try:
                raise error from (cause if cause is not error else None)
            finally:
                del error, cause  # whose traceback leads here: so that they are gone once they were told
        self._decide(request, "degraded", None, error.code)
        record.degraded = True
        if record.attempts:
            record.waited = self._now() - record.attempts[0].sent
        request.attempt = None  # none of them answered
        return fixed_reply(plan.on_failure, record.model or plan.name, DEGRADED)

    # --- what is told

    def _decide(self, request: Request, what: str, candidate: Candidate | None, why: str, wait: float = 0.0) -> None:
        deployment = candidate.id if candidate is not None else ""
        request.record.decisions.append(Decision(what, deployment, why, self._now(), wait))

    def _given_up(self, request: Request, error: PenstockError, tried: int) -> PenstockError:
        attempts, wishes = request.record.attempts, request.caller.wishes
        if self._now() >= request.deadline and (len(attempts) > 1 or (wishes is not None and wishes.deadline)):
            return DeadlineExceeded(
                f"the request's time was over with attempt {len(attempts)}, which ended with {error.code}",
                do="Give it more time, or ask for less output.",
            )
        if tried == 1 or not isinstance(error, UpstreamError) or failure_of(error).onward == "none":
            return error
        said = "; ".join(f"{attempt.deployment}: {attempt.outcome}" for attempt in request.record.attempts)
        return EveryDeploymentFailed(
            f"every deployment of '{request.plan.name}' failed ({said}); the last said: {error.message}",
            error,
            do=error.do,
            retry_after=error.retry_after,
        )

    def _nobody(self, request: Request, order: tuple[Candidate, ...]) -> PenstockError:
        """Why none may be asked: what is over soonest by itself says it."""
        now = self._now()
        standings = [candidate.health.standing(now) for candidate in order]
        said = "; ".join(
            f"{one.id} is {standing.state} ({standing.why})" for one, standing in zip(order, standings, strict=True)
        )
        states = {standing.state for standing in standings}
        kind = next((kind for state, kind in _REASONS.items() if state in states), CircuitOpen)
        until = min(standing.until for standing in standings)
        wait = None if until == NEVER or not kind.retryable else max(until - now, 1.0)
        do = (
            "Wait as long as retry-after says."
            if wait is not None
            else "The operator's to settle, or ask for another model."
        )
        return kind(f"no deployment of '{request.plan.name}' may be asked now: {said}", do=do, retry_after=wait)


def _says_more(error: PenstockError, than: PenstockError) -> bool:
    """What a provider said goes before why another one could not be asked, unless it is only the latter that passes.

    Of several that could not be asked, one that is only full says it, and else whoever can be soonest.
    """
    heard, before = isinstance(error, UpstreamError), isinstance(than, UpstreamError)
    if heard and before:
        return True
    if error.retryable is not than.retryable:
        return error.retryable
    return heard if heard is not before else _passes(error) <= _passes(than)


def _passes(error: PenstockError) -> tuple[bool, float]:
    return not isinstance(error, Overloaded), NEVER if error.retry_after is None else error.retry_after


def _held_up(record: Record) -> float:
    """Seconds that were waited for a place, or for a pause to end, before the first attempt began.

    Two that race may have waited at the same time.
    """
    began = record.attempts[0].started
    waited = sum(each.wait for each in record.decisions if each.what in _WAITS and each.at < began)
    return min(waited, began - record.started)


def _adopt(request: Request) -> None:
    request.record.adopt_stream(request.attempt)


def _adopt_first(request_and_attempt: tuple[Request, Attempt]) -> None:
    request, attempt = request_and_attempt
    request.record.adopt_stream(attempt)
