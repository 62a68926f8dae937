"""Requests and tokens of every rate that holds, admitted in one step: refused with the exact wait, or waited for."""

from __future__ import annotations

import asyncio
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from penstock.call import Call, Frame, Reply
from penstock.clock import Ids
from penstock.errors import Forbidden, LargerThanLimit, RateLimited, UnknownModel
from penstock.gateway.limiting import size_of
from penstock.layers.rate_limit import RateLimit, Rates, Size
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.metrics import Metrics
from penstock.records import Attempt
from penstock.reservation import Rule
from penstock.routing.scopes import Rules
from penstock.stores.line import Lines
from penstock.stores.pacer import Pacer
from penstock.stores.purse import open_purse
from penstock.stores.treasury import Treasury
from penstock.testing import Cancel, SeededRandom, SimLoop, run, sweep_scenario
from penstock.usage import Usage

TENANT = Rule("tr", "tenant", "burst", "requests", 60, seconds=60, burst=5)
TOKENS = Rule("tt", "tenant", "burst", "tokens", 60_000, seconds=60, burst=10_000)
USER = Rule("ur", "user", "burst", "requests", 6, seconds=60, burst=2)
STRICT = Rule("st", "tenant", "strict", "tokens", 10_000, seconds=60)
QUEUED = Rule("qr", "tenant", "burst", "requests", 60, seconds=60, burst=1, queue=10.0)


class Stream:
    """The least that a streamed reply needs."""

    def __init__(self, end: Any) -> None:
        self._end = end

    def close(self) -> None:
        self._end()


class Scene:
    """The layer over a deployment that answers after so many seconds, with a purse of its own.

    Args:
        treasury: of a worker beside it.
    """

    def __init__(self, loop: SimLoop, *rules: Rule, treasury: Treasury | None = None) -> None:
        self.loop = loop
        self.takes = 0.0
        self.used: Usage | None = Usage(input_tokens=10, output_tokens=20)
        self.error: Exception | None = None
        self.asked = 0
        self.treasury = treasury if treasury is not None else Treasury(loop.clock)
        self.treasury.adopt(rules)
        self.purse = open_purse(self.treasury, loop.clock)
        self.purse.adopt(rules)
        self.lines = Lines(self.purse, loop.clock)
        self.rules = rules
        self.metrics = Metrics()
        self.pressure: dict[str, float] = {}
        rates = Rates(
            *(Rules(rules).of, self.purse, self.lines, Pacer(), self.metrics, lambda tenant: 1.0, size_of),
            pressure=lambda account: self.pressure.get(account, 0.0),
        )
        self.layer = RateLimit(self.answer, rates, loop.clock)
        self.call: Call = self.layer.__call__
        self.opening = Opening(Ids(loop.clock, SeededRandom(1)), loop.clock)

    async def answer(self, request: Request) -> Reply:
        now = self.loop.clock.monotonic()
        self.asked += 1
        attempt = request.attempt = Attempt("a/b", now, now)
        request.record.attempts.append(attempt)
        try:
            if self.takes:
                await self.loop.clock.sleep(self.takes)
        except asyncio.CancelledError:
            attempt.outcome = "cancelled"
            raise
        if self.error is not None:
            attempt.outcome = "unavailable"
            raise self.error
        if request.stream:

            def end() -> None:
                attempt.usage, attempt.outcome = self.used, "ok"

            source: Any = Stream(end)
            return Reply(200, b"", source)
        attempt.usage, attempt.outcome = self.used, "ok"
        return Reply(200, b"", Frame(b"x", lambda data: []))

    def request(
        self, tenant: str = "acme", user: str | None = None, *, bytes_in: int = 40, priority: str = "", **more: Any
    ) -> Request:
        caller = Caller()
        if priority:
            caller.wishes = SimpleNamespace(priority=priority)
        record = self.opening.record("chat")
        record.tenant, record.user, record.model, record.bytes_in = tenant, user, "m", bytes_in
        stream = more.pop("stream", False)
        fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in more.items()}
        fields["messages"] = msgspec.Raw(b" " * bytes_in)
        return Request("openai_chat", "m", stream, fields, caller, record)

    async def ask(self, *args: Any, **more: Any) -> Request:
        request = self.request(*args, **more)
        (await self.call(request)).close()
        return request

    def left(self, rule: Rule, value: str = "acme") -> int:
        """What is left of an account, everywhere."""
        stand = self.treasury.stand(rule.id, value)
        lease = self.purse._leases.get((rule.id, value))
        in_hand = lease.idle if lease is not None and lease.until > self.loop.time() else 0
        return (stand.left if stand is not None else 0) + in_hand


