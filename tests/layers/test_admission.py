"""Who is let in at all: by priority when the process is short, so many at a time, and no loops."""

from __future__ import annotations

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from penstock.call import Call, Frame, Reply
from penstock.clock import Ids
from penstock.errors import Overloaded, RateLimited
from penstock.layers.admission import PROCESS, Admission, Entrance
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.metrics import Metrics
from penstock.reservation import Rule
from penstock.routing.scopes import Rules
from penstock.stores.gate import GateRules
from penstock.stores.repeats import Repeats
from penstock.stores.seats import Seats
from penstock.stores.strain import Strain
from penstock.testing import Cancel, SeededRandom, SimLoop, run, sweep_scenario

TENANT = Rule("t", "tenant", "concurrency", "requests", 2, queue=60.0)
USER = Rule("u", "user", "concurrency", "requests", 1, where="penstock.yaml:3")
OWN = Rule(PROCESS, "global", "concurrency", "requests", 2, queue=5.0)


class Stream:
    """The least that a streamed reply needs."""

    def close(self) -> None:
        pass


class Scene:
    """The layer over a deployment that answers after so many seconds."""

    def __init__(
        self, loop: SimLoop, *rules: Rule, strain: Strain | None = None, repeats: Repeats | None = None
    ) -> None:
        self.loop = loop
        self.takes = 1.0
        self.running = self.most = self.asked = 0
        self.fails = False
        self.metrics = Metrics()
        self.seats = Seats(loop.clock)
        self.seats.own[PROCESS] = GateRules(2, 1)
        of = Rules(rules).of if rules else None
        entrance = Entrance(of, self.seats, self.metrics, lambda tenant: 1.0, strain, repeats)
        self.call: Call = Admission(self.answer, entrance, loop.clock).__call__
        self.opening = Opening(Ids(loop.clock, SeededRandom(1)), loop.clock)

    async def answer(self, request: Request) -> Reply:
        self.asked += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await self.loop.clock.sleep(self.takes)
        finally:
            self.running -= 1
        if self.fails:
            raise ValueError
        if request.stream:
            source: Any = Stream()
            return Reply(200, b"", source)
        return Reply(200, b"", Frame(b"x", lambda data: []))

    def request(self, priority: str = "", prompt: str = "hi", *, stream: bool = False, **more: str) -> Request:
        caller = Caller()
        if priority:
            caller.wishes = SimpleNamespace(priority=priority)
        record = self.opening.record(more.pop("operation", "chat"))
        record.tenant, record.key, record.user = "acme", more.get("key", "k"), more.get("user")
        fields = {"messages": msgspec.Raw(msgspec.json.encode([prompt]))}
        return Request("openai_chat", "m", stream, fields, caller, record)

    async def ask(self, *args: Any, **more: Any) -> Request:
        request = self.request(*args, **more)
        (await self.call(request)).close()
        return request

    def calm(self) -> bool:
        return self.seats.running(TENANT, "acme") == self.seats.running(OWN, "") == self.running == 0


# --- so many at a time


def test_at_most_so_many_at_a_time_and_the_wait_is_told() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT)
        requests = await asyncio.gather(*(scene.ask() for _ in range(6)))
        assert scene.most == 2
        waits = sorted(decision.wait for request in requests for decision in request.record.decisions)
        assert waits == pytest.approx([1, 1, 2, 2])
        assert {decision.what for request in requests for decision in request.record.decisions} == {"waited"}
        assert scene.calm()

    run(main, leak_free=True)


def test_a_stream_has_its_seat_until_it_is_closed() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT)
        replies = [await scene.call(scene.request(stream=True)) for _ in range(2)]
        third = loop.create_task(scene.ask())
        await loop.clock.sleep(10)
        assert not third.done()
        for _ in range(2):
            replies[0].close()
        await third
        assert scene.seats.running(TENANT, "acme") == 1
        replies[1].close()
        assert scene.calm()

    run(main, leak_free=True)


def test_one_that_fails_gives_its_seat_back() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT)
        scene.fails = True
        for _ in range(5):
            with pytest.raises(ValueError):
                await scene.ask()
        assert scene.calm()

    run(main, leak_free=True)


def test_without_a_queue_it_is_a_429_that_says_of_what_there_are_too_many() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, USER)
        first = loop.create_task(scene.ask(user="u"))
        await loop.settle()
        with pytest.raises(RateLimited, match="1 calls at a time for user 'acme/u' are under way") as caught:
            await scene.ask(user="u")
        assert (caught.value.status, caught.value.retry_after) == (429, 1.0)
        assert scene.metrics.limited.series == {("user", "concurrency"): 1}
        await scene.ask(user="v")
        await first
        assert scene.calm()

    run(main, leak_free=True)


