"""A process that drives a ledger until it is killed, and says what it does as it does it; and who kills it.

On its standard output `o r` stands before attempt r is opened, `O r` after, `c r COST` before it is closed, `C r`
after. So whoever reads that knows what must be in the books, whenever it was killed.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from penstock.clock import SystemClock, SystemRandom
from penstock.stores.journal import Journal
from penstock.stores.ledger import Ledger, journals_of
from penstock.stores.sqlite import Database
from tests.stores.journals import closed, hold, opened, run, table

__all__ = ["Killings"]

ROOT = Path(__file__).resolve().parents[2]
BOUND = 1000


class _Driver:
    def __init__(self, folder: Path, turn: int) -> None:
        self.ledger = Ledger(Database(folder / "penstock.db"), journals_of(folder / "penstock.db"), fold_bytes=2000)
        self.random = random.Random(turn)
        self.turn = turn
        self.count = 0
        self.open: dict[str, list[str]] = {}
        self.journals: dict[str, Journal] = {}

    def begin(self) -> None:
        name = Ledger.new_name("0", SystemClock(), SystemRandom())
        self.journals[name] = Journal(self.ledger.folder, name, segment_bytes=1500)
        self.open[name] = []

    def step(self) -> None:
        name = self.random.choice(list(self.journals))
        if self.open[name] and self.random.random() < 0.5:
            request = self.open[name].pop(self.random.randrange(len(self.open[name])))
            cost = self.random.randrange(BOUND)
            say(f"c {request} {cost}")
            self.journals[name].close(closed(request, cost=cost, settled=(cost,)))
            say(f"C {request}")
        else:
            self.count += 1
            request = f"{self.turn}-{self.count}"
            say(f"o {request}")
            self.journals[name].open(opened(request, holds=(hold(BOUND),), input_cost=7, bound=BOUND))
            say(f"O {request}")
            self.open[name].append(request)

    async def drive(self) -> None:
        await self.ledger.recover()
        for _ in range(3):
            self.begin()
        folding = asyncio.create_task(self.fold())
        while not folding.done():
            for _ in range(self.random.randrange(20)):
                self.step()
            await asyncio.sleep(0)
            if self.random.random() < 0.02:
                name = self.random.choice(list(self.journals))
                self.journals.pop(name).end()
                self.begin()
                await self.ledger.bury(name)
        folding.result()

    async def fold(self) -> None:
        while True:
            await self.ledger.fold()
            await asyncio.sleep(0)


def say(what: str) -> None:
    os.write(1, what.encode() + b"\n")


class Killings:
    """Kills a driver of one and the same ledger again and again.

    Attributes:
        before, opened, ending, closed: what the drivers said, by request; `ending` has the costs.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.before: set[str] = set()
        self.opened: set[str] = set()
        self.ending: dict[str, int] = {}
        self.closed: set[str] = set()
        self._folder = folder
        self._random = random.Random(seed)

    def kill(self, turn: int) -> None:
        """Start one, and kill it within a moment, be it while it still recovers."""
        command = [sys.executable, "-m", "tests.stores.killed", str(self._folder), str(turn)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as driver:
            assert driver.stdout is not None
            assert driver.stderr is not None
            # Its first word, or the end of its recovery, is some way off; then anything may be cut.
            first = driver.stdout.readline() if turn % 4 else b""
            until = time.monotonic() + self._random.random() * 0.2
            said = [first]
            while time.monotonic() < until:
                said.append(driver.stdout.readline() if turn % 4 else b"")
            driver.kill()
            said += driver.stdout.readlines()
            assert b"Traceback" not in (complaint := driver.stderr.read()), complaint.decode()
        for line in b"".join(said).decode().splitlines():
            self._heard(*line.split())

    def _heard(self, what: str, request: str, cost: str = "") -> None:
        if what == "c":
            self.ending[request] = int(cost)
        else:
            {"o": self.before, "O": self.opened, "C": self.closed}[what].add(request)

    def faults(self) -> list[str]:
        """Recover, and say what is not as it must be."""
        path = self._folder / "penstock.db"
        ledger = Ledger(Database(path), journals_of(path))
        run(ledger.recover())
        found = [f"recompute: {each}" for each in run(ledger.recompute())]
        rows = table(ledger, "SELECT request, outcome, cost FROM attempts")
        booked = {request: (outcome, cost) for request, outcome, cost in rows}
        found += [f"doubled: {len(rows) - len(booked)}"] if len(rows) != len(booked) else []
        found += [f"lost: {request}" for request in self.opened - booked.keys()]
        found += [f"never opened: {request}" for request in booked.keys() - self.before]
        for request, (outcome, cost) in booked.items():
            if request in self.closed or outcome != "lost":
                right = (outcome, cost) == ("ok", self.ending.get(request))
            else:
                right = cost == 7
            found += [] if right else [f"{request}: {outcome}, {cost}"]
        (settled,) = table(ledger, "SELECT coalesce(sum(settled), 0) FROM accounts")
        cost = sum(cost for _, cost in booked.values())
        found += [] if settled == cost else [f"settled {settled}, cost {cost}"]
        held = table(ledger, "SELECT count(*) FROM open_attempts") + table(ledger, "SELECT count(*) FROM journals")
        found += [] if held == [0, 0] and not any(ledger.folder.iterdir()) else [f"left over: {held}"]
        ledger.database.close()
        return found


if __name__ == "__main__":
    asyncio.run(_Driver(Path(sys.argv[1]), int(sys.argv[2])).drive())