# --- refusals


def test_more_than_the_rate_is_refused_with_the_exact_wait() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT)
        for _ in range(5):
            await scene.ask()
        with pytest.raises(RateLimited, match="limit of 60 requests a minute for tenant 'acme' is reached") as caught:
            await scene.ask()
        assert (caught.value.status, caught.value.unit, caught.value.retryable) == (429, "requests", True)
        assert caught.value.retry_after == pytest.approx(1.0, abs=1e-5)
        assert "Wait as long as retry-after says" in caught.value.do
        assert scene.asked == 5
        await loop.clock.sleep(caught.value.retry_after or 0.0)
        await scene.ask()
        await scene.ask("other")  # each tenant has the whole of it
        assert scene.metrics.limited.series == {("tenant", "requests"): 1}

    run(main, leak_free=True)


def test_who_waits_as_long_as_it_is_told_alone_is_admitted() -> None:
    """semantics.md: Rate limits. 2,000 refusals of all three kinds, amounts and moments by chance."""

    async def main(loop: SimLoop) -> None:
        chance, told = Random(3), 0
        kinds = [
            Rule(f"{kind}{unit}", "tenant", kind, unit, limit, seconds=60, burst=burst)  # type: ignore[arg-type]
            for kind, burst in (("burst", 7), ("strict", 0), ("leaky", 0))
            for unit, limit, burst in (("requests", 30, burst), ("tokens", 7000, burst * 500))
        ]
        for rule in kinds:
            scene = Scene(loop, rule)
            while told < 2000 * (kinds.index(rule) + 1) / len(kinds):
                more: dict[str, Any] = {"bytes_in": chance.randrange(400), "max_tokens": chance.randrange(1500)}
                scene.used = Usage(input_tokens=chance.randrange(100), output_tokens=chance.randrange(1500))
                try:
                    await scene.ask(**more)
                except RateLimited as error:
                    await loop.clock.sleep(error.retry_after or 0.0)
                    await scene.ask(**more)
                    told += 1
                await loop.clock.sleep(chance.random() ** 4)
        assert told >= 2000

    run(main, leak_free=True)


def test_of_tokens_it_is_said_what_else_may_be_done() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TOKENS)
        scene.used = Usage(input_tokens=1000, output_tokens=5000)
        await scene.ask(bytes_in=4000, max_tokens=5000)
        with pytest.raises(RateLimited, match="60,000 tokens a minute") as caught:
            await scene.ask(bytes_in=4000, max_tokens=5000)
        assert caught.value.unit == "tokens"
        assert "or ask for at most 2,999 tokens of output" in caught.value.do
        await scene.ask(bytes_in=4000, max_tokens=2999)
        with pytest.raises(RateLimited, match="tokens") as caught:
            await scene.ask(bytes_in=36000, max_tokens=10)
        assert "send a shorter prompt" in caught.value.do

    run(main, leak_free=True)


def test_where_a_model_is_limited_another_is_named_as_a_way() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, Rule("m", "model", "burst", "requests", 1, seconds=60, burst=1))
        await scene.ask()
        with pytest.raises(RateLimited, match="1 requests a minute for model 'm'") as caught:
            await scene.ask()
        assert "ask for another model" in caught.value.do

    run(main, leak_free=True)


