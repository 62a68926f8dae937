"""Plays a history on a fleet, and keeps all that was seen of it: a `Story`."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from penstock.clock import Clock
from penstock.config.load import load_config
from penstock.config.schema import Config, Route
from penstock.errors import PenstockError
from penstock.gateway.books import Books
from penstock.routing.names import Target
from penstock.routing.plan import Hedge
from penstock.stores.breaker import BreakerRules
from penstock.stores.gate import GateRules
from penstock.testing import Faults, SimLoop, run
from penstock.testing.clock import SimClock
from penstock.testing.fleet import Fleet
from penstock.transport.link import Link
from tests.simulation.callers import KEY, LATENCY, Callers, Got
from tests.simulation.histories import Event, History
from tests.simulation.vendors import Arrival, Vendor
from tests.simulation.weather import Spell, link_faults

__all__ = ["LATENCY", "OTHER_KEY", "LogAttempt", "LogLine", "Playing", "Story", "config_of", "play"]

OTHER_KEY = "psk_live_fedcba9876543210"
# After the last request, for what goes on by itself: idle connections, old gateways, pauses of the pool.
_REST_SECONDS = 45.0


class LogAttempt(msgspec.Struct):
    deployment: str
    outcome: str
    status: int
    ms: float
    kind: str = "first"


class LogDecision(msgspec.Struct):
    what: str
    deployment: str = ""
    why: str = ""


class LogLine(msgspec.Struct):
    """What is read of a log line."""

    id: str
    status: int
    ms: float
    model: str
    deployment: str
    user: str = ""
    error: str | None = None
    stream_error: str | None = None
    attempts: list[LogAttempt] = []
    decisions: list[LogDecision] = []

    @property
    def ask(self) -> int:
        return int(self.user.removeprefix("ask") or 0)


class Story:
    """What was seen of a history.

    Attributes:
        got: what each caller got, in the order of asking.
        arrivals: what reached the providers, in order.
        lines: the request log.
        kills: when workers died, by their number in the order of hiring; of those that were relieved, when.
        left: what was not over at the end, in words.
        began: the loop's time at the history's 0.
        digest: equal for equal stories.
        seconds: of virtual time.
        cases: for whoever judges it, to keep what it has put together.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.began = 0.0
        self.got: list[Got] = []
        self.arrivals: list[Arrival] = []
        self.lines: list[LogLine] = []
        self.kills: dict[int, float] = {}
        self.relieved: dict[int, float] = {}
        self.log = b""
        self.left: list[str] = []
        self.digest = ""
        self.seconds = 0.0
        self.cases: list[Any] | None = None

    @property
    def requests(self) -> int:
        """Sent by callers."""
        return len(self.got)


