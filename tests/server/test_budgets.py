"""Budgets through the whole gateway, in every dialect, whole and streamed: the ledger is what the provider counted."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from penstock.client.penstock import Penstock
from penstock.errors import PenstockError
from penstock.gateway import Shared
from penstock.providers.simulated.journal import Seen
from penstock.reservation import Want
from penstock.stores.rows import ABSURD, AMBIGUOUS, ESTIMATED, Closed, Heard, Opened
from penstock.stores.state import Registry
from penstock.testing import ScriptedUpstream, SeededRandom, SimLoop, run
from penstock.testing.sweep import Cancel, sweep_failures, sweep_scenario
from tests.stage import ENV, Answer, Caller, Stage, ask

# One dollar a million of input, ten a million of output: 1,000 and 10,000 nano-dollars a token.
PRICE = {"input": 1, "output": 10}
CONFIG: dict[str, Any] = {
    "auth": "required",
    "providers": {
        "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
        "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
    },
    "models": {
        "fast": {"targets": ["up/small"]},
        "far": {"targets": ["ant/small"]},
        "dear": {"targets": ["up/large", "up/small"]},
        "cheap": {"targets": ["up/small"]},
    },
    "prices": {"up/*": PRICE, "ant/*": PRICE, "up/large*": {"input": 1000, "output": 10000}},
    "keys": [{"name": "app", "key": "env:APP_KEY", "tenant": "acme", "project": "web", "user": "trusted"}],
    "budgets": [
        {"scope": "tenant", "limit": "1 USD/day"},
        {"scope": "project", "limit": "1 USD/month"},
        {"scope": "user", "limit": "1M tokens/day"},
        {"scope": "global", "limit": "9 USD/day"},
    ],
}
KEY = {"authorization": f"Bearer {ENV['APP_KEY']}"}


class Rows:
    """A journal that remembers."""

    def __init__(self) -> None:
        self.opened: list[Opened] = []
        self.closed: list[Closed] = []
        self.told: list[Heard] = []

    def open(self, row: Opened) -> None:
        self.opened.append(row)

    def heard(self, row: Heard) -> None:
        self.told.append(row)

    def close(self, row: Closed) -> None:
        self.closed.append(row)


class Books(Stage):
    """A stage with a ledger."""

    def __init__(self, loop: SimLoop, seed: int = 0, **config: Any) -> None:
        self.rows = Rows()
        rows: Any = self.rows
        super().__init__(loop, {**CONFIG, **config}, seed, Shared(Registry(), journal=rows))

    @property
    def seen(self) -> list[Seen]:
        return list(self.provider.journal.log)

    async def used(self) -> list[int]:
        """Per rule what is used or held of it, for the key's tenant."""
        values = {"tenant": "acme", "project": "acme/web", "user": "acme/-", "global": ""}
        rules = self.gateway.config.rules
        levels = await self.gateway.purse.look([Want(rule, values.get(rule.scope, ""), 0) for rule in rules])
        return [level.used for level in levels]


Scene = Callable[[Books, Caller], Awaitable[Any]]


def play(scene: Scene, **config: Any) -> Any:
    async def main(loop: SimLoop) -> Any:
        async with Books(loop, **config) as stage:
            caller = await Caller.connect()
            try:
                found = await scene(stage, caller)
            finally:
                caller.close()
            await loop.settle()
            for row in stage.rows.opened:
                (closed,) = (one for one in stage.rows.closed if (one.request, one.number) == (row.request, row.number))
                assert len(closed.settled) == len(row.holds)
            return found

    return run(main, leak_free=True)


def nanos(seen: Seen) -> int:
    return seen.prompt * 1_000 + seen.completion * 10_000


def budget(limit: str, **more: Any) -> dict[str, Any]:
    return {"budgets": [{"scope": "tenant", "limit": limit, **more}]}


# --- the books