@pytest.mark.parametrize(("rule", "prompt"), [(TOKENS, 12), (STRICT, 44)])
def test_a_request_that_is_larger_than_the_limit_alone_is_a_400(rule: Rule, prompt: int) -> None:
    """Of a strict limit it is what the request can be at most: no text has more tokens than bytes."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, rule)
        with pytest.raises(LargerThanLimit, match=f"may come to {10_000 + prompt:,} tokens") as caught:
            await scene.ask(bytes_in=44, max_tokens=10_000)
        assert (caught.value.status, caught.value.code, caught.value.param) == (400, "larger_than_limit", "max_tokens")
        assert caught.value.retry_after is None
        await scene.ask(bytes_in=44, max_tokens=10_000 - prompt)

    run(main, leak_free=True)


def test_without_a_bound_of_its_own_a_request_takes_no_more_than_there_ever_is() -> None:
    async def main(loop: SimLoop) -> None:
        small = Rule("s", "tenant", "strict", "tokens", 500, seconds=60)
        scene = Scene(loop, small)
        request = await scene.ask(bytes_in=400)
        assert request.money.tokens == 500, "and it is made to use no more"
        assert (await scene.ask("other", bytes_in=40, max_tokens=20)).money is None
        with pytest.raises(LargerThanLimit):
            await scene.ask(bytes_in=4000)

    run(main, leak_free=True)


def test_all_or_nothing() -> None:
    """What one rule refuses costs nothing of the others."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS, USER)
        await scene.ask(user="u")
        await scene.ask(user="u")
        before = scene.left(TENANT), scene.left(TOKENS)
        with pytest.raises(RateLimited, match="6 requests a minute for user 'acme/u'"):
            await scene.ask(user="u")
        assert (scene.left(TENANT), scene.left(TOKENS)) == before
        await scene.ask(user="v")

    run(main, leak_free=True)


def test_caps_of_calls_by_task_and_tag_are_rates_too() -> None:
    async def main(loop: SimLoop) -> None:
        rules = [
            Rule("task", "task", "burst", "requests", 2, seconds=3600, burst=2),
            Rule("tag", "tag", "burst", "requests", 3, match="feature=search", seconds=3600, burst=3),
        ]
        scene = Scene(loop, *rules)

        async def ask(task: str, **tags: str) -> None:
            request = scene.request()
            request.record.task, request.record.tags = task, tuple(tags.items())
            (await scene.call(request)).close()

        await ask("a", feature="search")
        await ask("a", feature="search")
        with pytest.raises(RateLimited, match="2 requests an hour for task 'acme/a'"):
            await ask("a")
        await ask("b", feature="search")
        with pytest.raises(RateLimited, match="for tag 'acme/feature=search'"):
            await ask("b", feature="search")
        await ask("b", feature="other")

    run(main, leak_free=True)


# --- settling


@pytest.mark.parametrize("stream", [False, True])
def test_tokens_are_settled_to_what_was_used(stream: bool) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TOKENS)
        reply = await scene.call(scene.request(bytes_in=4000, max_tokens=5000, stream=stream))
        if stream:
            assert scene.left(TOKENS) == 10_000 - 6001
        reply.close()
        assert scene.left(TOKENS) == 10_000 - 30

    run(main, leak_free=True)


def test_all_attempts_count_and_more_than_was_reserved_too() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS)
        request = scene.request(bytes_in=40, max_tokens=100)
        request.record.attempts = [Attempt("x/y", 0.0, 0.0, usage=Usage(input_tokens=400, output_tokens=300))]
        (await scene.call(request)).close()
        assert scene.left(TOKENS) == 10_000 - 730
        assert scene.left(TENANT) == 4

    run(main, leak_free=True)


def test_what_was_asked_of_nobody_costs_nothing() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS)

        async def refuse(request: Request) -> Reply:
            raise ValueError

        scene.layer._call = refuse
        for _ in range(100):
            with pytest.raises(ValueError):
                await scene.ask()
        assert (scene.left(TENANT), scene.left(TOKENS)) == (5, 10_000)

    run(main, leak_free=True)


