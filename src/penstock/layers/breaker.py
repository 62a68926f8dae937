"""Of each attempt the outermost layer, breaker: what came of it is told to the deployment's health."""

from __future__ import annotations

from typing import Any

from penstock.call import Call, Frame, Reply
from penstock.clock import Clock
from penstock.messages import Request
from penstock.records import Attempt
from penstock.routing.judge import effect_of
from penstock.standing import NO_EFFECT, Effect
from penstock.usage import BYTES_A_TOKEN

__all__ = ["Breaker"]

# Of a stream that had begun, what its provider is to blame for.
_CUT = frozenset(("stream_interrupted", "upstream_timeout", "protocol_error", "unavailable"))


class Breaker:
    """Lets an attempt through that its deployment's health has admitted, and reports how it ended.

    A success is one from the first output on; a stream that breaks off later is a failure besides. A caller that left
    says nothing about the provider, and neither does what is wrong with the request, nor a caller's own deadline.
    """

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._now = clock.monotonic

    async def __call__(self, request: Request) -> Reply:
        candidate, before, call = request.candidate, request.attempt, self._call
        pace = candidate.pace
        pace.in_flight += 1
        try:
            reply = await call(request)
        except Exception as error:
            # What was never sent (it had no place, or its turn came too late) says nothing of the provider.
            effect = effect_of(error) if request.attempt is not before else NO_EFFECT
            if effect is not NO_EFFECT and not (effect.kind == "slow" and self._was_hurried(request)):
                now = self._now()
                candidate.health.failed(now, effect, trial=request.trial)
                self._felt(request, pace, effect, now)
            elif request.trial:
                candidate.health.release_trial()
            pace.ended()
            raise
        except BaseException:
            pace.ended()
            if request.trial:
                candidate.health.release_trial()
            raise
        attempt: Attempt = request.attempt
        if attempt is not before:
            now = attempt.answered
            took = now - attempt.started  # without its time in a queue, which is not the provider's
            pace.first_output(took, request.record.bytes_in / BYTES_A_TOKEN, now, stream=request.stream)
        else:  # it was answered here, without the provider
            now, took = self._now(), 0.0
        if request.paid or request.trial:
            candidate.health.passed(now, took, after_retry=request.paid, trial=request.trial)
        else:
            candidate.health.passed(now, took)
        if reply.answer.__class__ is not Frame:  # as `streaming` says, without a call
            reply.hooks.append((self._ended, (pace, request)))
        else:  # as `pace.ended` says, likewise
            pace.in_flight -= 1
            if pace.limited:
                pace.gate.ended()
        return reply

    def _was_hurried(self, request: Request) -> bool:
        """Whether it was over so soon by the caller's own wish: one in a hurry must not close the way for all."""
        wishes = request.caller.wishes
        if wishes is None:
            return False
        return wishes.timeout is not None or (wishes.deadline is not None and self._now() >= request.deadline)

    def _felt(self, request: Request, pace: Any, effect: Effect, now: float) -> None:
        """What a failure says of how much the deployment can do."""
        if effect.kind == "slow":
            attempt: Attempt = request.attempt
            least = attempt.answered - attempt.started
            pace.first_output(least, request.record.bytes_in / BYTES_A_TOKEN, now, stream=request.stream)
        elif pace.gate is not None and effect.kind in ("throttled", "overloaded"):
            pace.gate.throttled(request.attempt.sent, now)

    def _ended(self, pace_and_request: tuple[Any, Request]) -> None:
        pace, request = pace_and_request
        pace.ended()
        attempt = request.attempt
        if attempt.outcome not in _CUT or (attempt.outcome == "upstream_timeout" and self._was_hurried(request)):
            return
        request.candidate.health.failed(self._now(), Effect("failure", None, f"{attempt.outcome} in a stream"))
