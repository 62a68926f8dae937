"""SimLoop runs ordinary asyncio code in virtual time, the same way for the same seed."""

from __future__ import annotations

import asyncio
import gc
import itertools
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import pytest

from penstock.testing import Faults, Link, SimDeadlock, SimLoop, SimTimeout, draw_faults, pipe, run

START = 1000.0
LOSSLESS = Faults(
    up=Link(latency=0.01, jitter=0.02, chunking="random"), down=Link(latency=0.01, jitter=0.02, chunking="random")
)


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while line := await reader.readline():
        writer.write(b"echo " + line)
        await writer.drain()
    writer.close()
    await writer.wait_closed()


async def ask(client: int, questions: int) -> list[bytes]:
    reader, writer = await asyncio.open_connection("server", 80)
    answers = []
    for number in range(questions):
        writer.write(b"client %d asks %d\n" % (client, number))
        answers.append(await reader.readline())
    writer.close()
    await writer.wait_closed()
    return answers


async def conversation(loop: SimLoop, clients: int = 3, questions: int = 5) -> str:
    server = await asyncio.start_server(answer, "server", 80)
    async with server, asyncio.TaskGroup() as group:
        tasks = [group.create_task(ask(client, questions)) for client in range(clients)]
    for client, task in enumerate(tasks):
        assert task.result() == [b"echo client %d asks %d\n" % (client, number) for number in range(questions)]
    return loop.trace_digest()


def test_streams_and_servers_over_a_bad_network() -> None:
    for seed in range(20):
        run(conversation, seed, faults=draw_faults(Random(seed)), leak_free=True)


def test_the_same_seed_gives_the_same_trace_and_another_gives_another() -> None:
    digests = [run(conversation, seed, faults=LOSSLESS) for seed in (1, 2, 3)]
    assert [run(conversation, seed, faults=LOSSLESS) for seed in (1, 2, 3)] == digests
    assert len(set(digests)) == 3


def test_the_trace_does_not_depend_on_hashes_or_addresses() -> None:
    code = (
        "from tests.simulation.test_simloop import *;"
        "print(run(conversation, 7, faults=LOSSLESS), run(cancelled_group, 7))"
    )
    other = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout == f"{run(conversation, 7, faults=LOSSLESS)} {run(cancelled_group, 7)}\n"


async def cancelled_group(loop: SimLoop) -> list[int]:
    """The order in which a TaskGroup, which keeps a set, cancels its tasks."""
    ended = []

    async def member(number: int) -> None:
        try:
            await loop.clock.sleep(10)
        finally:
            ended.append(number)

    try:
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(member(number))
            await loop.clock.sleep(1)
            raise ValueError
    except* ValueError:
        pass
    return ended


def test_time_is_virtual() -> None:
    async def main(loop: SimLoop) -> None:
        assert loop.time() == START
        await loop.clock.sleep(3600)
        assert loop.time() == START + 3600
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(60):
                await asyncio.Event().wait()
        assert loop.time() == START + 3660
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 40)
        assert loop.time() == START + 3700

    begun = time.perf_counter()
    run(main, leak_free=True)
    assert time.perf_counter() - begun < 5


def test_call_soon_is_first_in_first_out_and_timers_go_by_time() -> None:
    async def main(loop: SimLoop) -> list[int]:
        order: list[int] = []
        for number in range(20):
            loop.call_soon(order.append, number)
        loop.call_later(0.2, order.append, 21)
        loop.call_later(0.1, order.append, 20)
        loop.call_later(0.15, order.append, 99).cancel()
        await loop.clock.sleep(1)
        return order

    for seed in range(5):
        assert run(main, seed) == list(range(22))


def test_the_order_of_one_moments_timers_is_left_to_the_seed() -> None:
    async def main(loop: SimLoop) -> tuple[int, ...]:
        order: list[int] = []
        for number in range(10):
            loop.call_at(START + 1, order.append, number)
        await loop.clock.sleep(2)
        return tuple(order)

    orders = [run(main, seed) for seed in range(5)]
    assert len(set(orders)) == 5
    assert {tuple(sorted(order)) for order in orders} == {tuple(range(10))}
    assert run(main, 3, shuffle=False) == tuple(range(10))


def test_cancelled_timers_do_not_pile_up() -> None:
    async def main(loop: SimLoop) -> None:
        for _ in range(2_000):
            loop.call_later(75, print).cancel()
        assert len(loop._timers) < 600

    run(main, leak_free=True)


def test_a_deadlock_names_who_waits_and_where() -> None:
    async def stuck() -> None:
        await asyncio.Event().wait()

    async def main(loop: SimLoop) -> None:
        task = loop.create_task(stuck(), name="the stuck one")
        await task

    with pytest.raises(SimDeadlock, match=r"the stuck one at locks\.py:\d+ in Event\.wait"):
        run(main)


def test_a_run_without_an_end_is_stopped() -> None:
    async def spin(loop: SimLoop) -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    async def wait(loop: SimLoop) -> None:
        for _ in itertools.count():
            await loop.clock.sleep(1)

    with pytest.raises(SimTimeout, match="1000 callbacks"):
        run(spin, max_steps=1000)
    with pytest.raises(SimTimeout, match=r"60 virtual seconds.*in sleep"):
        run(wait, max_seconds=60)


