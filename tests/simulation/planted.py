"""Bugs that are planted into the running code, each by one function in place of another, to see that they are found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from penstock import errors as e
from penstock.layers import breaker as breaker_layer
from penstock.layers import concurrency
from penstock.layers.attempts import Attempts
from penstock.layers.breaker import Breaker as BreakerLayer
from penstock.layers.record import Recording
from penstock.layers.timeout import Timeout
from penstock.providers import upstream
from penstock.providers.answers import StreamedAnswer
from penstock.providers.joined import Joined
from penstock.routing import judge
from penstock.routing.judge import Failure
from penstock.server import protocol
from penstock.server.data_plane import DataPlane
from penstock.server.protocol import ServerConnection
from penstock.server.worker import Worker
from penstock.standing import NO_EFFECT, READY, Effect
from penstock.stores.authority import Authority
from penstock.stores.breaker import Breaker
from penstock.stores.condition import Condition, Credential, Permit
from penstock.stores.gate import Gate
from penstock.stores.health import Health
from penstock.stores.quota import Quota
from penstock.transport.connection import Connection
from penstock.wire.matching import Rest
from penstock.wire.openai_stream import ChatStream
from penstock.wire.watching import Watcher

__all__ = ["BUGS", "Bug", "planted"]


class Bug(NamedTuple):
    """What is replaced, and by what.

    Attributes:
        where: a module or a class, and the name of the function in it.
        make: from the function that stands there, the one that is wrong.
    """

    where: Any
    name: str
    make: Callable[[Any], Any]


@contextmanager
def planted(bug: Bug) -> Iterator[None]:
    """The bug is in the code for the length of a `with`."""
    right = vars(bug.where)[bug.name]
    setattr(bug.where, bug.name, bug.make(right))
    try:
        yield
    finally:
        setattr(bug.where, bug.name, right)


# --- the judge


def _allows(kind: Any, **changed: Any) -> Callable[[Any], Any]:
    """After such an error more, or less, is allowed than should be."""

    def make(right: Any) -> Any:
        def failure_of(error: BaseException) -> Failure:
            failure: Failure = right(error)
            return failure._replace(**changed) if isinstance(error, kind) else failure

        return failure_of

    return make


def _asks_again_for_ever(right: Any) -> Any:
    def again(plan: Any, candidate: Any, known: Any, now: float, chance: Any) -> Any:
        count, known.count = known.count, 0
        try:
            return right(plan, candidate, known, now, chance)
        finally:
            known.count = count

    return again


def _returns(value: Any) -> Callable[[Any], Any]:
    def make(right: Any) -> Any:
        return lambda *args, **named: value

    return make


def _blames(kind: Any, effect: Effect) -> Callable[[Any], Any]:
    """Such an error means something else for its deployment."""

    def make(right: Any) -> Any:
        return lambda error: effect if isinstance(error, kind) else right(error)

    return make


# --- attempts


async def _admits_all(attempts: Any, request: Any, candidate: Any, standing: Any) -> bool:
    request.trial = False
    return True


def _counts_no_total(right: Any) -> Any:
    async def next_(self: Any, request: Any, order: Any, tried: Any) -> Any:
        record = request.record
        kept, record.attempts = record.attempts, record.attempts[:1]
        try:
            return await right(self, request, order, tried)
        finally:
            record.attempts = kept

    return next_


def _asks_once_more_at_the_end(right: Any) -> Any:
    """After the commit point: who sees that a stream broke off asks for it anew."""

    async def call(self: Any, request: Any) -> Any:
        reply = await right(self, request)
        if reply.streaming:
            source, first = reply.answer, self

            async def pump(push: Any, drain: Any, finish: Any = None) -> None:
                await source.pump(push, drain)
                if request.attempt is not None and source._reader.error is not None:
                    again = await right(first, request)
                    push(again.begin())
                    await again.pump(push, drain)
                    again.close()

            reply.answer = _Pumped(source, pump)
        return reply

    return call


class _Pumped:
    def __init__(self, source: Any, pump: Any) -> None:
        self._source = source
        self.pump = pump

    def __getattr__(self, name: str) -> Any:
        return getattr(self._source, name)


def _forgets_the_deadline(right: Any) -> Any:
    """Who chooses the next attempt does not look at it."""

    async def next_(self: Any, request: Any, *more: Any) -> Any:
        deadline, request.deadline = request.deadline, float("inf")
        try:
            return await right(self, request, *more)
        finally:
            request.deadline = deadline

    return next_


def _outlasts_the_deadline(right: Any) -> Any:
    """An attempt waits for as long as if there were none."""

    def call(self: Any, request: Any) -> Any:
        deadline, request.deadline = request.deadline, self._now() + 1e6
        try:
            return right(self, request)
        finally:
            request.deadline = deadline

    return call


# --- the breaker's layer, health


def _blames_who_left(right: Any) -> Any:
    """Its deployment has failed."""

    async def call(self: Any, request: Any) -> Any:
        try:
            return await right(self, request)
        except Exception:
            raise
        except BaseException:
            request.candidate.health.failed(self._now(), Effect("failure", None, "cancelled"))
            raise

    return call


def _nothing(right: Any) -> Any:
    return lambda *args, **named: None


async def _yes(*args: Any, **named: Any) -> bool:
    return True


def _doubles_without_end(right: Any) -> Any:
    def open_for(self: Any, now: float, rules: Any, why: str) -> None:
        right(self, now, rules, why)
        self.until = now + (self.until - now) * 4

    return open_for


def _stays_open_for_moments(right: Any) -> Any:
    def open_for(self: Any, now: float, rules: Any, why: str) -> None:
        right(self, now, rules, why)
        self.until = now + 0.2

    return open_for


def _never_closes(right: Any) -> Any:
    def tried(self: Any, now: float, failure: str = "") -> None:
        right(self, now, failure)
        self._successes = 0

    return tried


def _keeps_its_permit(right: Any) -> Any:
    def take(self: Any, now: float, life: float, holder: Any) -> None:
        right(self, now, 1e9, object())

    return take


# --- answers


_ENDS = (
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n',
    b'event: message_delta\ndata: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}\n\n'
    b'event: message_stop\ndata: {"type":"message_stop"}\n\n',
)


def _ends_well(right: Any) -> Any:
    def end(self: Any, cause: Any = None) -> bytes:
        if self.error is not None or self.done or not self._begun:
            told: bytes = right(self, cause)
            return told
        self.output = True
        return _ENDS[0] if isinstance(self, ChatStream) else _ENDS[1]

    return end


def _keeps_what_is_unread(right: Any) -> Any:
    def release(self: Any, now: float | None = None) -> None:
        if not self.closed and self._transport is not None and not self.parser.complete and self.streaming:
            self.parser.take()
            self.parser = type(self.parser)()
            self.streaming = False
            self._pool.keep(self, now)
            return
        right(self, now)

    return release


def _lets_go_of_nothing(right: Any) -> Any:
    def release(self: Any, now: float | None = None) -> None:
        if self.parser.complete:
            right(self, now)

    return release


def _keeps_the_head(right: Any) -> Any:
    """The head that was made for one provider is sent to the next one too."""

    def payload(request: Any, deployment: Any, dialect: Any) -> Any:
        caller, endpoint = request.caller, deployment.endpoint
        if caller.sent is not None and caller.sent[1] is dialect:
            caller.sent = (endpoint, dialect, caller.sent[2])
        return right(request, deployment, dialect)

    return payload


def _holds_nothing(answer: Any) -> bool:
    if data := answer._connection.parser.take():
        answer._held = answer._take(data)
    return True


# --- streams that are gone on with


def _tells_again(right: Any) -> Any:
    """Whoever is asked for the whole once more: all of it is told, behind what was told before."""

    def feed(self: Any, text: str) -> str:
        self._at = len(self._told)
        return text

    return feed


def _forgets_the_last_words(right: Any) -> Any:
    """Where nobody goes on it ends as if all had been told."""

    async def go_on(self: Any, error: Any, **more: Any) -> bytes:
        told: bytes = await right(self, error, **more)
        return b"" if told == self._last_words else told

    return go_on


# --- the log


def _forgets_who_left(right: Any) -> Any:
    async def call(self: Any, request: Any) -> Any:
        recorder = self._recorder
        fail, recorder_fail = recorder.fail, recorder.fail

        def heard(record: Any, error: BaseException) -> None:
            if isinstance(error, Exception):
                fail(record, error)
            else:
                recorder.in_flight[0] -= 1

        recorder.fail = heard
        try:
            return await right(self, request)
        finally:
            recorder.fail = recorder_fail

    return call


# --- health


def _refuses_in_a_pause(right: Any) -> Any:
    def refuses(self: Any, now: float) -> bool:
        return self.standing(now).state in ("suspended", "exhausted", "misconfigured")

    return refuses


# --- callers' connections


def _answers_who_is_gone(right: Any) -> Any:
    def lost(self: Any, error: Any) -> None:
        task, self.task = self.task, None
        right(self, error)
        self.task = task

    return lost


# --- workers


def _closes_what_comes_anew(right: Any) -> Any:
    """A worker that starts, or one that reloads, has the breakers closed."""

    def adopt(self: Any, id: str, credential: str, rules: Any, now: float, **more: Any) -> None:
        right(self, id, credential, rules, now, **more)
        self.order(id, "restore", now)

    return adopt


def _cuts_the_old(right: Any) -> Any:
    """A reload closes the connections of the gateway before it."""

    async def adopt(self: Any, message: Any) -> None:
        lives = list(self._lives)
        await right(self, message)
        for life in lives:
            await life.gateway.aclose()

    return adopt


async def _cuts(plane: Any, seconds: float) -> None:
    plane.stop_listening()
    await plane.listener.cut()


def _always(value: Any) -> Callable[[Any], Any]:
    return lambda right: value


BUGS: dict[str, Bug] = {
    "judge: a refused request is sent again": Bug(judge, "_failure_of", _allows(e.UpstreamRefused, again=True)),
    "judge: a refused request goes to another": Bug(judge, "_failure_of", _allows(e.UpstreamRefused, onward="any")),
    "judge: silence is asked again": Bug(judge, "_failure_of", _allows(e.UpstreamTimeout, again=True)),
    "judge: a filtered request goes to another": Bug(judge, "_failure_of", _allows(e.ContentFiltered, onward="any")),
    "judge: no other after too many requests": Bug(judge, "_failure_of", _allows(e.UpstreamRateLimited, onward="none")),
    "judge: nobody else is asked": Bug(judge, "_onward", _returns(())),
    "judge: no backoff": Bug(judge, "_backoff", _returns(0.0)),
    "judge: attempts are not counted": Bug(judge, "_again", _asks_again_for_ever),
    "judge: too many requests pause nobody": Bug(breaker_layer, "effect_of", _blames(e.UpstreamRateLimited, NO_EFFECT)),
    "judge: a refused request is the provider's fault": Bug(
        breaker_layer, "effect_of", _blames(e.UpstreamRefused, Effect("failure"))
    ),
    "attempts: whatever stands how it stands is asked": Bug(Attempts, "_admit", _always(_admits_all)),
    "attempts: six are not all": Bug(Attempts, "_next", _counts_no_total),
    "deadline: the next attempt does not look at it": Bug(Attempts, "_next", _forgets_the_deadline),
    "deadline: an attempt outlasts it": Bug(Timeout, "__call__", _outlasts_the_deadline),
    "commit: a broken stream is begun anew": Bug(Attempts, "__call__", _asks_once_more_at_the_end),
    "commit: nothing is held": Bug(StreamedAnswer, "begin", _always(_holds_nothing)),
    "commit: what breaks off ends well": Bug(Watcher, "end", _ends_well),
    "breaker: never opens": Bug(Breaker, "failed", _nothing),
    "breaker: half open for everybody": Bug(Permit, "free", _returns(True)),
    "breaker: who leaves has seen it fail": Bug(BreakerLayer, "__call__", _blames_who_left),
    "breaker: never closes": Bug(Breaker, "tried", _never_closes),
    "breaker: stays open too long": Bug(Breaker, "_open_for", _doubles_without_end),
    "breaker: stays open for moments": Bug(Breaker, "_open_for", _stays_open_for_moments),
    "permits: one that is taken never lapses": Bug(Permit, "take", _keeps_its_permit),
    "quota: every retry is paid": Bug(Quota, "try_take", _returns(True)),
    "health: a credential without quota goes on": Bug(Credential, "failed", _nothing),
    "health: a pause is not kept": Bug(Condition, "_pause", _nothing),
    "health: everything is always ready": Bug(Health, "standing", _returns(READY)),
    "health: what refuses is asked in its pause too": Bug(Health, "refuses", _refuses_in_a_pause),
    "gate: as many as like": Bug(Gate, "try_enter", _returns(True)),
    "gate: nobody is told of an end": Bug(Gate, "ended", _nothing),
    "gate: who has waited goes whatever happened": Bug(concurrency, "look_again", _nothing),
    "gate: who was passed over is not asked again": Bug(
        judge, "_failure_of", _allows(e.Overloaded, busy=False, again=False)
    ),
    "pool: what is unread stays in the connection": Bug(Connection, "release", _keeps_what_is_unread),
    "pool: connections are not let go of": Bug(Connection, "release", _lets_go_of_nothing),
    "pool: the credential goes to the next provider": Bug(upstream, "_payload", _keeps_the_head),
    "resume: what was told is told again": Bug(Rest, "feed", _tells_again),
    "resume: where nobody goes on nothing is said": Bug(Joined, "_go_on", _forgets_the_last_words),
    "callers: who is gone is answered": Bug(ServerConnection, "connection_lost", _answers_who_is_gone),
    "callers: who sends no more is taken for one who stays": Bug(ServerConnection, "eof_received", _returns(True)),
    "callers: who reads nothing is not cut": Bug(ServerConnection, "_is_stuck", _returns(False)),
    "callers: half a request is waited for": Bug(protocol, "_is_late", _returns(False)),
    "record: who left is forgotten": Bug(Recording, "__call__", _forgets_who_left),
    "reload: forgets how everything stands": Bug(Authority, "adopt", _closes_what_comes_anew),
    "reload: cuts what runs": Bug(Worker, "_adopt", _cuts_the_old),
    "drain: cuts what runs": Bug(DataPlane, "hand_over", _always(_cuts)),
}
