"""So many calls at a time at a deployment, under the breaker's layer, which counts them."""

from __future__ import annotations

import asyncio
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from penstock.call import Call, Frame, Reply, stack
from penstock.clock import Ids
from penstock.errors import CircuitOpen, Overloaded, ProviderAnswer, Unavailable, UpstreamRateLimited
from penstock.layers.breaker import Breaker
from penstock.layers.concurrency import Concurrency, Seating
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.records import Attempt
from penstock.reservation import Rule
from penstock.routing.plan import Candidate, Plan
from penstock.routing.timeouts import Timeouts
from penstock.standing import READY, Standing
from penstock.stores.gate import Gate, GateRules
from penstock.stores.pace import Pace
from penstock.stores.seats import Seats
from penstock.testing import Cancel, SeededRandom, SimLoop, run, sweep_scenario


class Steady:
    """A health that takes everything."""

    blocked = False

    def __getattr__(self, name: str) -> Any:
        return lambda *args, **more: None


class Stream:
    """The least that a streamed reply needs."""

    def close(self) -> None:
        pass


def candidate(id: str, rules: GateRules | None) -> Candidate:
    pace = Pace(id)
    if rules is not None:
        pace.gate = Gate(pace)
        pace.gate.set_rules(rules, None)
    return Candidate(id, id, 0, None, Steady(), pace)


class Scene:
    """Deployments that answer after so many seconds, and requests to the first of them."""

    def __init__(self, loop: SimLoop, rules: GateRules | None, *others: GateRules | None) -> None:
        self.loop = loop
        self.takes = 1.0
        self.error: Exception | None = None
        self.most = 0
        self.asked: list[str] = []
        candidates = [candidate(id, each) for id, each in zip("abcd", (rules, *others), strict=False)]
        self.plan = Plan("m", tuple(candidates), tuple(one.id for one in candidates), timeouts=Timeouts())
        self.gate = candidates[0].pace.gate
        self.pace = candidates[0].pace
        self.call: Call = stack(
            [lambda call: Breaker(call, loop.clock), lambda call: Concurrency(call, loop.clock)], self.answer
        )
        self.opening = Opening(Ids(loop.clock, SeededRandom(1)), loop.clock)

    async def answer(self, request: Request) -> Reply:
        now = self.loop.clock.monotonic()
        attempt = request.attempt = Attempt(request.candidate.id, now, now)
        request.record.attempts.append(attempt)
        self.asked.append(request.caller.query.decode())
        self.most = max(self.most, sum(one.pace.in_flight for one in self.plan.candidates[:1]) - self.waiting)
        await self.loop.clock.sleep(self.takes)
        attempt.answered = self.loop.clock.monotonic()
        if self.error is not None:
            raise self.error
        if request.stream:
            source: Any = Stream()
            return Reply(200, b"", source)
        return Reply(200, b"", Frame(b"x", lambda data: []))

    @property
    def waiting(self) -> int:
        return len(self.gate._queue) if self.gate is not None else 0

    def request(self, name: str = "", priority: str | None = None, *, stream: bool = False, **more: Any) -> Request:
        caller = Caller(query=name.encode())
        if priority is not None or more:
            caller.wishes = SimpleNamespace(priority=priority, timeout=more.pop("timeout", None))
        made = Request("openai_chat", "m", stream, {}, caller, self.opening.record("chat"))
        made.plan, made.candidate = self.plan, self.plan.candidates[0]
        made.deadline = self.loop.clock.monotonic() + 600
        return made

    def start(self, request: Request) -> asyncio.Task[Reply]:
        async def ask() -> Reply:
            return await self.call(request)

        return self.loop.create_task(ask())


def test_at_most_so_many_at_a_time_and_all_in_the_end() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(3))
        start = loop.time()
        await asyncio.gather(*(scene.start(scene.request()) for _ in range(10)))
        assert scene.most == 3
        assert loop.time() - start == pytest.approx(4.0)
        assert (scene.pace.in_flight, scene.waiting) == (0, 0)

    run(main, leak_free=True)


def test_a_stream_holds_its_place_until_it_is_closed() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        reply = await scene.call(scene.request(stream=True))
        other = scene.start(scene.request(stream=True))
        await loop.clock.sleep(5)
        assert not other.done()
        reply.close()
        (await other).close()
        assert scene.pace.in_flight == 0

    run(main, leak_free=True)


def test_what_waits_is_told_of() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        first, second = scene.request(), scene.request()
        tasks = [scene.start(first), scene.start(second)]
        await asyncio.gather(*tasks)
        assert first.record.decisions == []
        [decision] = second.record.decisions
        assert (decision.what, decision.deployment, decision.why) == ("queued", "a", "go")
        assert decision.wait == pytest.approx(1.0)

    run(main, leak_free=True)


