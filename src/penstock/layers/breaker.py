"""Of each attempt the outermost layer, breaker: what came of it is told to the deployment's health."""

from __future__ import annotations

from penstock.call import Call, Reply
from penstock.clock import Clock
from penstock.messages import Request
from penstock.routing.judge import effect_of
from penstock.standing import NO_EFFECT, Effect

__all__ = ["Breaker"]

# Of a stream that had begun, what its provider is to blame for.
_CUT = frozenset(("stream_interrupted", "upstream_timeout", "protocol_error", "unavailable"))


class Breaker:
    """Lets an attempt through that its deployment's health has admitted, and reports how it ended.

    A success is one from the first output on; a stream that breaks off later is a failure besides. A caller that left
    says nothing about the provider, and neither does what is wrong with the request.
    """

    def __init__(self, call: Call, clock: Clock) -> None:
        self._call = call
        self._now = clock.monotonic

    async def __call__(self, request: Request) -> Reply:
        health, kind, trial = request.candidate.health, request.kind, request.trial
        started = self._now()
        health.sent(started, kind == "retry")
        try:
            reply = await self._call(request)
        except Exception as error:
            effect = effect_of(error)
            if effect is not NO_EFFECT:
                health.failed(self._now(), effect, trial=trial)
            elif trial:
                health.release_trial()
            raise
        except BaseException:
            if trial:
                health.release_trial()
            raise
        now = self._now()
        if kind != "retry":
            health.passed(now, now - started, trial=trial)
        else:
            health.passed(now, now - started, after_retry=request.paid, trial=trial)
        if reply.streaming:
            reply.hooks.append((self._ended, request))
        return reply

    def _ended(self, request: Request) -> None:
        attempt = request.attempt
        if attempt.outcome in _CUT:
            request.candidate.health.failed(self._now(), Effect("failure", None, f"{attempt.outcome} in a stream"))
