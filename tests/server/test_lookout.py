"""The lookout in virtual time: probes take a provider out and bring it back, rehearsals find what is dead."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

import pytest

from penstock.config.load import load_config
from penstock.config.schema import Config
from penstock.metrics import Metrics
from penstock.providers.simulated import SimulatedProvider
from penstock.server.lookout import FALL, FIRST_SECONDS, FRESH_SECONDS, JITTER, Lookout
from penstock.stores.authority import Authority
from penstock.stores.breaker import BreakerRules
from penstock.stores.condition import Order
from penstock.testing import SeededRandom, SimLoop, run

__all__ = ["PROBED", "REHEARSED", "Stage"]

ENV = {"UP_KEY": "sk-up-0123456789", "OTHER_KEY": "sk-other-0123456789"}
UP = {"kind": "openai", "base_url": "http://up:8000/v1", "api_key": "env:UP_KEY"}
PROBED = {"auth": "open", "providers": {"up": {**UP, "probe": "30s"}}, "models": {"fast": {"targets": ["up/small"]}}}
REHEARSED = {
    "auth": "open",
    "providers": {"up": UP, "far": {"kind": "anthropic", "base_url": "http://far:8000", "api_key": "env:OTHER_KEY"}},
    "models": {
        "fast": {"targets": ["up/small"], "fallback": ["behind"], "rehearse": "1h"},
        "behind": {"targets": ["far/large"]},
        "vectors": {"targets": ["up/embed"]},
    },
}


class Stage:
    """A lookout over two providers, beside an authority that knows some deployments."""

    def __init__(self, loop: SimLoop, config: dict[str, Any], *deployments: str) -> None:
        self.loop = loop
        self.clock = loop.clock
        self.up = SimulatedProvider(loop.clock, key=ENV["UP_KEY"], keep=1000)
        self.far = SimulatedProvider(loop.clock, key=ENV["OTHER_KEY"], keep=1000)
        self.health = Authority(lambda: 0.5)
        for id in deployments:
            self.health.adopt(id, id.partition("/")[0], BreakerRules(), loop.time())
        self.metrics = Metrics()
        self.lookout = Lookout(loop.clock, SeededRandom(loop.seed), self.health, self.metrics)
        self.config = self.read(config)

    def read(self, config: dict[str, Any]) -> Config:
        return load_config(config, ENV)

    async def __aenter__(self) -> Stage:
        await self.loop.create_server(self.up.connection, "up", 8000)
        await self.loop.create_server(self.far.connection, "far", 8000)
        self.lookout.adopt(self.config)
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.lookout.aclose()
        self.up.close()
        self.far.close()

    def state(self, id: str) -> str:
        return self.health.standing(id, self.clock.monotonic()).state

    def why(self, id: str) -> str:
        return self.health.standing(id, self.clock.monotonic()).why


# --- probes


def test_probes_take_a_provider_out_and_one_brings_it_back(caplog: pytest.LogCaptureFixture) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, PROBED, "up/small", "up/large", "other/small") as stage:
            await stage.clock.sleep(100)
            assert stage.up.journal.requests in (3, 4)
            assert {seen.method + seen.path for seen in stage.up.journal.log} == {"GET/v1/models"}
            assert stage.state("up/small") == "ready"
            stage.up.script = "status=503"
            await stage.clock.sleep((FALL - 1) * 33)
            assert stage.state("up/small") == "ready", "two failures are no outage"
            await stage.clock.sleep(35)
            assert stage.state("up/small") == stage.state("up/large") == "unreachable"
            assert stage.state("other/small") == "ready"
            assert "probes in a row failed: it answers 503" in stage.why("up/small")
            assert stage.metrics.probe_up.series[("up",)] == 0
            await stage.clock.sleep(600)
            assert stage.state("up/small") == "unreachable"
            stage.up.script = ""
            await stage.clock.sleep(34)
            assert stage.state("up/small") == stage.state("up/large") == "ready"
            assert stage.metrics.probe_up.series[("up",)] == 1

    with caplog.at_level(logging.WARNING):
        run(main, seed=1, leak_free=True)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2, told
    assert "unreachable" in told[0]
    assert "there again" in told[1]


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("silence", "upstream_timeout"),
        ("reset=before_headers", "unavailable"),
        ("status=500", "it answers 500"),
        ("endless_line", "upstream_timeout|no HTTP|protocol"),
    ],
)
def test_what_counts_as_a_failure(script: str, told: str) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, PROBED, "up/small") as stage:
            stage.up.script = script
            await stage.clock.sleep(FALL * 55)
            assert stage.state("up/small") == "unreachable"
            assert any(word in stage.why("up/small") for word in told.split("|")), stage.why("up/small")

    run(main, seed=2, leak_free=True)


@pytest.mark.parametrize("script", ["status=404", "status=429", "html"])
def test_what_answers_is_there(script: str) -> None:
    """A provider without a list of models, or one that has had enough of us, can be reached."""

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, PROBED, "up/small") as stage:
            stage.up.script = script
            await stage.clock.sleep(300)
            assert stage.state("up/small") == "ready"

    run(main, seed=3, leak_free=True)


def test_a_refused_key_suspends_it_and_an_accepted_one_ends_that() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, PROBED, "up/small") as stage:
            stage.up.key = "another"
            await stage.clock.sleep(34)
            assert stage.state("up/small") == "suspended"
            stage.up.key = ENV["UP_KEY"]
            await stage.clock.sleep(34)
            assert stage.state("up/small") == "ready"

    run(main, seed=4, leak_free=True)


def test_what_a_probe_said_lapses_with_the_lookout() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, PROBED, "up/small") as stage:
            stage.up.script = "status=503"
            await stage.clock.sleep(FALL * 34)
            assert stage.state("up/small") == "unreachable"
            await stage.lookout.aclose()
            await stage.clock.sleep(100)
            assert stage.state("up/small") == "ready"

    run(main, seed=5, leak_free=True)


def test_probes_of_many_gateways_do_not_come_together() -> None:
    async def main(loop: SimLoop) -> list[float]:
        async with Stage(loop, PROBED) as stage:
            await stage.clock.sleep(300)
            return [seen.time - 1000 for seen in stage.up.journal.log]

    times = [run(main, seed=seed) for seed in range(20)]
    assert max(each[0] for each in times) > 20
    assert min(each[0] for each in times) < 10
    gaps = [after - before for each in times for before, after in pairwise(each)]
    assert 30 * (1 - JITTER) - 0.1 <= min(gaps) < 28
    assert 32 < max(gaps) <= 30 * (1 + JITTER) + 0.1


# --- rehearsals


def test_each_target_and_fallback_gives_one_token() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED, "up/small", "far/large", "up/embed") as stage:
            await stage.clock.sleep(FIRST_SECONDS + 1)
            assert set(stage.lookout.rehearsed) == {"up/small", "far/large"}
            assert all(one.ok for one in stage.lookout.rehearsed.values())
            assert (stage.up.journal.requests, stage.far.journal.requests) == (1, 1)
            assert b'"max_tokens":1' in stage.up.journal.log[0].body
            assert b'"max_tokens":1' in stage.far.journal.log[0].body
            assert stage.far.journal.log[0].path == "/v1/messages"
            assert stage.lookout.rehearsed["far/large"].models == ("fast", "behind")
            await stage.clock.sleep(3600 * 5)
            assert 5 <= stage.up.journal.requests <= 7

    run(main, seed=1, leak_free=True)


@pytest.mark.parametrize(
    ("script", "code", "state"),
    [
        ("status=401", "upstream_credential", "suspended"),
        ("status=429,code=insufficient_quota", "upstream_quota", "exhausted"),
        ("status=404", "upstream_not_found", "misconfigured"),
        ("status=503", "unavailable", "ready"),  # traffic and probes know better than one token
        ("status=429", "upstream_rate_limited", "ready"),
        ("silence", "upstream_timeout", "ready"),
    ],
)
def test_what_is_dead_is_told_before_it_is_needed(
    script: str, code: str, state: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED, "up/small", "far/large") as stage:
            stage.up.script = script
            await stage.clock.sleep(FIRST_SECONDS + FRESH_SECONDS)
            (found,) = await stage.lookout.rehearse("up/small")
            assert (found.ok, found.code) == (False, code)
            assert found.do
            assert stage.state("up/small") == state
            assert stage.metrics.rehearsal_ok.series == {("up/small",): 0, ("far/large",): 1}
            stage.up.script = ""
            await stage.clock.sleep(FRESH_SECONDS)
            (found,) = await stage.lookout.rehearse("up/small")
            assert (found.ok, found.code) == (True, "")
            assert stage.state("up/small") == "ready"
            assert stage.metrics.rehearsal_ok.series[("up/small",)] == 1

    with caplog.at_level(logging.WARNING):
        run(main, seed=2, leak_free=True)
    told = [record.getMessage() for record in caplog.records]
    assert any(f"up/small would not answer: {code}" in line for line in told), told
    assert any("up/small answers again" in line for line in told), told
    assert not any(secret in line for secret in ENV.values() for line in told)


def test_a_refusal_of_so_small_a_request_shows_that_it_answers() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED, "up/small") as stage:
            stage.up.script = "status=400"
            (found,) = await stage.lookout.rehearse("up/small")
            assert found.ok
            assert "so small a request" in found.told

    run(main, seed=3, leak_free=True)


def test_a_model_of_vectors_gives_a_vector() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED) as stage:
            found = await stage.lookout.rehearse()
            assert [(one.deployment, one.ok) for one in found] == [
                ("up/small", True), ("far/large", True), ("up/embed", True),
            ]  # fmt: skip
            assert stage.up.journal.log[-1].path == "/v1/embeddings"
            assert all(one.cost is None for one in found), "nobody knows what they cost"

    run(main, seed=4, leak_free=True)


def test_what_rehearsals_cost_is_counted() -> None:
    priced = {**REHEARSED, "prices": {"*": {"input": 1, "output": 10}}}

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, priced) as stage:
            (found,) = await stage.lookout.rehearse("up/small")
            assert found.cost is not None
            assert 10_000 <= found.cost <= 30_000, "a token out and a few in, in nano-dollars"
            assert stage.metrics.rehearsal_cost.series[("up/small",)] == found.cost / 1e9

    run(main, seed=5, leak_free=True)


@pytest.mark.parametrize(("order", "asked"), [("drain", True), ("isolate", False)])
def test_what_is_isolated_is_left_alone(order: Order, asked: bool) -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED, "up/small") as stage:
            stage.health.order("up/small", order, loop.time())
            await stage.clock.sleep(FIRST_SECONDS + 1)
            assert (stage.up.journal.requests > 0) is asked

    run(main, seed=10, leak_free=True)


def test_who_asks_in_haste_spends_nothing() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED) as stage:
            first = await stage.lookout.rehearse()
            assert await stage.lookout.rehearse() == first
            assert await stage.lookout.rehearse("up/small") == first[:1]
            assert stage.up.journal.requests + stage.far.journal.requests == 3
            await stage.clock.sleep(FRESH_SECONDS)
            await stage.lookout.rehearse("up/small")
            assert stage.up.journal.requests + stage.far.journal.requests == 4

    run(main, seed=9, leak_free=True)


def test_a_reload_begins_no_new_round() -> None:
    """What has been rehearsed within its interval is not asked again because a file was saved."""

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED, "up/small") as stage:
            await stage.clock.sleep(FIRST_SECONDS + 1)
            for _ in range(20):
                stage.lookout.adopt(stage.read(REHEARSED))
                await stage.clock.sleep(120)
            assert stage.up.journal.requests == 1
            await stage.clock.sleep(1800)
            assert stage.up.journal.requests == 2
            stage.lookout.adopt(stage.read({**PROBED, "defaults": {"rehearse": "2h"}}))
            assert set(stage.lookout.rehearsed) == {"up/small"}

    run(main, seed=6, leak_free=True)


def test_a_reload_does_not_cut_a_rehearsal_that_was_asked_for() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED) as stage:
            stage.up.script = "head=2s"
            asked = loop.create_task(stage.lookout.rehearse("up/small"))
            await stage.clock.sleep(1)
            stage.lookout.adopt(stage.read(REHEARSED))
            assert [one.ok for one in await asked] == [True]
            with pytest.raises(KeyError):
                await stage.lookout.rehearse("up/nothing")

    run(main, seed=7, leak_free=True)


def test_of_several_keys_each_is_told_apart() -> None:
    keys = [{"name": "a", "api_key": "env:UP_KEY"}, {"name": "b", "api_key": "env:OTHER_KEY"}]
    pooled = {"kind": "openai", "base_url": "http://up:8000/v1", "credentials": keys, "probe": "30s"}
    config = {"auth": "open", "providers": {"up": pooled}, "models": {"fast": {"targets": ["up/small"]}}}

    async def main(loop: SimLoop) -> None:
        async with Stage(loop, config) as stage:
            for name in "ab":
                stage.health.adopt(f"up/small#{name}", f"up#{name}", None, loop.time())
            await stage.clock.sleep(34)
            assert [stage.state(f"up/small#{name}") for name in "ab"] == ["ready", "suspended"]
            assert stage.lookout.providers["up"].refused == ("b",)
            stage.up.key = ENV["OTHER_KEY"]
            await stage.clock.sleep(34)
            assert [stage.state(f"up/small#{name}") for name in "ab"] == ["suspended", "ready"]

    run(main, seed=8, leak_free=True)


def test_what_an_operator_isolated_is_not_rehearsed_and_what_is_drained_is() -> None:
    async def main(loop: SimLoop) -> None:
        async with Stage(loop, REHEARSED, "up/small", "far/large") as stage:
            stage.health.order("up/small", "isolate", stage.clock.monotonic())
            stage.health.order("far/large", "drain", stage.clock.monotonic())
            await stage.clock.sleep(3 * 3600)
            assert stage.up.journal.requests == 0
            assert stage.far.journal.requests >= 2
            stage.health.order("up/small", "restore", stage.clock.monotonic())
            await stage.clock.sleep(2 * 3600)
            assert stage.up.journal.requests >= 1

    run(main, seed=7, leak_free=True)