def test_the_urgent_go_first() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        named = ["normal", "sheddable", "critical", "low", "high", None, "made-up"]
        tasks = [scene.start(scene.request("first"))]
        await loop.clock.sleep(0.1)
        for priority in named:
            tasks.append(scene.start(scene.request(str(priority), priority)))
            await loop.clock.sleep(0.01)
        await asyncio.gather(*tasks)
        assert scene.asked == ["first", "critical", "high", "normal", "None", "made-up", "low", "sheddable"]

    run(main, leak_free=True)


def test_who_has_less_time_goes_first() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        tasks = [scene.start(scene.request("first"))]
        for name, seconds in (("long", 60.0), ("short", 10.0)):
            made = scene.request(name)
            made.deadline = loop.time() + seconds
            tasks.append(scene.start(made))
            await loop.clock.sleep(0.01)
        await asyncio.gather(*tasks)
        assert scene.asked == ["first", "short", "long"]

    run(main, leak_free=True)


@pytest.mark.parametrize(
    ("stream", "more", "seconds"),
    [(False, {}, 30.0), (True, {}, 10.0), (False, {"timeout": 2.5}, 2.5), (True, {"timeout": 2.5}, 2.5)],
)
def test_it_waits_as_long_as_for_an_answer_and_no_longer(stream: bool, more: Any, seconds: float) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        scene.takes = 100.0
        running = scene.start(scene.request())
        await loop.settle()
        late = scene.request(stream=stream, **more)
        late.deadline = loop.time() + 30
        start = loop.time()
        with pytest.raises(Overloaded, match="did not come within") as caught:
            await scene.start(late)
        assert loop.time() - start == pytest.approx(seconds)
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        assert [decision.why for decision in late.record.decisions] == ["late"]
        assert (scene.pace.in_flight, scene.waiting) == (1, 0)
        running.cancel()

    run(main, leak_free=True)


def test_nobody_waits_for_longer_than_three_seconds_because_of_what_was_learnt() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules())
        scene.takes = 100.0
        running = [scene.start(scene.request()) for _ in range(2)]
        await loop.settle()
        scene.pace.gate.throttled(loop.time(), loop.time())
        assert scene.pace.gate.limit == 1
        patient, start = scene.request(), loop.time()
        patient.deadline = start + 600
        scene.takes = 0.5
        await scene.start(patient)
        assert loop.time() - start == pytest.approx(3.5)
        assert [decision.why for decision in patient.record.decisions] == ["it waited for long enough"]
        assert scene.pace.gate.limit == 3, "three ran and it was answered: there is room for them"
        for call in running:
            call.cancel()

    run(main, leak_free=True)


def test_what_the_configuration_says_is_waited_for() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(2))
        scene.takes = 100.0
        running = [scene.start(scene.request()) for _ in range(2)]
        await loop.settle()
        scene.pace.gate.throttled(loop.time(), loop.time())
        patient, start = scene.request(timeout=9.0), loop.time()
        patient.deadline = start + 600
        with pytest.raises(Overloaded, match="did not come"):
            await scene.start(patient)
        assert scene.pace.gate.running == 2
        for call in running:
            call.cancel()

    run(main, leak_free=True)


def test_a_full_queue_refuses_and_makes_place_for_the_urgent() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1, 1))
        running, low = scene.start(scene.request("a")), scene.start(scene.request("b", "low"))
        await loop.settle()
        with pytest.raises(Overloaded, match="busy, and so is its queue"):
            await scene.start(scene.request("c", "low"))
        high = scene.start(scene.request("d", "high"))
        with pytest.raises(Overloaded, match="calls that go before this one"):
            await low
        await asyncio.gather(running, high)
        assert scene.asked == ["a", "d"]
        assert scene.pace.in_flight == 0

    run(main, leak_free=True)


def test_tenants_take_turns() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        scene.call = stack(
            [
                lambda call: Breaker(call, loop.clock),
                lambda call: Concurrency(call, loop.clock, {"big": 2.0, "small": 1.0}.__getitem__),
            ],
            scene.answer,
        )
        tasks = [scene.start(scene.request("first"))]
        await loop.settle()
        for tenant in ("small", "big"):
            for _ in range(6):
                made = scene.request(tenant)
                made.record.tenant = tenant
                tasks.append(scene.start(made))
        await asyncio.gather(*tasks)
        assert Counter(scene.asked[1:10]) == {"big": 6, "small": 3}
        assert scene.pace.in_flight == 0

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_in_deep_overload_nobody_has_its_turn_too_late(stream: bool) -> None:
    """Ten times as many as there is room for, each with 10 s: whoever is let in still has the time to be answered."""

    async def main(loop: SimLoop) -> None:
        scene, late = Scene(loop, GateRules(4)), []

        async def ask() -> None:
            made = scene.request(stream=stream)
            made.deadline = loop.time() + 10
            try:
                (await scene.call(made)).close()
            except Overloaded:
                return
            if loop.time() > made.deadline:
                late.append(loop.time() - made.deadline)

        scene.takes = 2.0
        await ask()  # so that it is known how long an answer takes
        tasks = []
        for _ in range(600):
            tasks.append(loop.create_task(ask()))
            await loop.clock.sleep(0.05)
        await asyncio.gather(*tasks)
        answered = len(scene.asked)
        assert 60 <= answered <= 84, "four at a time, two seconds each, for 30 to 40 seconds"
        assert late == []

    run(main, leak_free=True)


