"""What of a configuration's limits becomes which layer, and what of it outlives the configuration."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from penstock.call import Frame, Reply, stack
from penstock.clock import Ids
from penstock.config.load import load_config
from penstock.errors import Overloaded, RateLimited
from penstock.gateway.limiting import Given, Limiting
from penstock.layers.trace import Opening
from penstock.messages import Caller, Request
from penstock.metrics import Metrics
from penstock.stores.purse import open_purse
from penstock.stores.state import Registry
from penstock.stores.strain import Strain
from penstock.stores.treasury import Treasury
from penstock.testing import SeededRandom, SimLoop, run

BASE: dict[str, Any] = {"providers": {"sim": {}}, "models": {"fast": {"targets": ["sim/small"]}}, "auth": "open"}


class Process:
    """What there is in a process, and the limits of its configurations."""

    def __init__(self, loop: SimLoop, *, strain: Strain | None = None) -> None:
        self.loop = loop
        self.pressure: dict[str, float] = {}
        self.metrics = Metrics()
        self.treasury = Treasury(loop.clock)
        purse = open_purse(self.treasury, loop.clock)
        self.given = Given(Registry(), purse, strain=strain, pressure=lambda account: self.pressure.get(account, 0.0))
        self.opening = Opening(Ids(loop.clock, SeededRandom(1)), loop.clock)

    def adopt(self, **more: Any) -> Limiting:
        config = load_config({**BASE, **more}, {})
        self.treasury.adopt(config.rules)
        self.given.purse.adopt(config.rules)
        self.limiting = Limiting(config, self.loop.clock, self.metrics, self.given)
        self.call = stack(list(self.limiting.layers.values()), self.answer)
        return self.limiting

    async def answer(self, request: Request) -> Reply:
        return Reply(200, b"", Frame(b"x", lambda data: []))

    async def ask(self, model: str = "fast", prompt: str = "Hi", **facts: Any) -> None:
        record = self.opening.record("chat")
        record.model = model
        for name, value in facts.items():
            setattr(record, name, value)
        fields = {"messages": msgspec.Raw(msgspec.json.encode([prompt]))}
        (await self.call(Request("openai_chat", model, False, fields, Caller(), record))).close()


@pytest.mark.parametrize(
    ("more", "layers"),
    [
        ({}, []),
        ({"admission": "off"}, []),
        ({"admission": {"loop_lag": "50ms"}}, []),
        ({"admission": {"most": 5}}, ["admission"]),
        ({"admission": {"repeats": {"same": 5}}}, ["admission"]),
        ({"limits": [{"scope": "user", "concurrency": 5}]}, ["admission"]),
        ({"limits": [{"scope": "user", "requests": "5/min"}]}, ["rate_limit"]),
        ({"limits": [{"scope": "user", "tokens": "5k/min", "concurrency": 2}]}, ["admission", "rate_limit"]),
        ({"limits": [{"scope": "provider", "tokens": "5k/min", "concurrency": 2}]}, []),
        ({"budgets": [{"scope": "user", "limit": "5 USD/day"}]}, []),
        ({"budgets": [{"scope": "user", "limit": "5 USD/day", "hard": False, "on_soft": "throttle"}]}, ["rate_limit"]),
    ],
)
def test_a_layer_is_there_only_where_it_has_something_to_do(more: dict[str, Any], layers: list[str]) -> None:
    async def main(loop: SimLoop) -> None:
        limiting = Process(loop).adopt(**more)
        assert list(limiting.layers) == layers
        assert (limiting.seating is not None) == ("provider" in str(more))

    run(main)


def test_under_serve_the_process_is_looked_at_unless_admission_is_off() -> None:
    async def main(loop: SimLoop) -> None:
        strain = Strain(loop.clock)
        process = Process(loop, strain=strain)
        assert list(process.adopt().layers) == ["admission"]
        assert (strain.lag, process.limiting.strain) == (0.2, strain)
        strain.level = 4.0
        with pytest.raises(Overloaded, match="more to do than it can"):
            await process.ask()
        process.adopt(admission={"loop_lag": "20ms"})
        assert strain.lag == 0.02
        process.adopt(admission="off")
        assert process.limiting.strain is None
        await process.ask()

    run(main)


def test_a_call_that_names_no_model_is_for_the_one_that_it_gets() -> None:
    async def main(loop: SimLoop) -> None:
        process = Process(loop)
        process.adopt(limits=[{"scope": "model", "match": "fast", "requests": "1/h"}], default_model="fast")
        await process.ask("")
        for model in ("fast", ""):
            with pytest.raises(RateLimited, match="for model 'fast'"):
                await process.ask(model)
        await process.ask("sim/small")

    run(main)


def test_a_budget_that_runs_short_slows_its_calls_down() -> None:
    async def main(loop: SimLoop) -> None:
        process = Process(loop)
        soft = {"scope": "tenant", "limit": "5 USD/day", "hard": False, "on_soft": "throttle"}
        process.adopt(budgets=[soft])
        [rule] = load_config({**BASE, "budgets": [soft]}, {}).rules
        for _ in range(200):
            await process.ask(tenant="acme")
            await loop.clock.sleep(0.5)
        process.pressure[f"{rule.id}|acme"] = 0.75
        began = loop.time()
        for _ in range(20):
            await process.ask(tenant="acme")
        assert loop.time() - began == pytest.approx(19 * 2.0, rel=0.15), "two a second, and now one every two seconds"
        began = loop.time()
        await process.ask(tenant="other")
        assert loop.time() == began

    run(main)


def test_a_reload_keeps_who_runs_and_what_repeats() -> None:
    async def main(loop: SimLoop) -> None:
        process = Process(loop)
        limits = [{"scope": "user", "concurrency": 1}]
        admission = {"repeats": {"same": 2, "per": "1m"}}
        process.adopt(limits=limits, admission=admission)

        async def nested(request: Request) -> Reply:
            process.adopt(limits=limits, admission=admission, default_model="fast")
            with pytest.raises(RateLimited, match="1 calls at a time"):
                await process.ask(user="u", prompt="other")
            return Reply(200, b"", Frame(b"x", lambda data: []))

        process.call = stack(list(process.limiting.layers.values()), nested)
        await process.ask(user="u")
        await process.ask(user="u")
        with pytest.raises(RateLimited, match="same prompt"):
            await process.ask(user="u")

    run(main)


def test_tenants_weigh_what_the_configuration_says() -> None:
    async def main(loop: SimLoop) -> None:
        limiting = Process(loop).adopt(tenants=[{"name": "acme", "weight": 3}])
        assert (limiting.weigh("acme"), limiting.weigh("other"), limiting.weigh("")) == (3.0, 1.0, 1.0)

    run(main)
