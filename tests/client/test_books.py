"""The library with `state: sqlite:///...`: the same books as a gateway's; without it nothing is written."""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from penstock import BudgetExceeded, ConfigError, Overloaded, Penstock, PenstockError, RateLimited, SyncPenstock
from penstock.cli.usage import command
from penstock.client.engines import Engines, open_engine
from penstock.clock import SystemClock
from penstock.config.load import load_config
from penstock.stores.lock import FILE, StateLock
from penstock.stores.recompute import differences
from penstock.testing import SeededRandom, SimLoop
from penstock.testing.sweep import Cancel, sweep_scenario

SIM: dict[str, Any] = {
    "providers": {"sim": {}},
    "auth": "open",
    "prices": {"sim/small": {"input": 100, "output": 1000}},
    "default_model": "sim/small",
}
ATTEMPTS = "SELECT request, number, user, task, outcome, input_tokens, output_tokens, cost, flags FROM attempts"

# What another process does, with the configuration that it is given.
HOLDS = """
import ast, sys
from penstock import SyncPenstock
with SyncPenstock(ast.literal_eval(sys.argv[1])) as llm:
    llm.generate("Hello")
    print("held", flush=True)
    input()
"""
DIES = """
import ast, os, signal, sys
from penstock import SyncPenstock
llm = SyncPenstock(ast.literal_eval(sys.argv[1]))
llm.generate("Hello")
events = iter(llm.stream("Hello", model="sim/small:stall=5"))
next(events)
os.kill(os.getpid(), signal.SIGKILL)
"""


def kept(folder: Path, **more: Any) -> dict[str, Any]:
    return {**SIM, "state": f"sqlite:///{folder}/p.db", **more}


def ask(config: dict[str, Any], times: int = 1, **options: Any) -> list[Any]:
    async def work() -> list[Any]:
        async with Penstock(config) as llm:
            return [await llm.generate("Hello", **options) for _ in range(times)]

    return asyncio.run(work())


def rows(folder: Path, statement: str = ATTEMPTS) -> list[Any]:
    """What a query finds in a store that is closed and whole."""
    assert sorted(each.name for each in folder.iterdir() if each.name != FILE) == ["p.db"]
    connection = sqlite3.connect(folder / "p.db")
    try:
        assert differences(connection) == []
        assert connection.execute("SELECT count(*) FROM open_attempts").fetchone() == (0,)
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


