"""Rates of a provider and of a deployment that have a queue: a call waits there once nobody else may be asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.testing import SimLoop, run
from tests.stage import Answer, Caller, Stage, chat

CONFIG: dict[str, Any] = {
    "auth": "open",
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
    },
    "models": {"fast": {"targets": ["up/small"]}, "two": {"targets": ["up/small", "ant/small"]}},
}
# One at once, and one a second.
SLOW = {"requests": "60/min", "burst": 1, "queue": "5s"}


def play(limits: list[dict[str, Any]], scene: Callable[[Stage], Awaitable[None]], **more: Any) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, {**CONFIG, "limits": limits, **more}) as stage:
            await scene(stage)

    run(main, leak_free=True)


async def ask(model: str = "fast", path: str = "/v1/chat/completions", **more: Any) -> Answer:
    caller = await Caller.connect()
    headers = {name: more.pop(name) for name in list(more) if name.startswith("x-")}
    try:
        return await caller.post({**chat(model=model), "max_tokens": 50, **more}, path, **headers)
    finally:
        caller.close()


def waited(line: dict[str, Any]) -> int:
    """Whole seconds."""
    seconds: int = round(line["ms"] / 1000)
    return seconds


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages"])
@pytest.mark.parametrize("scope", [{"scope": "provider"}, {"scope": "deployment", "match": "up/small"}])
def test_a_call_waits_for_its_turn(scope: dict[str, Any], path: str, stream: bool) -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask(path=path, stream=stream) for _ in range(4)])
        assert [answer.status for answer in answers] == [200] * 4
        assert sorted(map(waited, stage.lines)) == [0, 1, 2, 3]

    play([{**scope, **SLOW}], scene)


def test_it_waits_no_longer_than_its_queue_and_is_told_the_exact_wait() -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask() for _ in range(8)])
        assert sorted(answer.status for answer in answers) == [200] * 5 + [429] * 3
        refused = [answer for answer in answers if answer.status == 429]
        assert all(b"limit of requests of provider 'up'" in answer.body for answer in refused)
        wait = max(float(answer.headers["retry-after-ms"]) for answer in refused) / 1000
        await stage.loop.clock.sleep(wait)
        assert (await ask()).status == 200

    play([{"scope": "provider", **SLOW}], scene)


def test_without_a_queue_it_is_refused_at_once() -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask() for _ in range(3)])
        assert sorted(answer.status for answer in answers) == [200, 429, 429]
        assert {waited(line) for line in stage.lines} == {0}

    play([{"scope": "provider", "requests": "60/min", "burst": 1}], scene)


def test_another_deployment_goes_before_a_wait() -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask("two") for _ in range(3)])
        assert [answer.status for answer in answers] == [200] * 3
        assert [line["attempts"][0]["deployment"] for line in stage.lines].count("ant/small") == 2
        assert {waited(line) for line in stage.lines} == {0}

    play([{"scope": "provider", "match": "up", **SLOW}], scene)


def test_it_is_waited_for_once_the_other_has_failed() -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask("broken") for _ in range(2)])
        assert [answer.status for answer in answers] == [200] * 2
        assert [each["deployment"] for each in stage.lines[1]["attempts"]] == ["ant/small:status=503", "up/small"]
        assert waited(stage.lines[1]) == 1

    models = {"broken": {"targets": ["up/small", "ant/small:status=503"]}}
    play([{"scope": "provider", "match": "up", **SLOW}], scene, models=models)


def test_where_both_are_full_it_waits_at_the_last() -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask("two") for _ in range(4)])
        assert [answer.status for answer in answers] == [200] * 4
        assert max(map(waited, stage.lines)) == 2

    play([{"scope": "provider", **SLOW}], scene)


def test_the_most_urgent_go_first_and_nobody_passes_the_line() -> None:
    async def scene(stage: Stage) -> None:
        await ask()
        went: list[str] = []

        async def urgent(rank: str, after: float = 0.0) -> None:
            await stage.loop.clock.sleep(after)
            assert (await ask(**{"x-penstock-priority": rank})).status == 200
            went.append(rank)

        # The last one comes when the turn of the next is nearly there.
        await asyncio.gather(urgent("low"), urgent("low"), urgent("high"), urgent("normal", 0.95))
        assert went == ["high", "normal", "low", "low"]

    play([{"scope": "provider", **SLOW}], scene)


def test_its_own_deadline_ends_the_wait() -> None:
    async def scene(stage: Stage) -> None:
        await ask()
        answer = await ask(**{"x-penstock-deadline": "400ms"})
        assert answer.status == 429
        assert waited(stage.lines[1]) == 0

    play([{"scope": "provider", **SLOW}], scene)


def test_a_caller_that_leaves_takes_nothing() -> None:
    async def scene(stage: Stage) -> None:
        await ask()
        gone = asyncio.ensure_future(ask())
        await stage.loop.clock.sleep(0.5)
        gone.cancel()
        assert (await ask()).status == 200
        assert waited(stage.lines[-1]) in (0, 1)

    play([{"scope": "provider", **SLOW}], scene)


def test_a_call_larger_than_the_limit_does_not_wait() -> None:
    async def scene(stage: Stage) -> None:
        answer = await ask(max_tokens=5000)
        assert (answer.status, answer.error["code"]) == (400, "larger_than_limit")

    play([{"scope": "provider", "tokens": "1k/min", "queue": "5s"}], scene)


def test_tokens_and_a_budget_are_reserved_together_after_the_wait() -> None:
    async def scene(stage: Stage) -> None:
        answers = await asyncio.gather(*[ask(max_tokens=500) for _ in range(3)])
        assert [answer.status for answer in answers] == [200] * 3
        assert max(map(waited, stage.lines)) >= 1

    limits = [{"scope": "provider", "tokens": "60k/min", "burst": 700, "queue": "5s"}]
    play(limits, scene, budgets=[{"scope": "global", "limit": "5 USD/day"}], prices={"up/small": PRICE})


def test_a_deployment_that_is_open_by_then_is_not_asked() -> None:
    async def scene(stage: Stage) -> None:
        await ask()
        waiting = asyncio.ensure_future(ask())
        await stage.loop.clock.sleep(0.5)
        stage.gateway.health.order("up/small", "isolate", stage.loop.time())
        answer = await waiting
        assert answer.status == 503
        assert "attempts" not in stage.lines[-1]

    play([{"scope": "provider", **SLOW}], scene)


PRICE = {"input": 1, "output": 2}