@pytest.mark.parametrize("model", ["fast", "far"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_the_ledger_is_what_the_provider_counted(dialect: str, stream: bool, model: str) -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        for number in range(3):
            path, body = ask(dialect, f"Hello there, for the {number}th time", model, stream=stream)
            answer = await caller.post(body, path, **KEY)
            assert answer.status == 200, answer.body
        await asyncio.sleep(0)
        assert [row.cost for row in stage.rows.closed] == [nanos(seen) for seen in stage.seen]
        counts = [(row.input_tokens, row.output_tokens) for row in stage.rows.closed]
        assert counts == [(seen.prompt, seen.completion) for seen in stage.seen]
        assert all(row.flags == 0 and row.answered for row in stage.rows.closed)
        cost, tokens = sum(map(nanos, stage.seen)), sum(seen.prompt + seen.completion for seen in stage.seen)
        assert await stage.used() == [cost, cost, tokens, cost]
        assert stage.lines[-1]["cost_usd"] == f"{nanos(stage.seen[-1]) / 1e9:.9f}"
        held = {(hold.rule.split()[1], hold.value) for hold in stage.rows.opened[0].holds}
        assert held == {("tenant", "acme"), ("project", "acme/web"), ("user", "acme/-"), ("global", "")}

    play(scene)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("script", ["negative", "zero", "huge", "none", "wrong"])
@pytest.mark.parametrize("provider", ["up", "ant"])
def test_a_provider_that_counts_absurdly_is_flagged_and_never_free(provider: str, script: str, stream: bool) -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat" if provider == "up" else "messages", stream=stream)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        await asyncio.sleep(0)
        (row,) = stage.rows.closed
        assert row.cost
        assert (await stage.used())[0] == row.settled[0] == row.cost
        flags = {"negative": ABSURD | ESTIMATED, "zero": ABSURD | ESTIMATED, "huge": ABSURD | ESTIMATED}
        assert row.flags & ~32 == flags.get(script, ESTIMATED if script == "none" else 0)

    play(scene, models={"fast": {"targets": [f"{provider}/small:usage={script}"]}})


# --- less than there is

FIELDS = {"chat": "max_completion_tokens", "messages": "max_tokens", "generate": "budget.max_output_tokens"}


@pytest.mark.parametrize("model", ["fast", "far"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_a_short_budget_makes_the_answer_shorter_and_says_so(dialect: str, stream: bool, model: str) -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask(dialect, "Tell me a long story, please", model, stream=stream)
        if dialect == "generate":
            body["budget"] = {"max_output_tokens": 200}
        elif dialect == "chat":
            body["max_completion_tokens"] = 200
        size = len(json.dumps(body))
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        assert answer.headers["x-penstock-clamped"] == FIELDS[dialect]
        sent = json.loads(stage.seen[0].body)
        most = sent.get("max_tokens") or sent.get("max_completion_tokens")
        # 1.2 thousandths of a dollar, less the input's bytes, at 10,000 nano-dollars a token.
        assert most == (1_200_000 - size * 1_000) // 10_000
        assert stage.lines[-1]["clamped"] == [FIELDS[dialect]]
        assert stage.rows.closed[0].cost == nanos(stage.seen[0]) <= 1_200_000

    play(scene, **budget("0.0012 USD/day"))


def test_without_a_limit_of_its_own_a_request_gets_one() -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello")
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        assert (
            json.loads(stage.seen[0].body)[
                "max_tokens" if "max_tokens" in json.loads(stage.seen[0].body) else "max_completion_tokens"
            ]
            == 8_192
        )
        assert "x-penstock-clamped" in answer.headers

    play(scene, **budget("1 USD/day"))


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_a_spent_budget_refuses_and_says_what_else_there_is(dialect: str, stream: bool) -> None:
    async def scene(stage: Books, caller: Caller) -> Answer:
        path, body = ask(dialect, stream=stream)
        served = 0
        while (answer := await caller.post(body, path, **KEY)).status == 200:
            served += 1
        await asyncio.sleep(0)
        assert 0 < served == len(stage.seen) == len(stage.rows.opened)
        assert await stage.used() == [sum(map(nanos, stage.seen))]
        assert stage.lines[-1]["error"] == "budget_exceeded"
        assert "attempts" not in stage.lines[-1]
        return answer

    answer = play(scene, **budget("0.001 USD/day"))
    assert (answer.status, answer.headers["x-should-retry"]) == (429, "false")
    assert 0 < int(answer.headers["retry-after"]) <= 86_401
    error = answer.error
    told = f"{error['message']} {error.get('do', '')}"
    assert "budget of tenant 'acme' has too little left" in told
    assert "Send a shorter prompt, ask for a cheaper model, or have it raised." in told
    assert "It is there again at 2026-01-02 00:00:00 UTC" in told
    if dialect == "chat":
        assert (error["type"], error["code"]) == ("insufficient_quota", "insufficient_quota")
    elif dialect == "messages":
        assert (error["type"], error["details"]["error_code"]) == ("rate_limit_error", "budget_exceeded")
    else:
        assert (error["code"], error["retryable"]) == ("budget_exceeded", False)


def test_a_shortage_at_one_deployment_leads_to_a_cheaper_one_without_an_attempt() -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "dear", max_tokens=20)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        assert (answer.headers["x-penstock-target"], answer.headers["x-penstock-attempts"]) == ("up/small", "1")
        assert [seen.model for seen in stage.seen] == ["small"]
        line = stage.lines[-1]
        assert [(one["what"], one["deployment"]) for one in line["decisions"]] == [
            ("chosen", "up/large"), ("failed", "up/large"), ("chosen", "up/small"),
        ]  # fmt: skip
        assert line["decisions"][1]["why"] == "budget_exceeded"
        assert [row.deployment for row in stage.rows.opened] == ["up/small"]

    play(scene, **budget("0.01 USD/day"))


def test_a_soft_budget_leads_to_a_cheaper_model() -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "dear", max_tokens=20)
        targets = []
        for _ in range(3):
            targets.append((await caller.post(body, path, **KEY)).headers["x-penstock-target"])
            await stage.loop.clock.sleep(1.0)  # it acts within a second
        assert targets == ["up/large", "up/small", "up/small"]
        line = stage.lines[-1]
        assert (line["model"], line["decisions"][0]["what"]) == ("dear", "downgraded")
        assert line["decisions"][0]["why"] == "the budget of tenant 'acme' is used up: cheap"
        assert [row.model for row in stage.rows.opened] == ["dear", "cheap", "cheap"]

    play(scene, **budget("0.01 USD/day", hard=False, on_soft={"downgrade": "cheap"}))


def test_a_cheaper_model_need_not_be_one_that_the_key_may_ask_for_and_its_cap_holds_there_too() -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "dear", max_tokens=20)
        for _ in range(2):
            answer = await caller.post(body, path, **KEY)
            assert answer.status == 200, answer.body
            await stage.loop.clock.sleep(1.0)
        assert answer.headers["x-penstock-target"] == "up/small"
        assert json.loads(stage.seen[-1].body)["max_tokens"] == 5
        assert (await caller.post({**body, "model": "cheap"}, path, **KEY)).status == 403

    key = {**CONFIG["keys"][0], "models": ["dear"], "max_output": 5}
    play(scene, keys=[key], **budget("0.01 USD/day", hard=False, on_soft={"downgrade": "cheap"}))


# --- what one request may cost


@pytest.mark.parametrize(
    ("dialect", "more", "headers"),
    [
        ("generate", {"budget": {"max_cost_usd": "0.0005"}}, {}),
        ("generate", {"budget": {"max_cost_usd": 0.0005}}, {}),
        ("chat", {}, {"x-penstock-max-cost-usd": "0.0005"}),
        ("messages", {}, {"x-penstock-max-cost-usd": "0.0005"}),
    ],
)
def test_a_request_may_say_itself_what_it_may_cost(dialect: str, more: dict[str, Any], headers: dict[str, str]) -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask(dialect, "Hello", **more)
        answer = await caller.post(body, path, **KEY, **headers)
        assert answer.status == 200, answer.body
        assert "x-penstock-clamped" in answer.headers
        sent = json.loads(stage.seen[0].body)
        size = len(json.dumps(body))
        assert (sent.get("max_tokens") or sent["max_completion_tokens"]) == (500_000 - size * 1_000) // 10_000
        more_still = {**body, "messages": [{"role": "user", "content": "x" * 600}]}
        answer = await caller.post(more_still, path, **KEY, **headers)
        assert (answer.status, len(stage.seen)) == (429, 1)
        assert "0.0005 USD is left to this request by max_cost_usd" in json.dumps(answer.json())

    play(scene, budgets=[])


def test_a_budget_of_every_request() -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", max_tokens=10)
        assert (await caller.post(body, path, **KEY)).status == 200
        path, body = ask("chat", "x" * 600, max_tokens=10)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 429
        assert "0.0005 USD is left to this request by scope: request" in answer.error["message"]

    play(scene, budgets=[{"scope": "request", "limit": "0.0005 USD"}])


# --- several attempts


def test_each_attempt_has_its_row() -> None:
    """The first fails after it was sent, the second breaks off in the stream and is gone on with by the third."""

    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "chain", stream=True, max_tokens=100)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        await asyncio.sleep(0)
        rows = [(row.number, row.kind, row.deployment) for row in stage.rows.opened]
        assert [kind for _, kind, _ in rows] == ["first", "fallback", "resume"], stage.lines[-1]
        assert [number for number, _, _ in rows] == [1, 2, 3]
        closed = {row.number: row for row in stage.rows.closed}
        assert [closed[n].outcome for n in (1, 2, 3)] == ["unavailable", "stream_interrupted", "ok"]
        assert [closed[n].answered for n in (1, 2, 3)] == [False, True, True]
        assert closed[1].cost == 0
        assert (await stage.used())[0] == sum(row.settled[0] for row in stage.rows.closed)
        assert stage.lines[-1]["cost_usd"] == f"{sum(row.cost or 0 for row in stage.rows.closed) / 1e9:.9f}"

    targets = ["up/small:status=503", "up/small:cut=6", "up/small"]
    play(scene, models={"chain": {"targets": targets, "on_stream_cut": "resume", "retry": {"max_attempts": 1}}})


