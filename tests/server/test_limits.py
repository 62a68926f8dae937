"""Limits at the edge: what a caller is told, in its vendor's words, of what holds for it and of a refusal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from penstock.messages import Caller as From
from penstock.messages import Request
from penstock.reservation import Want
from penstock.stores.strain import Strain
from penstock.testing import Cancel, SimLoop, run, sweep_scenario
from tests.stage import Answer, Caller, Stage

LIMITS: dict[str, Any] = {
    "limits": [
        {"scope": "global", "requests": "60/min", "burst": 3},
        {"scope": "global", "tokens": "60k/min"},
        {"scope": "task", "match": "report", "requests": "2/h"},
    ]
}
CHAT = {"model": "up/small", "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 20}
MESSAGES = {**CHAT, "model": "ant/small"}
GENERATE = {"model": "up/small", "prompt": "Hi", "budget": {"max_output_tokens": 20}}


def play(scene: Callable[[Stage, Caller], Awaitable[Any]], limits: dict[str, Any] | None = None, seed: int = 0) -> Any:
    async def main(loop: SimLoop) -> Any:
        async with Stage(loop, LIMITS if limits is None else limits, seed) as stage:
            caller = await Caller.connect()
            found = await scene(stage, caller)
            caller.close()
            await loop.clock.sleep(1)
            return found

    return run(main, leak_free=True)


def ratelimits(answer: Answer) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if "ratelimit" in name}


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_tells_how_the_limits_stand_as_openai_does(stream: bool) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post({**CHAT, "stream": stream})
        assert answer.status == 200
        told = ratelimits(answer)
        assert told["x-ratelimit-limit-requests"] == "60"
        assert told["x-ratelimit-remaining-requests"] == "2"
        assert told["x-ratelimit-reset-requests"] == "1s"
        assert told["x-ratelimit-limit-tokens"] == "60000"
        assert 59_900 < int(told["x-ratelimit-remaining-tokens"]) < 60_000
        assert re.fullmatch(r"\d+ms", told["x-ratelimit-reset-tokens"])
        assert len(told) == 6
        refused = await caller.post({**CHAT, "model": "nobody/nothing"})
        assert refused.status == 404
        assert ratelimits(refused)["x-ratelimit-limit-requests"] == "60"

    play(scene)


@pytest.mark.parametrize("stream", [False, True])
def test_every_answer_tells_how_the_limits_stand_as_anthropic_does(stream: bool) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post({**MESSAGES, "stream": stream}, "/v1/messages")
        told = ratelimits(answer)
        assert answer.status == 200
        assert told["anthropic-ratelimit-requests-limit"] == "60"
        assert told["anthropic-ratelimit-requests-remaining"] == "2"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["anthropic-ratelimit-requests-reset"])
        assert told["anthropic-ratelimit-tokens-limit"] == "60000"
        assert len(told) == 6

    play(scene)


def test_where_nothing_limits_nothing_is_told() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        assert ratelimits(await caller.post(CHAT)) == {}

    play(scene, {})


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/v1/chat/completions", CHAT, "rate_limit_exceeded"),
        ("/v1/messages", MESSAGES, "rate_limit_error"),
        ("/v1/generate", GENERATE, "rate_limited"),
    ],
)
def test_a_refusal_tells_the_exact_wait_in_the_callers_dialect(path: str, body: dict[str, Any], kind: str) -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        for _ in range(3):
            assert (await caller.post(body, path)).status == 200
        refused = await caller.post(body, path)
        assert refused.status == 429
        assert kind in refused.body.decode()
        assert b"limit of 60 requests a minute" in refused.body
        assert "x-should-retry" not in refused.headers
        assert refused.headers["retry-after"] == "1"
        exact = int(refused.headers["retry-after-ms"])
        assert 900 < exact <= 1001
        told = ratelimits(refused)
        assert "0" in (
            told.get("x-ratelimit-remaining-requests"), told.get("anthropic-ratelimit-requests-remaining")
        )  # fmt: skip
        await stage.loop.clock.sleep(exact / 1000)
        assert (await caller.post(body, path)).status == 200

    play(scene)


def test_a_request_that_is_larger_than_the_limit_is_a_400() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        refused = await caller.post({**CHAT, "max_tokens": 100_000})
        assert refused.status == 400
        assert refused.error["code"] == "larger_than_limit"
        assert refused.error["param"] == "max_tokens"
        assert "retry-after" not in refused.headers

    play(scene)


def test_calls_for_a_task_are_capped() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        answers = [await caller.post(CHAT, x_penstock_task="report") for _ in range(3)]
        assert [answer.status for answer in answers] == [200, 200, 429]
        assert "2 requests an hour for task" in answers[2].error["message"]
        assert (await caller.post(CHAT, x_penstock_task="other")).status == 200

    play(scene)


def test_calls_at_a_time_wait_for_their_turn_and_then_are_refused() -> None:
    limits = {"limits": [{"scope": "global", "concurrency": 1, "queue": "3s"}]}
    slow = {**CHAT, "model": "up/small:head=2s"}

    async def scene(stage: Stage, caller: Caller) -> None:
        callers = [caller, await Caller.connect(), await Caller.connect()]
        start = stage.loop.time()
        tasks = []
        for each in callers:
            tasks.append(stage.loop.create_task(each.post(slow)))
            await stage.loop.clock.sleep(0.1)
        answers = await asyncio.gather(*tasks)
        assert sorted(answer.status for answer in answers) == [200, 200, 429]
        refused = next(answer for answer in answers if answer.status == 429)
        assert "1 calls at a time are under way" in refused.error["message"]
        assert int(refused.headers["retry-after"]) >= 1
        assert 4.0 <= stage.loop.time() - start < 6.0
        for each in callers[1:]:
            each.close()

    play(scene, limits)


def test_a_providers_own_values_never_reach_the_caller() -> None:
    """The simulated provider sends the headers that vendors send, with every answer."""

    async def scene(stage: Stage, caller: Caller) -> None:
        for model in ("up/small", "ant/small", "up/small:status=429", "sim/small"):
            answer = await caller.post({**CHAT, "model": model})
            assert ratelimits(answer) == {}

    play(scene, {})


def test_a_caller_that_waits_hears_its_place() -> None:
    limits = {"limits": [{"scope": "global", "requests": "1/min", "burst": 1, "queue": "2m"}]}

    async def scene(stage: Stage, caller: Caller) -> None:
        assert (await caller.post(CHAT)).status == 200
        answer = await caller.post({**CHAT, "stream": True})
        assert answer.status == 200
        assert b": place 1 in the queue" in answer.body
        assert answer.text

    play(scene, limits)


def test_what_is_shut_out_is_refused_before_its_body_is_read() -> None:
    async def scene(stage: Stage, caller: Caller) -> None:
        strain = stage.gateway.strain = Strain(stage.loop.clock, 0.1)
        strain.level = 2.4
        for priority in ("low", "sheddable"):
            refused = await caller.post(b"{no json", x_penstock_priority=priority)
            assert refused.status == 503
            assert refused.error["code"] == "overloaded"
            assert f"calls of priority {priority} are refused" in refused.error["message"]
            assert 1 <= int(refused.headers["retry-after"]) <= 3
        assert (await caller.post(b"{no json")).status == 400, "of these the layer refuses a part"
        strain.level = 4.0
        assert (await caller.post(b"{no json")).status == 503
        assert (await caller.post(CHAT, x_penstock_priority="critical")).status == 200
        assert stage.gateway.metrics.shed.series == {("low",): 1, ("sheddable",): 1, ("normal",): 1}

    play(scene, {})


def test_under_a_strict_limit_an_answer_without_a_bound_gets_one() -> None:
    limits = {"limits": [{"scope": "global", "tokens": "1000/min", "kind": "strict"}]}
    free = {"model": "up/small:tokens=3000", "messages": CHAT["messages"]}

    async def scene(stage: Stage, caller: Caller) -> None:
        answer = await caller.post(free)
        assert answer.status == 200
        assert "max_" in answer.headers["x-penstock-clamped"]
        usage = answer.json()["usage"]
        assert 800 < usage["total_tokens"] <= 1000
        refused = await caller.post(free)
        assert refused.status == 429
        assert refused.error["code"] == "rate_limit_exceeded"
        assert 1 < int(refused.headers["retry-after"]) <= 61

    play(scene, limits)


ALL: dict[str, Any] = {
    "limits": [
        {"scope": "global", "requests": "60/min", "burst": 1, "queue": "30s"},
        {"scope": "user", "tokens": "60k/min", "burst": 1000, "queue": "30s"},
        {"scope": "tenant", "concurrency": 1, "queue": "30s"},
        {"scope": "provider", "concurrency": 1, "queue": "30s"},
    ],
    "admission": {"most": 2, "queue": 5, "repeats": {"same": 100}},
}


@pytest.mark.parametrize("stream", [False, True])
def test_cancelled_anywhere_no_limit_forgets_or_keeps_anything(stream: bool) -> None:
    """All limits at once, one call before and one behind the one that is cancelled: through the whole gateway."""

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with Stage(loop, ALL) as stage:
            gateway = stage.gateway

            def request(stream: bool) -> Request:
                body = {**CHAT, "model": "up/small:head=300ms", "stream": stream}
                fields = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in body.items()}
                record = gateway.begin("chat")
                record.bytes_in, record.model = 100, str(body["model"])
                return Request("openai_chat", record.model, stream, fields, From(), record)

            async def asked(stream: bool) -> None:
                reply = await gateway.call(request(stream))
                try:
                    while await reply.read() is not None:
                        pass
                finally:
                    reply.close()

            before = loop.create_task(asked(False))
            await loop.clock.sleep(0.01)
            task = loop.create_task(cancel(asked(stream)))
            await loop.clock.sleep(0.01)
            await asyncio.gather(before, task, loop.create_task(asked(False)))
            assert gateway.calls_waiting == 0
            assert repr(gateway.shared.state.of("seats", "", lambda _: None)).endswith(" 0 calls>")
            await loop.clock.sleep(90)
            values = {"global": "", "user": "-/-"}
            wants = [Want(rule, values[rule.scope], 0) for rule in stage.config.rules if rule.scope in values]
            levels = await gateway.purse.look(wants)
            # Of a lease that has lapsed what is left is counted beside what the account has all of again.
            assert [level.left >= whole for level, whole in zip(levels, (1, 1000), strict=True)] == [True, True]

    assert sweep_scenario(scenario) >= 3