def test_another_deployment_that_has_room_goes_before_a_wait() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1), GateRules(1))
        scene.start(scene.request())
        await loop.settle()
        with pytest.raises(Overloaded, match="another deployment is not"):
            await scene.start(scene.request())
        # But not one that has failed this request, is blocked or is busy too.
        other = scene.plan.candidates[1]
        tried = scene.request()
        tried.tried = {"b": None}
        assert (await scene.start(tried)).status == 200
        scene.start(scene.request())
        await loop.settle()
        other.pace.in_flight = 1
        assert (await scene.start(scene.request())).status == 200
        other.pace.in_flight = 0
        other.health.blocked = True
        scene.start(scene.request())
        await loop.settle()
        assert (await scene.start(scene.request())).status == 200

    run(main, leak_free=True)


def test_refusals_for_too_many_make_it_fewer() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules())
        scene.error = UpstreamRateLimited("slow down")
        failed = await asyncio.gather(*(scene.start(scene.request()) for _ in range(20)), return_exceptions=True)
        assert {type(error) for error in failed} == {UpstreamRateLimited}
        assert scene.gate.limit == 18
        scene.error = None
        scene.most = 0
        await asyncio.gather(*(scene.start(scene.request()) for _ in range(60)))
        # 18 successes make it 19, and 19 more 20.
        assert scene.most == 20
        assert scene.gate.limit == 21
        assert scene.pace.in_flight == 0

    run(main, leak_free=True)


@pytest.mark.parametrize(("status", "limit"), [(529, 9), (503, None), (500, None)])
def test_an_overload_makes_it_fewer_and_other_failures_do_not(status: int, limit: int | None) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules())
        scene.error = Unavailable("no")
        scene.error.answer = ProviderAnswer(status, {}, b"")
        await asyncio.gather(*(scene.start(scene.request()) for _ in range(10)), return_exceptions=True)
        assert scene.gate.limit == limit

    run(main, leak_free=True)


