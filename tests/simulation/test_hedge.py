"""Hedging on the whole path: real requests, two simulated providers, their journals and what is written down."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from penstock.testing import Cancel, SimLoop, run, sweep_scenario
from tests.stage import Caller, Stage, ask

PROVIDERS = {
    "up": {"kind": "openai", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
    "ant": {"kind": "anthropic", "base_url": "http://provider:8000", "api_key": "env:UP_KEY"},
    "other": {"kind": "groq", "base_url": "http://provider:8000/v1", "api_key": "env:UP_KEY"},
}
STUCK_TARGET, WELL_TARGET = "up/small:head=20s,tokens=8", "other/small:tokens=8"
PRICES = {name: {"input": 1, "output": 2} for name in (STUCK_TARGET, WELL_TARGET)}


def config(first: str, second: str, hedge: Any = None) -> dict[str, Any]:
    """Two targets, of which the second may be asked after a second: every request may be sent twice."""
    hedge = hedge or {"after": "1s", "most": "100%"}
    return {"providers": PROVIDERS, "models": {"fast": {"targets": [first, second], "hedge": hedge}}}


STUCK = config(STUCK_TARGET, WELL_TARGET)
CROSSED = config("ant/small:head=20s,tokens=8", "up/small:tokens=8")


@pytest.mark.parametrize("dialect", ["chat", "messages"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("targets", [STUCK, CROSSED], ids=["same", "crossed"])
def test_the_second_answers_and_the_first_is_closed(targets: Any, dialect: str, stream: bool) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, targets) as stage:
            caller, start = await Caller.connect(), loop.time()
            path, body = ask(dialect, stream=stream)
            answer = await caller.post(body, path)
            assert (answer.status, answer.whole) == (200, True)
            assert 1.0 <= loop.time() - start < 1.1
            caller.close()
            await loop.clock.sleep(0.1)
            # Closed within 100 ms of the other's first output, long before its own.
            journal = stage.provider.journal
            assert (journal.requests, journal.open, journal.disconnects) == (2, 0, 1)
            [cut] = [seen for seen in journal.log if seen.outcome == "disconnected"]
            assert cut.ended is not None
            assert cut.ended - start < 1.1
            [line] = stage.lines
            second = targets["models"]["fast"]["targets"][1]
            assert line["deployment"] == second
            assert [(one["outcome"], one.get("kind")) for one in line["attempts"]] == [
                ("cancelled", None), ("ok", "hedge")
            ]  # fmt: skip
            assert ("hedged", second) in [(one["what"], one["deployment"]) for one in line["decisions"]]

    run(main, leak_free=True)


@pytest.mark.parametrize(("kind", "output"), [("groq", True), ("openai", False)])
@pytest.mark.parametrize("stream", [False, True])
def test_the_loser_costs_what_its_provider_is_known_to_bill(kind: str, output: bool, stream: bool) -> None:
    """`billed: full` is the whole answer all the same, about as long as the winner's; else the prompt."""

    async def main(loop: SimLoop) -> None:
        up = {**PROVIDERS["up"], "kind": kind}
        targets = {**STUCK, "providers": {**PROVIDERS, "up": up}, "prices": PRICES}
        async with Stage(loop, targets) as stage:
            caller = await Caller.connect()
            path, body = ask("chat", stream=stream)
            await caller.post(body, path)
            caller.close()
            await loop.clock.sleep(0.1)
            [line] = stage.lines
            loser, winner = line["attempts"]
            assert loser["tokens"]["estimated"]
            assert not winner["tokens"]["estimated"]
            assert loser["tokens"]["input"] == -(-line["bytes_in"] // 4)
            assert (loser["tokens"]["output"], winner["tokens"]["output"]) == (8 if output else 0, 8)
            # A micro-dollar a token in and two out.
            cost = loser["tokens"]["input"] + winner["tokens"]["input"] + (32 if output else 16)
            assert Decimal(line["cost_usd"]) == Decimal(cost) / 1_000_000

    run(main, leak_free=True)


@pytest.mark.parametrize("targets", [STUCK, config("up/small:head=1500ms,tokens=8", "other/small:head=5s")])
@pytest.mark.parametrize("stream", [False, True])
def test_a_caller_that_leaves_meanwhile_leaves_nothing_behind(targets: Any, stream: bool) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with Stage(loop, targets) as stage:
            path, body = ask("chat", stream=stream)

            async def call() -> None:
                caller = await Caller.connect()
                try:
                    await caller.post(body, path)
                finally:
                    caller.close()

            await cancel(call())
            await loop.clock.sleep(0.25)
            assert stage.provider.journal.open == 0
            assert stage.gateway.upstream_busy == 0
            plan = next(iter(stage.gateway.plans))
            assert all(one.pace.in_flight == 0 for one in plan.candidates)
            for line in stage.lines:
                assert all(attempt["outcome"] != "open" for attempt in line.get("attempts", []))

    assert sweep_scenario(scenario) >= 2