class _JumpingClock(SimClock):
    """The loop's, with a wall clock that somebody sets."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self.offset = 0.0

    def wall(self) -> float:
        return super().wall() + self.offset


def config_of(history: History, variant: int = 0, more: Mapping[str, Any] | None = None) -> Config:
    """The configuration of a history; after a reload its variants alternate.

    Args:
        more: instead of, or beside, what it says.
    """
    providers: dict[str, Any] = {}
    env = {}
    for maker in history.makers:
        path = "/v1" if maker.kind == "openai" else ""
        said = providers[maker.name] = {"kind": maker.kind, "base_url": f"http://{maker.name}:8000{path}"}
        for name in maker.credentials or ("only",):
            env[f"{maker.name}_{name}".upper()] = f"sk-{maker.name}-{name}"
        if maker.credentials:
            said["credentials"] = [
                {"name": name, "api_key": f"env:{maker.name}_{name}".upper().replace("ENV:", "env:")}
                for name in maker.credentials
            ]
        else:
            said["api_key"] = f"env:{maker.name.upper()}_ONLY"
    targets = {name: {"targets": [f"{names[0]}/small"]} for name, names in history.models.items()}
    env["APP_KEY"] = KEY
    keys = [{"name": "app", "key": "env:APP_KEY", "user": "trusted"}]
    server = {"workers": history.workers}
    written = {"providers": providers, "models": targets, "keys": keys, "server": server, **(more or {})}
    config = load_config(written, env | {"OTHER_KEY": OTHER_KEY})
    models = {name: _route(history, name, variant) for name in history.models}
    return msgspec.structs.replace(config, models=models)


def _route(history: History, name: str, variant: int) -> Route:
    timeouts = history.timeouts
    if variant % 2:
        timeouts = msgspec.structs.replace(timeouts, connect=timeouts.connect + 1.0)
    return Route(
        name=name,
        targets=tuple(Target(maker, "small") for maker in history.models[name]),
        timeouts=timeouts,
        retry=history.retry,
        strategy=history.strategy,
        breaker=BreakerRules() if history.breaker else None,
        concurrency=GateRules(most=history.most or None),
        hedge=Hedge(after=history.hedge, most=0.1) if history.hedge else None,
        on_stream_cut="resume" if history.resume else "error",
    )


class Playing:
    """One history on a fleet.

    Args:
        configure: makes the configuration of a history and a variant.
        books: what is kept of what workers spend.
    """

    def __init__(
        self,
        loop: SimLoop,
        history: History,
        configure: Callable[[History, int], Config] = config_of,
        books: Callable[[Config, Clock], Books] | None = None,
    ) -> None:
        self.loop = loop
        self.configure = configure
        self.history = history
        self.story = Story(history)
        self.clock = _JumpingClock(loop)
        self.vendors = {
            maker.name: Vendor(self.clock, maker.name, maker.base, history.spells) for maker in history.makers
        }
        config = configure(history, 0)
        self.books = books(config, self.clock) if books is not None else None
        self.fleet = Fleet(loop, config, history.workers, seed=history.seed, clock=self.clock, books=self.books)
        self.variant = 0
        self.busy = asyncio.Lock()

    async def play(self) -> Story:
        """Play it."""
        loop, story, fleet = self.loop, self.story, self.fleet
        servers = [await loop.create_server(vendor.connection, name, 8000) for name, vendor in self.vendors.items()]
        async with fleet:
            story.began = loop.time()
            for vendor in self.vendors.values():
                vendor.began = story.began
            await self._unfold()
            await self.clock.sleep(_REST_SECONDS)
            self._look_for_leftovers()
            self.look()
        for server in servers:
            server.close()
        for vendor in self.vendors.values():
            vendor.close()
        self._close()
        return story

    def look(self) -> None:
        """At the end, while the fleet still stands."""

    async def _unfold(self) -> None:
        loop, history, story, fleet = self.loop, self.history, self.story, self.fleet
        callers = Callers(loop, fleet.addresses, lambda post: fleet.hired.index(fleet.holder(post)))
        asking: list[asyncio.Task[Any]] = []
        for spell in history.spells:
            if not spell.script:
                asking.append(loop.create_task(self._lie(spell)))
        for event in history.events:
            asking.append(loop.create_task(self._happen(event)))
        until = story.began + history.over + 60.0
        for ask in history.asks:
            wait = story.began + ask.at - loop.time()
            if wait > 0:
                await self.clock.sleep(wait)
            asking.append(loop.create_task(callers.ask(ask, until)))
        if asking:
            await asyncio.wait(asking)
        for task in asking:
            task.result()
        story.got = callers.got
        callers.close()

    async def _lie(self, spell: Spell) -> None:
        """A spell of the network."""
        network, place = self.loop.network, (spell.vendor, 8000)
        await self.clock.sleep(spell.start)
        network.faults_at[place] = link_faults(spell.kind)
        await self.clock.sleep(max(0.0, spell.end - spell.start))
        network.faults_at.pop(place, None)
        for connection in network.connections:
            connection.up.link = connection.down.link = Link(latency=LATENCY)

    async def _happen(self, event: Event) -> None:
        await self.clock.sleep(event.at)
        fleet, story = self.fleet, self.story
        if event.kind == "jump":
            self.clock.offset += event.amount
        elif event.kind == "kill":
            worker = fleet.holder(int(event.amount))
            if not worker.dead:
                story.kills[fleet.hired.index(worker)] = self.loop.time()
                worker.kill()
        else:
            async with self.busy:
                with suppress(PenstockError):  # a worker was killed meanwhile, say
                    if event.kind == "reload":
                        self.variant += 1
                        await fleet.supervisor.adopt(self.configure(self.history, self.variant))
                    else:
                        await fleet.supervisor.renew()

    def _look_for_leftovers(self) -> None:
        left = self.story.left
        for number, worker in enumerate(self.fleet.hired):
            for gateway in worker.gateways:
                if gateway.upstream_busy:
                    left.append(f"worker {number}: {gateway.upstream_busy} connections to providers are in use")
                if count := gateway.metrics.in_flight.cells[()][0]:
                    left.append(f"worker {number}: {count:g} requests are in flight")
            plane = worker.worker.plane
            if plane is not None and plane.listener.busy:
                left.append(f"worker {number}: {plane.listener.busy} callers are being answered")
            if plane is not None and (half := sum(not one._parser.idle for one in plane.listener.connections)):
                left.append(f"worker {number}: parts of {half} requests are held")
        for vendor in self.vendors.values():
            if open_ := sum(1 for one in vendor.arrivals if one.seen.outcome == "open"):
                left.append(f"{vendor.name}: {open_} requests are being answered")
        failure = self.fleet.supervisor._posts.failure
        if failure is not None:
            left.append(f"the workers were given up: {failure}")

    def _close(self) -> None:
        story = self.story
        story.arrivals = sorted(
            (arrival for vendor in self.vendors.values() for arrival in vendor.arrivals), key=lambda one: one.time
        )
        story.log = self.fleet.log
        story.seconds = self.loop.time() - story.began
        story.lines = msgspec.json.decode(b"[%b]" % b",".join(story.log.splitlines()), type=list[LogLine])
        told = [repr(arrival) for arrival in story.arrivals]
        told += [f"{got.ask.number} {got.status} {got.ended:.6f} {len(got.body)}" for got in story.got]
        whole = "\n".join(told).encode() + story.log + self.loop.trace_digest().encode()
        story.digest = hashlib.blake2b(whole, digest_size=12).hexdigest()


def play(history: History, make: Callable[[SimLoop, History], Playing] = Playing) -> Story:
    """Play it; the same history gives the same story.

    Raises:
        AssertionError: an error reached the loop's exception handler, or something leaked.
        SimDeadlock, SimTimeout: it did not end.
    """
    link = Link(latency=LATENCY)
    faults = Faults(up=link, down=link)

    async def main(loop: SimLoop) -> Story:
        return await make(loop, history).play()

    return run(main, history.seed, faults=faults, leak_free=True, max_seconds=100_000, max_steps=50_000_000)
