"""A second deployment beside one that is silent: who wins, who is closed and what is told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.call import Call, Frame, Reply, stack
from penstock.clock import Ids
from penstock.errors import EveryDeploymentFailed, Unavailable, UpstreamRefused
from penstock.layers.attempts import Attempts
from penstock.layers.breaker import Breaker
from penstock.layers.concurrency import Concurrency
from penstock.layers.hedge import Hedging
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.records import Attempt, Record
from penstock.routing.plan import Candidate, Hedge, Plan, Retry
from penstock.standing import READY
from penstock.stores.extra import Extra
from penstock.stores.pace import Pace
from penstock.testing import Cancel, SeededRandom, SimLoop, run, sweep_scenario
from penstock.usage import Usage


class Steady:
    """A health that takes everything."""

    blocked = False

    def standing(self, now: float) -> Any:
        return READY

    async def try_retry(self, cost: int) -> bool:
        return False

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: None


class Booked:
    """What is known of a deployment here: what it was told that an attempt costs."""

    def __init__(self) -> None:
        self.closed: list[tuple[int, Usage | None]] = []

    def book_closed(self, record: Record, attempt: Attempt, prompt_tokens: int, other: Usage | None) -> None:
        attempt.usage = Usage(input_tokens=prompt_tokens, estimated=True)
        self.closed.append((prompt_tokens, other))


class Stream:
    """The least that a streamed reply needs; counts what is open."""

    def __init__(self, scene: Scene, attempt: Attempt) -> None:
        self.scene = scene
        self.attempt = attempt
        scene.open += 1

    def close(self) -> None:
        self.scene.open -= 1
        self.attempt.outcome = "ok"
        self.attempt.usage = Usage(input_tokens=9, output_tokens=50)


class Scene:
    """Deployments `a`, `b` (and `c`) that answer or fail after so long, and a plan that hedges."""

    def __init__(self, loop: SimLoop, takes: dict[str, float], hedge: Hedge | None = None, total: int = 6) -> None:
        self.loop = loop
        self.takes = takes
        self.errors: dict[str, Exception] = {}
        self.asked: list[tuple[str, str, float]] = []
        self.cut: list[tuple[str, float]] = []
        self.open = 0
        extra = Extra("m")
        extra.most = 1.0
        candidates = tuple(Candidate(id, id, number, Booked(), Steady(), Pace(id)) for number, id in enumerate(takes))
        self.plan = Plan(
            "m", candidates, tuple(takes), hedge=hedge or Hedge(after=1.0), extra=extra,
            retry=Retry(max_total=total),
        )  # fmt: skip
        self.by_id = {one.id: one for one in candidates}
        clock = loop.clock
        self.call: Call = stack(
            [
                lambda call: Attempts(call, clock, SeededRandom(1)),
                lambda call: Hedging(call, clock),
                lambda call: Breaker(call, clock),
                lambda call: Concurrency(call, clock),
            ],
            self.upstream,
        )
        self.opening = Opening(Ids(clock, SeededRandom(1)), clock)

    async def upstream(self, request: Request) -> Reply:
        id, now = request.candidate.id, self.loop.time()
        self.asked.append((id, request.kind, now))
        attempt = request.attempt = Attempt(id, now, now, kind=request.kind)
        request.record.attempts.append(attempt)
        try:
            await self.loop.clock.sleep(self.takes[id])
        except BaseException:
            attempt.outcome, attempt.answered = "cancelled", self.loop.time()
            self.cut.append((id, self.loop.time()))
            raise
        attempt.answered = self.loop.time()
        if id in self.errors:
            error = self.errors[id]
            attempt.outcome = getattr(error, "code", "")
            raise error
        if request.stream:
            source: Any = Stream(self, attempt)
            return Reply(200, id.encode(), source)
        attempt.outcome, attempt.usage = "ok", Usage(input_tokens=9, output_tokens=50)
        return Reply(200, id.encode(), Frame(b"x", lambda data: []))

    def request(self, *, stream: bool = False) -> Request:
        made = Request("openai_chat", "m", stream, {}, Caller(), self.opening.record("chat"))
        made.record.bytes_in = 400
        made.plan = self.plan
        made.deadline = self.loop.time() + 600
        return made

    def check(self) -> None:
        assert self.open == 0
        assert all(one.pace.in_flight == 0 for one in self.plan.candidates)


def told(request: Request) -> list[tuple[str, str]]:
    return [(decision.what, decision.deployment) for decision in request.record.decisions]


def test_one_that_answers_in_time_is_asked_alone() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 0.9, "b": 0.1})
        made = scene.request()
        reply = await scene.call(made)
        assert reply.content_type == b"a"
        assert [one[0] for one in scene.asked] == ["a"]
        assert made.record.decisions == []
        scene.check()

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_the_second_wins_where_the_first_is_silent(stream: bool) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 10.0, "b": 0.3})
        start, made = loop.time(), scene.request(stream=stream)
        reply = await scene.call(made)
        assert loop.time() - start == pytest.approx(1.3)
        assert reply.content_type == b"b"
        assert [(id, kind, at - start) for id, kind, at in scene.asked] == [
            ("a", "first", 0.0), ("b", "hedge", pytest.approx(1.0))
        ]  # fmt: skip
        # Closed in the moment in which the other answered.
        assert scene.cut == [("a", loop.time())]
        assert told(made) == [("hedged", "b")]
        # What the shells read is the winner's.
        assert (made.candidate.id, made.attempt.deployment, made.kind) == ("b", "b", "hedge")
        assert made.target is scene.by_id["b"].deployment
        assert [attempt.outcome for attempt in made.record.attempts] == ["cancelled", "open" if stream else "ok"]
        reply.close()
        assert made.record.deployment == "b"
        # What the loser costs is an estimate, and the winner's length is known by then.
        assert scene.by_id["a"].deployment.closed == [(100, Usage(input_tokens=9, output_tokens=50))]
        assert made.record.attempts[0].usage == Usage(input_tokens=100, estimated=True)
        scene.check()

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_the_first_may_still_win(stream: bool) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 1.5, "b": 5.0})
        made = scene.request(stream=stream)
        reply = await scene.call(made)
        assert reply.content_type == b"a"
        assert scene.cut == [("b", loop.time())]
        assert (made.candidate.id, made.attempt.deployment, made.kind) == ("a", "a", "first")
        reply.close()
        assert len(scene.by_id["b"].deployment.closed) == 1
        scene.check()

    run(main, leak_free=True)


def test_who_loses_by_nothing_is_closed_as_well() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 1.5, "b": 0.5})
        reply = await scene.call(scene.request(stream=True))
        reply.close()
        scene.check()

    for seed in range(8):
        run(main, seed, leak_free=True)


def test_where_the_first_fails_meanwhile_the_second_is_the_answer() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 1.2, "b": 3.0})
        scene.errors["a"] = Unavailable("gone")
        made = scene.request()
        reply = await scene.call(made)
        assert reply.content_type == b"b"
        assert told(made) == [("hedged", "b"), ("failed", "a")]
        assert scene.by_id["a"].deployment.closed == []
        scene.check()

    run(main, leak_free=True)


def test_where_the_second_fails_the_first_is_waited_for() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 3.0, "b": 0.2})
        scene.errors["b"] = Unavailable("gone")
        made = scene.request()
        assert (await scene.call(made)).content_type == b"a"
        assert told(made) == [("hedged", "b"), ("failed", "b")]
        scene.check()

    run(main, leak_free=True)


def test_one_that_fails_before_the_moment_is_not_hedged() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 0.5, "b": 0.2})
        scene.errors["a"] = Unavailable("gone")
        made = scene.request()
        assert (await scene.call(made)).content_type == b"b"
        assert [one[1] for one in scene.asked] == ["first", "fallback"]
        scene.check()

    run(main, leak_free=True)


def test_where_both_fail_the_loop_goes_on_with_those_that_are_left() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 2.0, "b": 0.2, "c": 0.1})
        scene.errors = {"a": Unavailable("gone"), "b": Unavailable("too")}
        made = scene.request()
        assert (await scene.call(made)).content_type == b"c"
        assert [(one[0], one[1]) for one in scene.asked] == [("a", "first"), ("b", "hedge"), ("c", "fallback")]
        scene.check()

    run(main, leak_free=True)


def test_where_all_fail_it_is_said_of_all() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 2.0, "b": 0.2})
        scene.errors = {"a": Unavailable("gone"), "b": UpstreamRefused("no")}
        with pytest.raises(EveryDeploymentFailed, match="a: unavailable; b: upstream_refused"):
            await scene.call(scene.request())
        assert [one[0] for one in scene.asked] == ["a", "b"]
        scene.check()

    run(main, leak_free=True)


def test_hedges_count_among_all_attempts() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 10.0, "b": 0.3}, total=1)
        assert (await scene.call(scene.request())).content_type == b"a"
        scene = Scene(loop, {"a": 2.0, "b": 0.3, "c": 0.1}, total=2)
        scene.errors = {"a": Unavailable("gone"), "b": Unavailable("too")}
        with pytest.raises(EveryDeploymentFailed):
            await scene.call(scene.request())
        assert len(scene.asked) == 2

    run(main, leak_free=True)


def test_no_more_than_its_part_is_sent_twice() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 10.0, "b": 0.3})
        scene.plan.extra.most = 0.02
        for _ in range(200):
            await scene.call(scene.request())
        assert sum(one[1] == "hedge" for one in scene.asked) == 4

    run(main, leak_free=True)


@pytest.mark.parametrize("field", ["store", "previous_response_id", "conversation", "background"])
def test_what_is_kept_at_the_provider_is_asked_once(field: str) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 10.0, "b": 0.3})
        made = scene.request()
        made.fields = {field: msgspec.Raw(b'"x"')}
        assert (await scene.call(made)).content_type == b"a"
        assert len(scene.asked) == 1

    run(main, leak_free=True)


def test_without_a_time_said_it_takes_two_hundred_samples_of_its_size() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 0.5, "b": 0.1}, Hedge())
        scene.plan.extra.most = 0.05
        for _ in range(199):
            await scene.call(scene.request())
        scene.takes["a"] = 10.0
        assert (await scene.call(scene.request())).content_type == b"a"
        # Now there are 200; of a stream or a longer prompt there are none.
        start = loop.time()
        assert (await scene.call(scene.request())).content_type == b"b"
        assert loop.time() - start == pytest.approx(0.6)
        longer = scene.request()
        longer.record.bytes_in = 40_000
        assert (await scene.call(longer)).content_type == b"a"
        reply = await scene.call(scene.request(stream=True))
        assert reply.content_type == b"a"
        reply.close()
        scene.check()

    run(main, leak_free=True)


def test_one_that_was_cut_counts_as_slow() -> None:
    """Else the slow ones would be missing, the p95 would sink, and more and more would be sent twice."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 0.5, "b": 0.1}, Hedge(after=2.0))
        for _ in range(200):
            await scene.call(scene.request())
        scene.takes["a"] = 10.0
        for _ in range(20):
            assert (await scene.call(scene.request())).content_type == b"b"
        pace = scene.by_id["a"].pace
        assert pace.ewma > 1.0
        for _ in range(50):
            pace.first_output(0.5, 100, loop.time(), stream=False)
        assert pace.p95(100, stream=False) == pytest.approx(2.1)

    run(main, leak_free=True)