def test_beyond_what_the_process_takes_it_is_a_503_the_least_urgent_first() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, OWN)
        running = [loop.create_task(scene.ask()) for _ in range(2)]
        await loop.settle()
        low = loop.create_task(scene.ask("low"))
        await loop.settle()
        high = loop.create_task(scene.ask("high"))
        with pytest.raises(Overloaded, match="answers 2 calls already") as caught:
            await low
        assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
        await asyncio.gather(high, *running)
        assert scene.metrics.shed.series == {("low",): 1}
        assert (scene.most, scene.asked) == (2, 3)
        assert scene.calm()

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_anywhere_no_seat_is_lost(stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        scene = Scene(loop, TENANT, OWN, Rule("u2", "user", "concurrency", "requests", 1, queue=60.0))

        async def asked() -> None:
            reply = await scene.call(scene.request(stream=stream))
            try:
                await loop.clock.sleep(1)
            finally:
                reply.close()

        before = loop.create_task(scene.ask())
        await loop.settle()
        task = loop.create_task(cancel(asked()))
        await loop.settle()
        await asyncio.gather(before, task, loop.create_task(scene.ask()))
        assert scene.calm()
        assert scene.most == 1

    assert sweep_scenario(scenario) >= 3


# --- when the process is short


def test_the_least_urgent_are_refused_while_the_process_is_short() -> None:
    async def main(loop: SimLoop) -> None:
        strain = Strain(loop.clock, 0.1)
        scene = Scene(loop, strain=strain)
        scene.takes = 0.0
        await scene.ask("sheddable")
        strain.level = 2.5
        for priority in ("sheddable", "low"):
            with pytest.raises(Overloaded, match=f"calls of priority {priority} are refused") as caught:
                await scene.ask(priority)
            assert (caught.value.status, caught.value.retryable) == (503, True)
            assert caught.value.retry_after is not None
            assert 1.0 <= caught.value.retry_after <= 3.0
        refused = 0
        for _ in range(10):
            try:
                await scene.ask()
            except Overloaded:
                refused += 1
        assert refused == 5
        for priority in ("high", "critical"):
            await scene.ask(priority)
        assert scene.metrics.shed.series == {("sheddable",): 1, ("low",): 1, ("normal",): 5}

    run(main, leak_free=True)


def test_a_call_that_is_let_in_has_the_process_watched() -> None:
    async def main(loop: SimLoop) -> None:
        strain = Strain(loop.clock, 0.1)
        scene = Scene(loop, strain=strain)
        scene.takes = 0.0
        await scene.ask()
        assert strain._timer is not None
        await loop.clock.sleep(1)
        assert strain._timer is None

    run(main, leak_free=True)


def test_where_nothing_holds_it_costs_a_look() -> None:
    """The call goes straight through: not even a coroutine of the layer's own."""

    async def main(loop: SimLoop) -> None:
        matched = Rule("t", "tenant", "concurrency", "requests", 2, match="other")
        for scene in (Scene(loop, strain=Strain(loop.clock)), Scene(loop, matched)):
            work = scene.call(scene.request())
            assert getattr(work, "cr_code", None) is scene.answer.__func__.__code__  # type: ignore[attr-defined]
            await work

    run(main, leak_free=True)


# --- loops


def test_the_same_prompt_again_and_again_is_slowed_down_and_told(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, repeats=Repeats(20, 60.0))
        scene.takes = 0.0
        caplog.set_level(logging.WARNING, "penstock.admission")
        for _ in range(20):
            await scene.ask(user="u", prompt="secret words")
        for _ in range(5):
            with pytest.raises(RateLimited, match="the same prompt has been asked 20 times and more") as caught:
                await scene.ask(user="u", prompt="secret words")
        assert caught.value.retry_after == pytest.approx(3.0, abs=0.01)
        assert "Look for a loop" in caught.value.do
        assert scene.metrics.repeats.series == {("k",): 5}
        [told] = caplog.records
        assert "key k, user u: the same prompt again and again" in told.getMessage()
        assert "secret" not in caplog.text
        # Others, and other prompts, are not held up; nor is counting tokens.
        await scene.ask(user="v", prompt="secret words")
        await scene.ask(user="u", prompt="secret word")
        await scene.ask(user="u", key="other", prompt="secret words")
        await scene.ask(user="u", prompt="secret words", operation="count_tokens")
        await loop.clock.sleep(caught.value.retry_after or 0.0)
        await scene.ask(user="u", prompt="secret words")

    run(main, leak_free=True)