@pytest.mark.parametrize("stream", [False, True])
def test_a_race_has_two_rows_and_one_winner(stream: bool) -> None:
    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "race", stream=stream, max_tokens=100)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        await asyncio.sleep(0)
        closed = {row.number: row for row in stage.rows.closed}
        assert [row.kind for row in stage.rows.opened] == ["first", "hedge"]
        assert [(closed[n].outcome, closed[n].answered) for n in (1, 2)] == [("cancelled", False), ("ok", True)]
        # What the silent one had said nobody knows: its input is its cost, and all that it held is spent.
        assert closed[1].cost == -(-len(json.dumps(body)) // 4) * 1_000
        assert closed[1].settled[0] == stage.rows.opened[0].holds[0].amount
        assert closed[2].cost == nanos(stage.seen[1])

    hedge = {"after": "100ms", "most": "100%"}
    play(scene, models={"race": {"targets": ["up/small:first_token=9s", "up/small"], "hedge": hedge}})


@pytest.mark.parametrize("stream", [False, True])
def test_the_one_that_lost_is_billed_as_a_whole_where_its_provider_does_that(stream: bool) -> None:
    """By how long the winner's answer is: which is known for a stream once that has ended."""

    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "race", stream=stream, max_tokens=100)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        await asyncio.sleep(0)
        closed = {row.number: row for row in stage.rows.closed}
        assert closed[1].output_tokens == closed[2].output_tokens == stage.seen[1].completion
        assert closed[1].cost == -(-len(json.dumps(body)) // 4) * 1_000 + stage.seen[1].completion * 10_000
        assert (closed[1].answered, closed[1].flags) == (False, ESTIMATED)
        assert await stage.used() == [sum(row.settled[0] for row in stage.rows.closed)]

    full = {"kind": "groq", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"}
    route = {"targets": ["up/small:first_token=9s", "up/small"], "hedge": {"after": "100ms", "most": "100%"}}
    play(scene, providers={**CONFIG["providers"], "up": full}, models={"race": route}, **budget("1 USD/day"))


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_held_wherever_the_caller_of_a_race_leaves(stream: bool) -> None:
    route = {"targets": ["up/small:first_token=9s", "up/small"], "hedge": {"after": "100ms", "most": "100%"}}

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with Books(loop, models={"two": route}, **budget("1 USD/day")) as stage:
            await cancel(swallowed(asking(stage, "two", stream=stream)))
            await stage.loop.settle()
            assert len(stage.rows.opened) == len(stage.rows.closed)
            assert stage.gateway.metrics.in_flight.series[()] == 0

    assert sweep_scenario(scenario) >= 3


# --- a provider that says more than it was asked for


def _event(text: str) -> bytes:
    chunk = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@pytest.mark.parametrize("cut", [False, True])
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("dialect", ["chat", "messages", "generate"])
def test_a_provider_that_says_far_more_than_asked_is_cut_off_at_a_hard_limit(
    dialect: str, resume: bool, cut: bool
) -> None:
    async def main(loop: SimLoop) -> None:
        head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
        texts = [(0.01, _event("so it goes on and on ")) for _ in range(500)]
        end = (0.01, b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n')
        async with ScriptedUpstream([(0, head), *texts, end], clock=loop.clock) as up:
            up_here = {"kind": "openai", "base_url": up.base_url, "api_key": "env:UP_KEY"}
            here = {**CONFIG["providers"], "up": up_here}
            route = {"targets": ["up/small"], "on_stream_cut": "resume" if resume else "error"}
            limits = budget("1 USD/day", hard=cut)
            async with Books(loop, providers=here, models={"fast": route}, **limits) as stage:
                caller = await Caller.connect()
                path, body = ask(dialect, "Hello", stream=True)
                body |= {"budget": {"max_output_tokens": 40}} if dialect == "generate" else {"max_tokens": 40}
                answer = await caller.post(body, path, **KEY)
                caller.close()
                await loop.settle()
                (row,) = stage.rows.closed
                assert stage.lines[-1].get("stream_error") == ("budget_exceeded" if cut else None)
                assert answer.text.count("on and on") == 500 if dialect == "chat" and not cut else True
                if not cut:
                    assert (row.outcome, row.output_tokens) == ("ok", 500 * 21 // 4)
                    return
                # 40 tokens are paid for; what came until it was sure is booked, and it is not gone on with.
                assert 160 <= row.output_tokens < 200
                assert (row.outcome, row.settled[0]) == ("budget_exceeded", row.cost)
                last = next(event for event in reversed(answer.events) if isinstance(event, dict) and "error" in event)
                error = last["error"]
                code = error["details"]["error_code"] if dialect == "messages" else error["code"]
                assert code == "budget_exceeded", answer.body[-600:]
                assert "more than the 40 tokens that it was asked for" in error["message"]

    run(main, leak_free=True)


def test_what_came_of_a_long_stream_is_written_down_while_it_comes() -> None:
    """So that it is known if the process dies."""

    async def scene(stage: Books, caller: Caller) -> None:
        path, body = ask("chat", "Hello", "slow", stream=True, max_tokens=100)
        answer = await caller.post(body, path, **KEY)
        assert answer.status == 200, answer.body
        told = [(row.number, row.output_tokens) for row in stage.rows.told]
        assert [number for number, _ in told] == [1] * len(told)
        tokens = [tokens for _, tokens in told]
        assert tokens == sorted(tokens)
        assert len(tokens) >= 3
        assert 0 < tokens[0] < tokens[-1] <= stage.rows.closed[0].output_tokens
        assert all(row.cost and row.cost > row.output_tokens * 10_000 for row in stage.rows.told)

    play(scene, models={"slow": {"targets": ["up/small:between=2s,tokens=10"]}})


# --- cancelled anywhere


def asking(stage: Books, model: str, *, stream: bool) -> Callable[[], Awaitable[None]]:
    """A call through the whole engine, without a socket on the caller's side."""

    async def ask_once() -> None:
        async with Penstock.over(stage.gateway) as llm:
            if not stream:
                await llm.generate("Tell me a long story, please", model=model, max_tokens=300)
                return
            async with llm.stream("Tell me a long story, please", model=model, max_tokens=300) as events:
                async for _ in events:
                    pass

    return ask_once


async def check_nothing_held(stage: Books) -> None:
    await stage.loop.settle()
    assert len(stage.rows.opened) == len(stage.rows.closed)
    assert await stage.used() == [sum(row.settled[0] for row in stage.rows.closed)]
    assert stage.gateway.metrics.in_flight.series[()] == 0


SMALL: Any = {"budgets": [{"scope": "global", "limit": "0.0012 USD/day"}]}
ENOUGH_FOR_ONE: Any = {"budgets": [{"scope": "global", "limit": "0.004 USD/day"}]}
TWO = {"two": {"targets": ["up/small:status=503", "up/small"], "retry": {"max_attempts": 1}}}


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_held_wherever_a_caller_leaves(stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with Books(loop, models=TWO, **SMALL) as stage:
            await cancel(swallowed(asking(stage, "two", stream=stream)))
            await check_nothing_held(stage)

    assert sweep_scenario(scenario) >= 4  # the second attempt takes the first one's connection


async def swallowed(call: Callable[[], Awaitable[None]]) -> None:
    """A refusal is an end like any other."""
    with suppress(PenstockError):
        await call()


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_held_wherever_two_callers_leave(stream: bool) -> None:
    """Two calls that share what is nearly used up, each cancelled at each of its suspensions: all pairs."""
    for first in range(1, 61):
        counted = 0

        async def scenario(loop: SimLoop, cancel: Cancel, first: int = first) -> None:
            nonlocal counted
            async with Books(loop, models=TWO, **ENOUGH_FOR_ONE) as stage:
                other = Cancel(first, waking=False)
                calls = [other(swallowed(asking(stage, "two", stream=stream)))]
                calls.append(cancel(swallowed(asking(stage, "two", stream=stream))))
                await asyncio.gather(*calls)
                await check_nothing_held(stage)
                counted = other.steps

        assert sweep_scenario(scenario) >= 1
        if counted < first:
            assert first > 4
            return
    raise AssertionError("more than 60 suspensions")


@pytest.mark.parametrize("stream", [False, True])
def test_nothing_is_held_whatever_the_network_does(stream: bool) -> None:
    """And what was answered whole is in the books as the provider counted it."""

    async def scenario(loop: SimLoop) -> None:
        limits: dict[str, Any] = {"budgets": [{"scope": "global", "limit": "1 USD/day"}]}
        async with Books(loop, models=TWO, **limits) as stage:
            await swallowed(asking(stage, "two", stream=stream))
            await check_nothing_held(stage)
            assert len(stage.rows.opened) <= 6
            done = [nanos(seen) for seen in stage.seen if seen.outcome == "done" and not seen.script]
            booked = [row.cost for row in stage.rows.closed if row.outcome == "ok"]
            assert all(cost in done for cost in booked)
            # What may have been done all the same is booked at its prompt, never at nothing.
            assert all(row.cost for row in stage.rows.closed if row.flags & AMBIGUOUS)

    failed = sweep_failures(scenario)
    assert failed["send"] >= 4
    assert failed["receive"] >= 4


def test_at_the_limit_64_callers_who_leave_as_they_like_never_spend_more_than_there_is() -> None:
    """What the provider counted for those who stayed is in the books to the last nano-dollar."""

    async def scene(stage: Books, caller: Caller) -> None:
        random = SeededRandom(7)

        async def one(number: int) -> None:
            mine = await Caller.connect()
            path, body = ask("chat", f"Call {number}", "fast", stream=number % 2 == 0, max_tokens=30 + number)
            task = asyncio.ensure_future(mine.post(body, path, **KEY))
            if number % 3 == 0:
                await stage.loop.clock.sleep(random.random() * 0.5)
                task.cancel()
            await asyncio.wait([task])
            mine.close()

        await asyncio.gather(*(one(number) for number in range(64)))
        await stage.loop.settle()
        limit = 10_000_000
        settled = sum(row.settled[0] for row in stage.rows.closed)
        assert await stage.used() == [settled]
        assert settled <= limit
        whole = [row for row in stage.rows.closed if row.outcome == "ok"]
        assert len(whole) > 5
        assert sum(row.cost or 0 for row in whole) <= sum(map(nanos, stage.seen))
        done = sorted(nanos(seen) for seen in stage.seen if seen.outcome == "done")
        assert sorted(row.cost or 0 for row in whole) == done
        assert any(line.get("error") == "budget_exceeded" for line in stage.lines)

    play(scene, **budget("0.01 USD/day"))