@pytest.mark.parametrize("more", [{}, {"state": "memory", "budgets": [{"scope": "global", "limit": "5 USD/day"}]}])
def test_without_state_nothing_is_written(
    more: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert ask({**SIM, **more})
    assert list(tmp_path.iterdir()) == []


def test_every_attempt_is_a_row(tmp_path: Path) -> None:
    one, two = ask(kept(tmp_path), 2, user="u1", task="greeting")
    found = rows(tmp_path)
    assert [row[:5] for row in found] == [(each.request_id, 1, "u1", "greeting", "ok") for each in (one, two)]
    for row, reply in zip(found, (one, two), strict=True):
        assert row[5:] == (reply.usage.input_tokens, reply.usage.output_tokens, int(reply.cost_usd.scaleb(9)), 0)
    told = CliRunner().invoke(command, ["--by", "user", "--store", str(tmp_path / "p.db"), "--csv"])
    assert told.output.splitlines()[1].startswith("'-/u1,2,2,0,2,")


@pytest.mark.parametrize("limit", ["3/min", "3/day"])
def test_a_rate_goes_on_in_the_next_program(limit: str, tmp_path: Path) -> None:
    config = kept(tmp_path, limits=[{"scope": "user", "requests": limit}])
    ask(config, 2, user="u1")
    ask(config, 1, user="u1")
    with pytest.raises(RateLimited):
        ask(config, 1, user="u1")
    ask(config, 1, user="u2")


def test_what_is_written_stands_in_the_journal_before_it_is_asked(tmp_path: Path) -> None:
    seen: list[int] = []

    def looking(call: Any) -> Any:
        async def look(request: Any) -> Any:
            reply = await call(request)
            seen.append(sum(each.stat().st_size for each in (tmp_path / "p.db-attempts").iterdir()))
            return reply

        return look

    async def work() -> None:
        async with Penstock(kept(tmp_path), layers=[looking]) as llm, llm.stream("Hello") as stream:
            async for _ in stream:
                pass

    asyncio.run(work())
    assert seen[0] > 0
    assert len(rows(tmp_path)) == 1


def test_a_budget_outlives_the_process(tmp_path: Path) -> None:
    config = kept(tmp_path, budgets=[{"scope": "user", "limit": "3 requests/month"}])
    ask(config, 2, user="u1")
    ask(config, 1, user="u1")
    with pytest.raises(BudgetExceeded):
        ask(config, 1, user="u1")
    assert ask(config, 1, user="u2")
    with SyncPenstock(config) as llm, pytest.raises(BudgetExceeded):
        llm.generate("Hello", user="u1")
    assert len(rows(tmp_path)) == 4


def test_the_gateway_goes_on_with_the_same_store(tmp_path: Path) -> None:
    """What the library spent counts at a gateway on that store, and the other way round."""
    from penstock.server.asgi import AsgiApp
    from tests.server.test_asgi import BODY, JSON, scope
    from tests.server.test_asgi import ask as ask_app

    config = kept(tmp_path, budgets=[{"scope": "global", "limit": "2 requests/month"}])
    ask(config)

    async def serve() -> list[int]:
        app = AsgiApp(load_config({**config, "log": {"to": "none"}}, {}))
        try:
            asked = scope("/v1/chat/completions", "POST", JSON)
            return [(await ask_app(app, asked, BODY))[0] for _ in range(2)]
        finally:
            await app.aclose()

    assert asyncio.run(serve()) == [200, 429]
    with pytest.raises(BudgetExceeded):
        ask(config)
    assert len(rows(tmp_path)) == 2


def test_two_processes_do_not_keep_one_store(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, repr(kept(tmp_path))], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(ConfigError, match=f"belongs to process {other.pid}") as refused:
            ask(kept(tmp_path))
        assert "Penstock.connect" in refused.value.do
        other.communicate("\n", timeout=20)
    assert other.returncode == 0
    assert ask(kept(tmp_path))


def test_nor_do_two_of_one_process(tmp_path: Path) -> None:
    async def work() -> None:
        async with Penstock(kept(tmp_path)):
            second = Penstock(kept(tmp_path))
            with pytest.raises(ConfigError, match="this process has that folder's state open already"):
                await second.generate("Hello")
        # The first has let go: now the second may.
        await second.generate("Hello")
        await second.aclose()

    asyncio.run(work())
    assert len(rows(tmp_path)) == 1


def test_a_loop_that_is_gone_leaves_the_store_to_the_next(tmp_path: Path) -> None:
    llm = Penstock(kept(tmp_path))

    async def work() -> None:
        await llm.generate("Hello")

    asyncio.run(work())
    asyncio.run(work())
    asyncio.run(llm.aclose())
    ask(kept(tmp_path))
    assert len(rows(tmp_path)) == 3


def test_a_process_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    config = kept(tmp_path, budgets=[{"scope": "global", "limit": "3 requests/month"}])
    ended = subprocess.run([sys.executable, "-c", DIES, repr(config)], timeout=30, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert ask(config)
    with pytest.raises(BudgetExceeded):
        ask(config)
    assert [row[4] for row in rows(tmp_path)] == ["ok", "lost", "ok"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_is_refused_and_holds_nothing(tmp_path: Path) -> None:
    with SyncPenstock(kept(tmp_path)) as llm:
        llm.generate("Hello")
        reading, writing = os.pipe()
        again, done = os.pipe()
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            try:
                llm.generate("Hello")
            except ConfigError as error:
                os.write(writing, error.message.encode())
            os.read(again, 1)
            os._exit(0)
        assert f"belongs to process {os.getpid()}" in os.read(reading, 65536).decode()
        llm.generate("Hello")
    # The child lives on, and neither the lock nor the journal is held by it.
    assert ask(kept(tmp_path))
    os.write(done, b".")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert len(rows(tmp_path)) == 3


def test_a_stream_that_nobody_reads_to_its_end_is_posted(tmp_path: Path) -> None:
    async def work() -> None:
        llm = Penstock(kept(tmp_path))
        async with llm.stream("Hello", model="sim/small:stall=5") as left:
            await anext(aiter(left))
            await llm.aclose()

    asyncio.run(work())
    assert [row[4] for row in rows(tmp_path)] == ["lost"]


def test_a_closed_one_is_not_opened_again(tmp_path: Path) -> None:
    async def work() -> None:
        engine = open_engine(load_config(kept(tmp_path), {}), SystemClock(), SeededRandom(1))
        await engine.aclose()
        with pytest.raises(Overloaded, match="closed"):
            await engine.open()

    asyncio.run(work())


# --- cancelled at every await


def sweep(folder: Path, act: Callable[[Penstock, Cancel], Coroutine[Any, Any, None]]) -> int:
    """Cancel `act` at each of its suspensions; afterwards the store is whole, free, and has each attempt once."""
    numbers = iter(range(10_000))

    async def scenario(loop: SimLoop, cancel: Cancel) -> None:
        own = folder / str(next(numbers))
        own.mkdir()
        config = load_config(kept(own, budgets=[{"scope": "global", "limit": "9 requests/day"}]), {}, serving=False)
        begin = partial(open_engine, config, loop.clock, SeededRandom(1), inline=True)
        llm = Penstock._on(Engines(begin))
        await act(llm, cancel)
        await llm.aclose()
        StateLock(own).release()
        again = Penstock._on(Engines(begin))
        await again.generate("Hello")
        await again.aclose()
        found = rows(own)
        assert len({row[:2] for row in found}) == len(found)

    return sweep_scenario(scenario)


def test_sweep_of_opening_and_a_call(tmp_path: Path) -> None:
    async def act(llm: Penstock, cancel: Cancel) -> None:
        await cancel(llm.generate("Hello"))
        await llm.generate("Hello")

    assert sweep(tmp_path, act) >= 2


def test_sweep_of_one_of_two_that_open(tmp_path: Path) -> None:
    async def act(llm: Penstock, cancel: Cancel) -> None:
        other = asyncio.ensure_future(llm.generate("Hello"))
        await cancel(llm.generate("Hello"))
        assert (await other).text

    assert sweep(tmp_path, act) >= 2


def test_sweep_of_closing(tmp_path: Path) -> None:
    async def act(llm: Penstock, cancel: Cancel) -> None:
        await llm.generate("Hello")
        await cancel(llm.aclose())

    assert sweep(tmp_path, act) >= 1


def test_sweep_of_a_whole_life(tmp_path: Path) -> None:
    async def live(llm: Penstock) -> None:
        async with llm:
            async with llm.stream("Hello") as stream:
                async for _ in stream:
                    pass
            with suppress(PenstockError):
                await llm.generate("Hello", model="sim/small:status=503")
            await llm.generate("Hello")

    async def act(llm: Penstock, cancel: Cancel) -> None:
        with suppress(PenstockError):
            await cancel(live(llm))

    assert sweep(tmp_path, act) >= 4