def test_a_request_that_was_wrong_was_one_all_the_same() -> None:
    """Else somebody who guesses at models' names would never be slowed down."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS)

        async def refuse(request: Request) -> Reply:
            raise UnknownModel("no")

        scene.layer._call = refuse
        for _ in range(5):
            with pytest.raises(UnknownModel):
                await scene.ask()
        with pytest.raises(RateLimited):
            await scene.ask()
        assert (scene.left(TENANT), scene.left(TOKENS)) == (0, 10_000)

    run(main, leak_free=True)


def test_one_that_its_key_may_not_make_is_none() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS)

        async def refuse(request: Request) -> Reply:
            raise Forbidden("this API key may not ask for that model")

        scene.layer._call = refuse
        for _ in range(100):
            with pytest.raises(Forbidden):
                await scene.ask()
        assert (scene.left(TENANT), scene.left(TOKENS)) == (5, 10_000)

    run(main, leak_free=True)


def test_an_attempt_that_failed_was_a_request() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS)
        scene.error = ValueError()
        with pytest.raises(ValueError):
            await scene.ask()
        assert (scene.left(TENANT), scene.left(TOKENS)) == (4, 10_000)

    run(main, leak_free=True)


def test_of_one_whose_caller_left_the_prompt_counts() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TOKENS)
        scene.takes = 10
        task = loop.create_task(scene.ask(bytes_in=4000, max_tokens=50))
        await loop.clock.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert scene.left(TOKENS) == 10_000  # a thousand, and a second gives as many back

    run(main, leak_free=True)


# --- waiting


def test_where_there_is_a_queue_it_is_waited_for() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, QUEUED)
        start = loop.time()
        requests = await asyncio.gather(*(scene.ask() for _ in range(4)))
        assert loop.time() - start == pytest.approx(3.0, abs=0.01)
        waits = sorted(sum(each.wait for each in request.record.decisions) for request in requests)
        assert waits == pytest.approx([0, 1, 2, 3], abs=0.01)
        [decision] = max(requests, key=lambda request: len(request.record.decisions)).record.decisions
        assert (decision.what, decision.why) == ("waited", "60 requests a minute for tenant 'acme': go")
        assert all(request.place is None for request in requests)
        assert not scene.lines

    run(main, leak_free=True)


def test_beyond_the_queue_and_the_deadline_it_is_refused_with_what_it_would_take() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, QUEUED)
        await scene.ask()
        hurried = scene.request()
        hurried.deadline = loop.time() + 0.5
        with pytest.raises(RateLimited) as caught:
            await scene.call(hurried)
        assert caught.value.retry_after == pytest.approx(1.0, abs=0.01)
        tasks = [loop.create_task(scene.ask()) for _ in range(20)]
        await asyncio.wait(tasks)
        errors = [task.exception() for task in tasks if task.exception()]
        assert len(errors) == 11, "the tenth turn would come in the moment in which the queue's time is over"
        assert all(isinstance(error, RateLimited) and error.retry_after for error in errors)
        assert not scene.lines

    run(main, leak_free=True)


def test_the_urgent_go_first() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, QUEUED)
        went: list[str] = []

        async def ask(priority: str) -> None:
            await scene.ask(priority=priority)
            went.append(priority)

        await scene.ask()
        tasks = []
        for priority in ("low", "normal", "critical", "high"):
            tasks.append(loop.create_task(ask(priority)))
            await loop.clock.sleep(0.01)
        await asyncio.gather(*tasks)
        assert went == ["critical", "high", "normal", "low"]

    run(main, leak_free=True)


@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_anywhere_nothing_stays_reserved_and_nobody_is_forgotten(stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        rules = (QUEUED, Rule("q2", "user", "burst", "tokens", 6000, seconds=60, burst=1100, queue=30.0))
        scene = Scene(loop, *rules)
        scene.takes = 0.3
        scene.used = Usage(input_tokens=0, output_tokens=0)

        async def asked() -> None:
            reply = await scene.call(scene.request(stream=stream))
            try:
                await loop.clock.sleep(1)
            finally:
                reply.close()

        await scene.ask()
        other = loop.create_task(scene.ask())
        await loop.clock.sleep(0.01)
        await asyncio.gather(loop.create_task(cancel(asked())), other, loop.create_task(scene.ask()))
        assert not scene.lines
        await loop.clock.sleep(120)
        assert scene.left(QUEUED) == 1
        assert scene.left(rules[1], "acme/-") == 1100

    assert sweep_scenario(scenario) >= 4


# --- budgets that run short


SHORT = Rule("b", "tenant", "budget", "usd", 10**9, period="day", hard=False, throttle=True)


def test_as_a_budget_runs_short_calls_are_slowed_down_by_that_part() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, SHORT)
        gone: list[float] = []

        async def flow(seconds: float) -> float:
            """Ten a second; how many of them went in a second."""
            gone.clear()
            until, tasks = loop.time() + seconds, []

            async def ask() -> None:
                await scene.ask()
                gone.append(loop.time())

            while loop.time() < until:
                tasks.append(loop.create_task(ask()))
                await loop.clock.sleep(0.1)
            rate = len([at for at in gone if at > until - seconds / 2]) / (seconds / 2)
            await asyncio.wait(tasks)
            refused = [task.exception() for task in tasks if task.exception()]
            assert all(isinstance(error, RateLimited) and error.retry_after for error in refused)
            return rate

        assert await flow(100) == pytest.approx(10, rel=0.05)
        scene.pressure["b|acme"] = 0.5
        assert await flow(100) == pytest.approx(5, rel=0.1)
        scene.pressure["b|acme"] = 0.9
        assert await flow(200) == pytest.approx(1, rel=0.15)
        scene.pressure["b|acme"] = 1.0
        assert 0 < await flow(300) < 0.05, "a soft budget stops nobody altogether"
        await scene.ask("other")
        scene.pressure.clear()
        assert await flow(100) == pytest.approx(10, rel=0.05)

    run(main, leak_free=True)


def test_who_is_refused_since_a_budget_runs_short_is_admitted_after_the_wait() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, SHORT)
        scene.pressure["b|acme"] = 1.0
        await scene.ask()
        with pytest.raises(RateLimited, match="the budget for tenant 'acme' runs short") as caught:
            await scene.ask()
        assert "ask for a cheaper model or for less output" in caught.value.do
        await loop.clock.sleep(caught.value.retry_after or 0.0)
        before = loop.time()
        await scene.ask()
        assert loop.time() - before < 0.01

    run(main, leak_free=True)


# --- what is told


def test_the_caller_is_told_how_what_is_nearest_to_its_end_stands() -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, TENANT, TOKENS, USER)
        request = await scene.ask(user="u", bytes_in=4000, max_tokens=1999)
        told = {rule.unit: (rule, left, resets) for rule, left, resets in request.record.limits}
        assert told["requests"][:2] == (USER, 1)
        assert told["tokens"][:2] == (TOKENS, 7000)
        assert told["requests"][2] == pytest.approx(10.0, abs=0.1)
        await scene.ask(user="u")
        refused = scene.request(user="u")
        with pytest.raises(RateLimited):
            await scene.call(refused)
        assert {rule.unit: left for rule, left, _ in refused.record.limits}["requests"] == 0

    run(main, leak_free=True)


@pytest.mark.parametrize(
    ("rule", "whole"),
    [
        (Rule("b", "tenant", "burst", "requests", 6, seconds=60, burst=2), 20.0),
        (Rule("l", "tenant", "leaky", "requests", 6, seconds=60, burst=1), 10.0),
        (Rule("s", "tenant", "strict", "requests", 2, seconds=60), 61.0),
    ],
)
def test_one_that_a_worker_refuses_of_what_others_have_taken_is_told_how_it_stands(rule: Rule, whole: float) -> None:
    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, rule)
        for _ in range(2 if rule.kind != "leaky" else 1):
            await scene.ask()
        beside = Scene(loop, rule, treasury=scene.treasury)
        refused = beside.request()
        with pytest.raises(RateLimited):
            await beside.call(refused)
        ((told, left, resets),) = refused.record.limits
        assert (told, left) == (rule, 0)
        assert resets == pytest.approx(whole, abs=1.0)

    run(main, leak_free=True)


def test_where_nothing_holds_it_costs_a_look() -> None:
    """The call goes straight through: not even a coroutine of the layer's own."""

    async def main(loop: SimLoop) -> None:
        scene = Scene(loop, Rule("t", "tenant", "burst", "requests", 60, match="other", seconds=60, burst=5))
        work = scene.call(scene.request())
        assert getattr(work, "cr_code", None) is scene.answer.__func__.__code__  # type: ignore[attr-defined]
        await work

    run(main, leak_free=True)


@pytest.mark.parametrize(
    ("operation", "fields", "size"),
    [
        ("chat", {"max_tokens": 7}, (11, 7, 40)),
        ("chat", {"max_completion_tokens": 9, "n": 3}, (11, 27, 40)),
        ("chat", {"max_tokens": "seven"}, (11, None, 40)),
        ("chat", {}, (11, None, 40)),
        ("count_tokens", {"max_tokens": 7}, (0, 0, 0)),
    ],
)
def test_how_large_a_call_may_be(operation: str, fields: dict[str, Any], size: Size) -> None:
    async def main(loop: SimLoop) -> None:
        request = Scene(loop).request(**fields)
        request.record.operation = operation
        assert size_of(request) == size
        embeddings = Scene(loop).request()
        embeddings.dialect = "openai_embeddings"
        assert size_of(embeddings) == (11, 0, 40)

    run(main)
