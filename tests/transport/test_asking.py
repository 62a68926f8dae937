"""The system's resolver beside real loops: one name that hangs holds up neither other names nor the process's end."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from penstock.clock import SystemClock
from penstock.transport.asking import look_up
from penstock.transport.dns import Resolver
from tests.end_to_end.process import environment

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "asyncio": asyncio.SelectorEventLoop,
    "uvloop": uvloop.new_event_loop,
}
KNOWN = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 443))]
# More than any pool of threads would have.
MANY = 80


@pytest.fixture(params=sorted(LOOPS))
def factory(request: pytest.FixtureRequest) -> Callable[[], asyncio.AbstractEventLoop]:
    return LOOPS[request.param]


def test_names_that_hang_hold_up_no_other(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    answered = threading.Event()

    def ask(host: str, port: int, *_hints: Any) -> list[Any]:
        if host.startswith("hangs"):
            answered.wait(60)
        return KNOWN

    async def main() -> None:
        names = Resolver(SystemClock(), lambda door, addresses: None, ask)
        asking = [asyncio.ensure_future(names.addresses((f"hangs-{number}", 443))) for number in range(MANY)]
        await asyncio.sleep(0)
        async with asyncio.timeout(20):
            assert await names.addresses(("provider", 443)) == ("10.0.0.1",)
        assert not any(task.done() for task in asking)
        answered.set()
        async with asyncio.timeout(20):
            assert set(await asyncio.gather(*asking)) == {("10.0.0.1",)}

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_what_it_raises_is_raised_here(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def ask(host: str, port: int, *_hints: Any) -> list[Any]:
        raise {"gai": socket.gaierror(socket.EAI_NONAME, "not known"), "unicode": UnicodeError("label too long")}[host]

    async def main() -> None:
        with pytest.raises(OSError, match="not known"):
            await look_up("gai", 443, ask)
        with pytest.raises(OSError, match="no name that can be looked up"):
            await look_up("unicode", 443, ask)

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


def test_an_address_needs_no_question(factory: Callable[[], asyncio.AbstractEventLoop]) -> None:
    def ask(host: str, port: int, *_hints: Any) -> list[Any]:
        raise AssertionError

    async def main() -> None:
        assert [answer[4][0] for answer in await look_up("10.0.0.7", 443, ask)] == ["10.0.0.7"]
        assert [answer[4][0] for answer in await look_up("fd00::7", 443, ask)] == ["fd00::7"]

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main())


ENDS = """
import asyncio, sys, threading, uvloop
from penstock.transport.asking import look_up

async def main():
    asked = threading.Event()
    def ask(*_):
        asked.set()
        threading.Event().wait()  # a resolver that never answers
    task = asyncio.ensure_future(look_up("provider", 443, ask))
    await asyncio.to_thread(asked.wait)
    task.cancel()

factory = uvloop.new_event_loop if sys.argv[1] == "uvloop" else asyncio.SelectorEventLoop
with asyncio.Runner(loop_factory=factory) as runner:
    runner.run(main())
print("ended")
"""


@pytest.mark.parametrize("name", sorted(LOOPS))
def test_a_process_ends_without_waiting_for_an_answer(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS, name], env=environment(), capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ended\n", "")
