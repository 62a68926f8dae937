"""The lookout, cancelled at every await, and with every operation of the network failing once: it looks on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from penstock.server.lookout import FIRST_SECONDS
from penstock.testing import Cancel, SimLoop, sweep_failures, sweep_scenario
from tests.server.test_lookout import PROBED, REHEARSED, Stage

BOTH: dict[str, Any] = {
    **REHEARSED,
    "providers": {**REHEARSED["providers"], "up": PROBED["providers"]["up"]},  # type: ignore[dict-item,index]
}


async def a_probe(stage: Stage) -> None:
    await stage.lookout.probe("up")


async def a_rehearsal(stage: Stage) -> None:
    await stage.lookout.rehearse()


async def a_reload(stage: Stage) -> None:
    stage.lookout.adopt(stage.read(BOTH))
    await stage.lookout.rehearse("up/small")
    stage.lookout.adopt(stage.read(PROBED))


async def an_end(stage: Stage) -> None:
    await stage.lookout.aclose()


@pytest.mark.parametrize("act", [a_probe, a_rehearsal, a_reload, an_end], ids=lambda act: act.__name__)
@pytest.mark.parametrize("script", ["", "head=1s", "status=401"])
def test_cancelled_at_every_await(act: Callable[[Stage], Awaitable[None]], script: str) -> None:
    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        async with Stage(loop, BOTH, "up/small", "far/large") as stage:
            stage.up.script = stage.far.script = script
            await cancel(_awaited(act(stage)))
            stage.up.script = stage.far.script = ""
            await stage.clock.sleep(100)
            stage.lookout.adopt(stage.read(BOTH))
            assert all(one.ok for one in await stage.lookout.rehearse())

    assert sweep_scenario(scenario) >= 1


async def _awaited(work: Awaitable[None]) -> None:
    await work


def test_every_operation_fails_once() -> None:
    """Whatever fails, probes and rehearsals go on; a failure alone takes nobody out."""

    async def scenario(loop: SimLoop) -> None:
        async with Stage(loop, BOTH, "up/small", "far/large") as stage:
            await stage.clock.sleep(FIRST_SECONDS + 35)
            stage.lookout.adopt(stage.read(BOTH))
            await stage.clock.sleep(65)
            assert stage.state("up/small") == "ready"
            first = await stage.lookout.rehearse()
            await stage.clock.sleep(30)
            again = await stage.lookout.rehearse()
            assert [one.deployment for one in first] == [one.deployment for one in again]
            # One of two was answered: it may be this one whose operation failed.
            assert all(one.ok or other.ok for one, other in zip(first, again, strict=True))

    failed = sweep_failures(scenario)
    assert {"resolve", "connect", "send", "receive"} <= set(failed), failed
