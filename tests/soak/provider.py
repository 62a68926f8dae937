"""A simulated provider as a process of its own: prints its base URL, and ends with its standard input."""

from __future__ import annotations

import asyncio
import sys

import uvloop

from penstock.clock import SystemClock
from penstock.providers.simulated import SimulatedProvider
from penstock.testing import SimulatedServer


async def main() -> None:
    async with SimulatedServer(SimulatedProvider(SystemClock(), keep=0)) as server:
        print(server.base_url, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
