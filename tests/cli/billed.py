"""A gateway under load whose processes are killed, and a provider that knows what it was asked: do the books agree?

Each call has a number, which the provider finds in the message and the ledger in a tag.
"""

from __future__ import annotations

import asyncio
import http.client
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from penstock.clock import SystemClock
from penstock.providers.simulated import SimulatedProvider
from penstock.stores.recompute import differences
from penstock.stores.sqlite import open_reader
from penstock.testing import SimulatedServer
from tests.end_to_end.process import SECONDS, Served

__all__ = ["KINDS", "Billed", "Figures", "provider"]

# Who is killed: a worker, the supervisor, or all of them at once.
KINDS = ("worker", "supervisor", "all")
INPUT_NANOS, OUTPUT_NANOS = 1000, 2000  # a token, by the prices below
_MODELS = ("up/small:tokens=8", "up/small:tokens=30,between=3ms", "up/small:first_token=15ms,tokens=3")
_CONFIG = """
auth: open
server: {workers: 2}
providers:
  up: {kind: openai, base_url: "%s", api_key: env:UP_KEY}
prices:
  "up/*": {input: 1, output: 2}
budgets:
  - {scope: global, limit: 100 USD/day}
  - {scope: model, limit: 90 USD/day}
"""
_NUMBER = re.compile(rb"call (\d+)\b")
_ROWS = """
SELECT json_extract(tags, '$.n'), outcome, input_tokens, output_tokens, cost, bound, status FROM attempts
"""


class Figures(NamedTuple):
    """What a run was."""

    kills: int
    calls: int
    attempts: int
    ok: int
    lost: int


@contextmanager
def provider() -> Iterator[tuple[str, SimulatedProvider]]:
    """A simulated provider on a port, with a loop and a thread of its own; its base URL, and itself."""
    simulated = SimulatedProvider(SystemClock(), keep=1_000_000)
    ready, stop = threading.Event(), asyncio.Event()
    told: dict[str, Any] = {}

    async def serve() -> None:
        async with SimulatedServer(simulated) as server:
            told["url"], told["loop"] = server.base_url, asyncio.get_running_loop()
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(SECONDS)
        yield told["url"], simulated
    finally:
        told["loop"].call_soon_threadsafe(stop.set)
        thread.join(SECONDS)