def test_where_it_is_off_nothing_is_learnt() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, None)
        scene.error = UpstreamRateLimited("slow down")
        await asyncio.gather(*(scene.start(scene.request()) for _ in range(10)), return_exceptions=True)
        assert scene.pace.gate is None
        assert scene.pace.in_flight == 0

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_anywhere_no_place_is_lost(stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        scene = Scene(loop, GateRules(1))
        before, after = scene.start(scene.request()), None

        async def asked() -> None:
            reply = await scene.call(scene.request(stream=stream))
            try:
                await loop.clock.sleep(1)
            finally:
                reply.close()

        await loop.settle()
        task = loop.create_task(cancel(asked()))
        await loop.settle()
        after = scene.start(scene.request())
        await asyncio.gather(before, task, after)
        assert (scene.pace.in_flight, scene.waiting) == (0, 0)

    assert sweep_scenario(scenario) == 3


def test_who_leaves_the_queue_is_out_of_it_at_once() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        running, leaving, waiting = (scene.start(scene.request()) for _ in range(3))
        await loop.settle()
        leaving.cancel()
        await loop.settle()
        assert (scene.waiting, scene.gate.running) == (1, 1)
        await asyncio.gather(running, waiting)
        assert scene.most == 1

    run(main, leak_free=True)


def test_no_gate_of_limits_costs_a_wait() -> None:
    """The call goes straight through: not even a coroutine of the layer's own."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules())
        inner = scene.answer
        made = scene.request()
        work = Concurrency(inner, loop.clock)(made)
        assert getattr(work, "cr_code", None) is inner.__code__
        await work

    run(main, leak_free=True)


@pytest.mark.parametrize(("state", "raised"), [("paused", UpstreamRateLimited), ("open", CircuitOpen)])
def test_a_call_whose_turn_comes_when_its_deployment_is_to_be_left_alone(state: Any, raised: type[Exception]) -> None:
    """Found by simulation: calls that had waited came 26 ms after a refusal that asked for two seconds."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, GateRules(1))
        health = scene.plan.candidates[0].health
        first, late, trial = scene.start(scene.request("a")), scene.start(scene.request("b")), scene.request("c")
        trial.trial = True
        tried = scene.start(trial)
        await loop.clock.sleep(0.5)
        health.blocked = True
        health.standing = lambda now: Standing(state, loop.time() + 1.5, "429")
        health.paused = lambda now: health.standing(now) if state == "paused" else None
        await first
        with pytest.raises(raised) as told:
            await late
        assert getattr(told.value, "retry_after", None) == pytest.approx(1.5)
        if state == "paused":  # who tries whether it is well again is not to come either (seed 310870)
            with pytest.raises(raised):
                await tried
        else:
            await tried
        health.standing = lambda now: READY  # what is over by itself is looked at, whatever `blocked` says
        await scene.start(scene.request("d"))
        assert scene.asked == (["a", "d"] if state == "paused" else ["a", "c", "d"])
        assert (scene.pace.in_flight, scene.waiting) == (0, 0)

    run(main, leak_free=True)


# --- seats of where it goes

PROVIDER = Rule("p", "provider", "concurrency", "requests", 2, queue=30.0)
ABRUPT = Rule("d", "deployment", "concurrency", "requests", 1)


class Seated(Scene):
    """A scene whose deployments are those of one provider, which takes so many calls in all."""

    def __init__(self, loop: SimLoop, rule: Rule, *rules: GateRules | None) -> None:
        super().__init__(loop, *rules)
        self.seats = Seats(loop.clock)
        value = "up" if rule.scope == "provider" else "a"
        seating = Seating(lambda name: [(rule, value)] if rule.scope == "provider" or name == "a" else [], self.seats)
        self.call = stack(
            [
                lambda call: Breaker(call, loop.clock),
                lambda call: Concurrency(call, loop.clock, seating=seating),
            ],
            self.answer,
        )

    def to(self, number: int, **more: Any) -> Request:
        made = self.request(**more)
        made.candidate = self.plan.candidates[number]
        # Each is asked as the last choice, so that it waits.
        made.tried = {one.id: None for one in self.plan.candidates}
        return made


def test_a_provider_has_so_many_calls_at_a_time_whatever_the_deployment() -> None:
    """Hedges are attempts like any other: each has a seat of its own."""

    async def main(loop: SimLoop) -> None:
        scene = Seated(loop, PROVIDER, None, None)
        most = 0

        async def watch() -> None:
            nonlocal most
            for _ in range(200):
                most = max(most, scene.seats.running(PROVIDER, "up"))
                await loop.clock.sleep(0.05)

        tasks = [scene.start(scene.to(number % 2)) for number in range(10)]
        await asyncio.gather(watch(), *tasks)
        assert most == 2
        assert len(scene.asked) == 10
        assert scene.seats.running(PROVIDER, "up") == 0

    run(main, leak_free=True)


def test_gate_and_seats_together_hold_nobody_for_ever() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Seated(loop, PROVIDER, GateRules(3), GateRules(1))
        await asyncio.gather(*(scene.start(scene.to(number % 2)) for number in range(12)))
        assert len(scene.asked) == 12
        assert loop.time() < 1e9
        assert [one.pace.in_flight for one in scene.plan.candidates] == [0, 0]

    run(main, leak_free=True)


def test_a_deployment_without_a_queue_is_left_for_another_or_refused() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Seated(loop, ABRUPT, None, None)
        running = scene.start(scene.request())
        await loop.settle()
        with pytest.raises(Overloaded, match="another deployment is not") as told:
            await scene.start(scene.request())
        assert told.value.elsewhere
        with pytest.raises(Overloaded, match="1 calls at a time for deployment 'a' are under way"):
            await scene.start(scene.to(0))
        await running
        reply = await scene.call(scene.request(stream=True))
        assert scene.seats.running(ABRUPT, "a") == 1
        reply.close()
        assert scene.seats.running(ABRUPT, "a") == 0

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_anywhere_neither_place_nor_seat_is_lost(stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        scene = Seated(loop, Rule("p", "provider", "concurrency", "requests", 1, queue=30.0), GateRules(2))
        before = scene.start(scene.to(0))

        async def asked() -> None:
            reply = await scene.call(scene.to(0, stream=stream))
            try:
                await loop.clock.sleep(1)
            finally:
                reply.close()

        await loop.settle()
        task = loop.create_task(cancel(asked()))
        await loop.settle()
        await asyncio.gather(before, task, scene.start(scene.to(0)))
        assert (scene.pace.in_flight, scene.waiting, scene.seats.running(PROVIDER, "up")) == (0, 0, 0)

    assert sweep_scenario(scenario) >= 3
