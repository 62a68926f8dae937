"""What the breaker's layer tells of a deployment's pace: every attempt that begins ends, however it ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from penstock.call import Call, Frame, Reply
from penstock.clock import Ids
from penstock.errors import (
    PenstockError,
    ProviderAnswer,
    Unavailable,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimeout,
)
from penstock.layers.breaker import Breaker
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.records import Attempt
from penstock.routing.plan import Candidate
from penstock.routing.wishes import Wishes
from penstock.stores.health import Health
from penstock.stores.pace import Pace
from penstock.testing import FakeClock, SeededRandom


class Stream:
    """The least that a streamed reply needs."""

    def close(self) -> None:
        pass


def request(clock: FakeClock) -> Request:
    made = Request("openai_chat", "m", True, {}, Caller(), Opening(Ids(clock, SeededRandom(1)), clock).record("chat"))
    made.candidate = Candidate("a", "a", 0, None, Health("a"), Pace("a"))
    return made


def answering(clock: FakeClock, after: float, answer: Any) -> Call:
    """A call that makes an attempt, which takes so long to its first output."""

    async def call(request: Request) -> Reply:
        now = clock.monotonic()
        attempt = request.attempt = Attempt("a", now, now)
        clock.advance(after)
        attempt.answered = clock.monotonic()
        if isinstance(answer, BaseException):
            raise answer
        return Reply(200, b"", answer)

    return call


def run(call: Call, clock: FakeClock, made: Request) -> Reply:
    step = Breaker(call, clock)(made).__await__()
    with pytest.raises(StopIteration) as stop:
        next(step)
    reply: Reply = stop.value.value
    return reply


def test_a_whole_answer_is_over_at_once() -> None:
    clock = FakeClock()
    made = request(clock)
    made.stream = False
    run(answering(clock, 0.4, Frame(b"x", lambda data: [])), clock, made)
    pace = made.candidate.pace
    assert pace.in_flight == 0
    assert pace.ewma == pytest.approx(0.4)


def test_a_stream_is_in_flight_until_it_is_closed() -> None:
    clock = FakeClock()
    made = request(clock)
    reply = run(answering(clock, 0.4, Stream()), clock, made)
    pace = made.candidate.pace
    assert (pace.in_flight, pace.ewma) == (1, pytest.approx(0.4))
    # Whoever goes on with the request elsewhere meanwhile (`resume`) does not end another's attempt.
    made.candidate = Candidate("b", "b", 1, None, Health("b"), Pace("b"))
    reply.close()
    reply.close()
    assert (pace.in_flight, made.candidate.pace.in_flight) == (0, 0)


@pytest.mark.parametrize(
    ("error", "mean"),
    [
        (Unavailable("down"), None),
        (UpstreamRefused("wrong"), None),
        # It was silent for so long: it would have taken at least that.
        (UpstreamTimeout("silent"), 12.0),
        (asyncio.CancelledError(), None),
    ],
)
def test_a_failed_attempt_is_over(error: BaseException, mean: float | None) -> None:
    clock = FakeClock()
    made = request(clock)
    with pytest.raises(type(error)):
        run(answering(clock, 12.0, error), clock, made)
    assert (made.candidate.pace.in_flight, made.candidate.pace.ewma) == (0, mean)


def test_a_providers_own_word_of_a_timeout_is_no_silence() -> None:
    clock = FakeClock()
    made = request(clock)
    error = UpstreamTimeout("gateway timeout")
    error.answer = ProviderAnswer(504, {}, b"")
    with pytest.raises(PenstockError):
        run(answering(clock, 1.0, error), clock, made)
    assert made.candidate.pace.ewma is None


def test_the_wait_for_a_place_is_not_the_providers() -> None:
    clock = FakeClock()
    made = request(clock)
    inner = answering(clock, 0.25, Stream())

    async def queued(request: Request) -> Reply:
        clock.advance(30.0)
        return await inner(request)

    run(queued, clock, made)
    assert made.candidate.pace.ewma == pytest.approx(0.25)


def test_what_had_no_place_says_nothing_of_the_provider() -> None:
    """Its turn came while the deployment was paused: that is known already, and nobody has refused this call."""
    clock = FakeClock()
    made = request(clock)
    health = made.candidate.health

    async def turned_away(request: Request) -> Reply:
        raise UpstreamRateLimited("paused since it waited", retry_after=2.0)

    with pytest.raises(UpstreamRateLimited):
        run(turned_away, clock, made)
    assert not health.blocked
    assert made.candidate.pace.in_flight == 0


def test_what_is_answered_here_says_nothing_of_the_provider() -> None:
    clock = FakeClock()
    made = request(clock)

    async def counted(request: Request) -> Reply:
        return Reply(200, b"", Frame(b"{}", lambda data: []))

    run(counted, clock, made)
    assert (made.candidate.pace.in_flight, made.candidate.pace.ewma) == (0, None)


@pytest.mark.parametrize(
    ("wishes", "blamed"),
    [
        (None, True),
        (Wishes(priority="high"), True),
        (Wishes(deadline=60.0), True),
        (Wishes(deadline=2.0), False),
        (Wishes(timeout=2.0), False),
    ],
)
def test_a_caller_in_a_hurry_does_not_close_the_way_for_all(wishes: Wishes | None, blamed: bool) -> None:
    clock = FakeClock()
    health = Health("a")
    for _ in range(5):
        made = request(clock)
        made.candidate.health = health
        made.caller.wishes = wishes
        if wishes is not None and wishes.deadline is not None:
            made.deadline = clock.monotonic() + wishes.deadline
        with pytest.raises(UpstreamTimeout):
            run(answering(clock, 2.0, UpstreamTimeout("silent")), clock, made)
    assert health.blocked is blamed


@pytest.mark.parametrize("blamed", [True, False])
def test_a_stream_that_the_callers_deadline_ended_is_no_failure(blamed: bool) -> None:
    clock = FakeClock()
    health = Health("a")
    for _ in range(12):  # each is a success first, and then a failure besides
        made = request(clock)
        made.candidate.health = health
        made.caller.wishes = Wishes(deadline=20.0 if blamed else 1.0)
        made.deadline = clock.monotonic() + made.caller.wishes.deadline
        reply = run(answering(clock, 0.4, Stream()), clock, made)
        clock.advance(2.0)
        made.attempt.outcome = "upstream_timeout"
        reply.close()
    assert (health.standing(clock.monotonic()).state == "open") is blamed
