"""Many simulated providers as a process of their own, and its handle: `python -m tests.sixteen.crowd`.

It reads one line, a JSON object of names and fault scripts; prints one, of names and ports; then answers every further
line with what each has seen. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Self

import uvloop

from penstock.clock import SystemClock
from penstock.providers.simulated import SimulatedProvider
from penstock.testing import SimulatedServer
from tests.end_to_end.process import SECONDS, environment
from tests.sixteen.story import Asked

__all__ = ["Crowd"]


class Crowd:
    """The process, for as long as the `with` block runs.

    Args:
        scripts: of each provider by its name.

    Attributes:
        ports: theirs, on loopback.
    """

    def __init__(self, scripts: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.sixteen.crowd"],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ports: dict[str, int] = json.loads(self._exchange(json.dumps(scripts)))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(SECONDS)
        self._process.stdout.close()

    def seen(self) -> dict[str, list[Asked]]:
        """What each has seen so far, by monotonic time, which is one for all processes of a machine."""
        found: dict[str, list[tuple[float, str, bool]]] = json.loads(self._exchange(""))
        return {name: [Asked(*one) for one in seen] for name, seen in found.items()}

    def _exchange(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


def _say(what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def main() -> None:
    loop = asyncio.get_running_loop()
    scripts: dict[str, str] = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    clock = SystemClock()
    providers = {name: SimulatedProvider(clock, script=script, keep=1000) for name, script in scripts.items()}
    async with AsyncExitStack() as servers:
        ports = {}
        for name, provider in providers.items():
            server = await servers.enter_async_context(SimulatedServer(provider))
            ports[name] = server.port
        _say(ports)
        while await loop.run_in_executor(None, sys.stdin.readline):
            seen = {
                name: [(one.time, one.outcome, one.stream) for one in provider.journal.log if one.method == "POST"]
                for name, provider in providers.items()
            }
            _say(seen)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