class Billed:
    """A gateway in a folder, with callers that go on while it is killed."""

    def __init__(self, folder: Path, url: str, callers: int = 6) -> None:
        (folder / "penstock.yaml").write_text(_CONFIG % url)
        self._folder = folder
        self._numbers = itertools.count(1)
        self._stop = threading.Event()
        self._served = self._serve()
        self.kills = 0
        self.whole: set[int] = set()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _serve(self, *options: str) -> Served:
        return Served(self._folder, *options, env={"UP_KEY": "sk-up-0123456789"}, stdout=subprocess.DEVNULL)

    def _call(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            body = {
                "model": _MODELS[number % 3],
                "messages": [{"role": "user", "content": f"call {number} "}],
                "stream": number % 2 == 0,
            }
            headers = {"content-type": "application/json", "x-penstock-tags": f"n={number}"}
            connection = http.client.HTTPConnection("127.0.0.1", self._served.port, timeout=SECONDS)
            try:
                connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
                answer = connection.getresponse()
                read = answer.read()
                if answer.status == 200 and (number % 2 or read.endswith(b"data: [DONE]\n\n")):
                    self.whole.add(number)
            except (OSError, http.client.HTTPException):
                self._stop.wait(0.05)  # as any client does
            finally:
                connection.close()

    def more(self, calls: int) -> None:
        """Wait until so many more have had their whole answers."""
        wanted, until = len(self.whole) + calls, SystemClock.monotonic() + SECONDS
        while len(self.whole) < wanted:
            assert SystemClock.monotonic() < until, self._served.told.text
            self._stop.wait(0.01)

    def kill(self, kind: str) -> None:
        """Kill some of its processes; where the supervisor is among them, start it anew."""
        self.kills += 1
        pid = self._served.process.pid
        workers = _children(pid)
        if kind == "worker":
            os.kill(workers[self.kills % len(workers)], signal.SIGKILL)
            return
        for each in [pid, *(workers if kind == "all" else ())]:
            os.kill(each, signal.SIGKILL)
        port = self._served.port
        self._served.wait()
        self._served = self._serve("--port", str(port))

    def end(self) -> None:
        """No more calls; an orderly end."""
        self._stop.set()
        for thread in self._threads:
            thread.join(SECONDS)
        assert self._served.stop() == 0, self._served.told.text

    def compare(self, simulated: SimulatedProvider) -> tuple[list[str], Figures]:
        """Where books and provider do not agree, and what it was all about."""
        connection = open_reader(self._folder / "penstock.db")
        faults = [f"recompute: {each}" for each in differences(connection)]
        rows: dict[int, list[tuple[Any, ...]]] = {}
        for number, *row in connection.execute(_ROWS):
            rows.setdefault(int(number), []).append(tuple(row))
        faults += _held(connection, self._folder)
        connection.close()
        seen = Counter[int]()
        took: dict[int, set[tuple[int, int]]] = {}
        for each in simulated.journal.log:
            found = _NUMBER.search(each.body)
            assert found is not None
            seen[int(found[1])] += 1
            took.setdefault(int(found[1]), set()).add((each.prompt, each.completion))
        faults += [
            f"call {each}: {seen[each]} asked, {len(rows.get(each, ()))} rows"
            for each in seen
            if len(rows.get(each, ())) < seen[each]
        ]
        for number, booked in rows.items():
            faults += [f"call {number}: {fault}" for fault in _wrong(booked, seen[number], took.get(number, set()))]
        faults += [f"call {number} was answered whole, and is not booked" for number in self.whole - rows.keys()]
        outcomes = Counter(row[0] for booked in rows.values() for row in booked)
        calls = next(self._numbers) - 1
        return faults, Figures(self.kills, calls, outcomes.total(), outcomes["ok"], outcomes["lost"])


def _wrong(booked: list[tuple[Any, ...]], seen: int, took: set[tuple[int, int]]) -> Iterator[str]:
    """What is wrong with the rows of one call."""
    good = [row for row in booked if row[0] == "ok"]
    if len(good) > seen:
        yield f"{len(good)} rows of good answers, the provider was asked {seen} times"
    for outcome, used, written, cost, bound, _ in booked:
        if outcome == "ok":
            if (used, written) not in took:
                yield f"{used} and {written} tokens, the provider says {took}"
            if cost != used * INPUT_NANOS + written * OUTPUT_NANOS:
                yield f"{used} and {written} tokens cost {cost}"
        if cost is None or not 0 <= cost <= bound:
            yield f"{outcome}: {cost}, reserved was {bound}"
        if outcome == "lost" and cost == 0:
            yield "a lost one cost nothing"


def _held(connection: sqlite3.Connection, folder: Path) -> Iterator[str]:
    """What is still held, or is not in the budgets."""
    for table in ("SELECT count(*) FROM open_attempts", "SELECT count(*) FROM journals"):
        (count,) = connection.execute(table).fetchone()
        if count:
            yield f"{table}: {count}"
    if (folder / "penstock.db-attempts").exists():
        yield "journals are left"
    (cost,) = connection.execute("SELECT sum(cost) FROM attempts").fetchone()
    for rule, settled in connection.execute("SELECT rule, sum(settled) FROM accounts GROUP BY rule"):
        if settled != cost:
            yield f"{rule}: {settled} settled, {cost} spent"


def _children(pid: int) -> list[int]:
    """A process's workers, without one that waits in reserve (it has no thread of a loop's yet, and no journal)."""
    found = []
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        descriptors = Path(f"/proc/{child}/fd")
        try:
            files = [os.readlink(each) for each in descriptors.iterdir()]
        except OSError:
            continue
        if any(file.endswith(".journal") for file in files):
            found.append(int(child))
    return found