@pytest.mark.parametrize("takes", [{"a": 5.0, "b": 1.0}, {"a": 2.0, "b": 5.0}, {"a": 1.5, "b": 0.5}])
@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_anywhere_nothing_is_left(takes: dict[str, float], stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        scene = Scene(loop, dict(takes))
        made = scene.request(stream=stream)

        async def ask() -> None:
            reply = await scene.call(made)
            try:
                await loop.clock.sleep(1)
            finally:
                reply.close()

        await cancel(ask())
        # At once, not after a while.
        assert all(attempt.outcome != "open" for attempt in made.record.attempts)
        scene.check()
        assert not loop.pending_tasks()

    assert sweep_scenario(scenario) >= 3


def test_a_plan_without_hedging_goes_straight_through() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, {"a": 0.1})
        made = scene.request()
        made.plan = Plan("m", scene.plan.candidates, scene.plan.ids)
        made.candidate = scene.plan.candidates[0]
        work = Hedging(scene.upstream, loop.clock)(made)
        assert getattr(work, "cr_code", None) is scene.upstream.__code__
        await work

    run(main, leak_free=True)


def test_a_retry_or_a_trial_runs_alone() -> None:
    async def main(loop: SimLoop) -> None:
        for change in ({"kind": "retry"}, {"trial": True}):
            scene = Scene(loop, {"a": 5.0, "b": 0.1})
            made = scene.request()
            made.candidate = scene.plan.candidates[0]
            for name, value in change.items():
                setattr(made, name, value)
            reply = await Hedging(scene.upstream, loop.clock)(made)
            assert reply.content_type == b"a"
            assert len(scene.asked) == 1

    run(main, leak_free=True)
