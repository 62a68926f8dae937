"""Renewing the workers when asked: once at a time, and what became of it is told."""

from __future__ import annotations

import asyncio

from penstock.errors import PenstockError
from penstock.server.renewal import Renewal
from penstock.testing import SimLoop
from penstock.testing.simloop import run


def test_once_at_a_time_and_told() -> None:
    async def main(loop: SimLoop) -> None:
        told: list[str] = []
        go = asyncio.Event()
        failures: list[Exception] = []
        times = 0

        async def renew() -> None:
            nonlocal times
            times += 1
            await go.wait()
            if failures:
                raise failures.pop()

        renewal = Renewal(renew, told.append)
        renewal.ask()
        await loop.settle()
        renewal.ask()
        assert told.pop() == "the workers are being renewed already"
        go.set()
        await loop.settle()
        assert told.pop() == "every worker was renewed"
        for failure in (PenstockError("a new one did not come up"), OSError("no more processes")):
            failures.append(failure)
            renewal.ask()
            await loop.settle()
            assert told.pop() == f"the workers were not all renewed: {failure}"
        assert times == 3
        go.clear()
        renewal.ask()
        await loop.settle()
        renewal.close()
        await loop.settle()
        assert told == []
        renewal.ask()
        await loop.settle()
        assert told == ["the workers are not renewed any more: the gateway stops"]
        assert times == 4

    run(main, leak_free=True)