def test_leaks_names_transports_tasks_and_timers() -> None:
    async def main(loop: SimLoop) -> list[str]:
        await asyncio.start_server(answer, "server", 80)
        _, writer = await asyncio.open_connection("server", 80)
        ends = pipe(loop, asyncio.Protocol(), asyncio.Protocol())
        timer = loop.call_later(5, print)
        task = loop.create_task(loop.clock.sleep(60), name="forgotten")
        await loop.settle()
        found = loop.leaks()
        timer.cancel()
        task.cancel()
        ends[0].close()
        writer.close()
        await loop.settle()
        assert loop.leaks() == []
        return found

    leaks = run(main, leak_free=True)
    assert len([leak for leak in leaks if "MemoryTransport" in leak]) == 4
    assert any(leak.startswith("forgotten at ") for leak in leaks)
    assert any(leak.startswith("in 5 s: ") for leak in leaks)


def test_run_fails_on_a_leak_only_where_asked() -> None:
    async def main(loop: SimLoop) -> None:
        loop.call_later(60, print)

    run(main)
    with pytest.raises(AssertionError, match="seed 4: leaked: in 59 s"):
        run(main, 4, leak_free=True)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_run_fails_on_errors_nobody_handled() -> None:
    async def from_a_callback(loop: SimLoop) -> None:
        loop.call_soon(lambda: 1 // 0)
        await loop.clock.sleep(1)

    async def from_a_kept_task(loop: SimLoop) -> None:
        async def fail() -> None:
            raise ValueError("lost")

        loop.set_exception_handler(lambda _, context: heard.append(context["message"]))
        keep.append(loop.create_task(fail()))

    keep: list[asyncio.Task[None]] = []
    heard: list[str] = []
    with pytest.raises(AssertionError, match="ZeroDivisionError") as caught:
        run(from_a_callback)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with pytest.raises(AssertionError, match="task-2 failed unheard: ValueError"):
        run(from_a_kept_task)
    assert heard == []


def test_run_ends_what_main_left_behind() -> None:
    ended = []

    async def main(loop: SimLoop) -> None:
        async def forgotten() -> None:
            try:
                await loop.clock.sleep(1000)
            finally:
                ended.append("task")

        async def endless() -> None:
            async for _ in numbers():
                await asyncio.Event().wait()

        async def numbers() -> AsyncIterator[int]:
            try:
                yield 1
            finally:
                ended.append("generator")

        keep.extend((loop.create_task(forgotten()), loop.create_task(endless())))
        await loop.settle()

    keep: list[object] = []
    run(main)
    gc.collect()
    assert sorted(ended) == ["generator", "task"]


def test_executors_run_inline_and_still_suspend() -> None:
    async def main(loop: SimLoop) -> None:
        order: list[str] = []
        loop.call_soon(order.append, "other")
        assert await asyncio.to_thread(lambda: order.append("thread") or 7) == 7  # type: ignore[func-returns-value]
        assert order == ["thread", "other"]
        with pytest.raises(ZeroDivisionError):
            await loop.run_in_executor(None, lambda: 1 // 0)
        loop.call_soon_threadsafe(order.append, "safe")
        await loop.settle()
        assert order[-1] == "safe"

    run(main, leak_free=True)


def test_signals_are_recorded_and_raised_by_the_test() -> None:
    async def main(loop: SimLoop) -> None:
        stop = asyncio.Event()
        loop.add_signal_handler(signal.SIGTERM, stop.set)
        loop.call_later(5, loop.raise_signal)
        await stop.wait()
        assert loop.time() == START + 5
        assert loop.remove_signal_handler(signal.SIGTERM)
        assert not loop.remove_signal_handler(signal.SIGTERM)
        with pytest.raises(KeyError):
            loop.raise_signal(signal.SIGTERM)

    run(main, leak_free=True)


def test_names_resolve_without_a_resolver() -> None:
    async def main(loop: SimLoop) -> None:
        first = await loop.getaddrinfo("api.example.com", 443, type=socket.SOCK_STREAM)
        assert first == await loop.getaddrinfo(b"api.example.com", "443")
        address = first[0][4][0]
        assert first == [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, 443))]
        assert await loop.getaddrinfo("::1", 80) == [
            (socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("::1", 80, 0, 0))
        ]
        assert await loop.getnameinfo(("10.0.0.1", 80)) == ("10.0.0.1", "80")
        await asyncio.start_server(answer, "api.example.com", 443)
        _, writer = await asyncio.open_connection(address, 443)
        writer.close()

    run(main, leak_free=True)


def test_there_is_no_tls_and_no_socket() -> None:
    async def main(loop: SimLoop) -> None:
        with pytest.raises(NotImplementedError, match="ssl"):
            await asyncio.open_connection("server", 443, ssl=True)
        with pytest.raises(NotImplementedError, match="sock"):
            await loop.create_server(asyncio.Protocol, sock=object())
        server = await loop.create_server(asyncio.Protocol, "server", 80, ssl=None, start_serving=False)
        assert not server.is_serving()
        await server.start_serving()
        assert server.is_serving()
        server.close()
        await server.start_serving()
        assert not server.is_serving()

    run(main, leak_free=True)


def test_serve_forever_ends_with_its_task() -> None:
    async def main(loop: SimLoop) -> None:
        server = await asyncio.start_server(answer, "server", 80, start_serving=False)
        task = loop.create_task(server.serve_forever())
        assert await ask(1, 1) == [b"echo client 1 asks 0\n"]
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        with pytest.raises(ConnectionRefusedError):
            await ask(1, 1)

    run(main, leak_free=True)


def _waits_for(moment: float) -> Callable[[SimLoop], Awaitable[float]]:
    async def main(loop: SimLoop) -> float:
        await loop.clock.sleep(moment)
        return loop.time()

    return main


def test_runs_do_not_touch_each_other() -> None:
    assert [run(_waits_for(moment)) for moment in (1.0, 2.0)] == [START + 1, START + 2]
