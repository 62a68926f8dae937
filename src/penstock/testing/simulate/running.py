"""Runs a scenario: `simulate(scenario, seed)` gives its report."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from penstock.records import Record
from penstock.testing.simulate.drive import Drive
from penstock.testing.simulate.events import event_of, happen, spikes_of
from penstock.testing.simulate.expected import missed
from penstock.testing.simulate.report import Event, Report
from penstock.testing.simulate.scenario import Scenario, Traffic
from penstock.testing.simulate.tally import Tally
from penstock.testing.simulate.watch import Watch
from penstock.testing.simulate.world import ScenarioLoop, World
from penstock.version import VERSION

__all__ = ["Progress", "simulate"]

Progress = Callable[[float, int], object]
"""Told now and then how much of the scenario is over, in virtual seconds, and how many requests were."""

_TELL_EVERY = 100


def simulate(scenario: Scenario, seed: int | None = None, *, progress: Progress | None = None) -> Report:
    """What comes of a scenario. The same seed gives the same report.

    Args:
        seed: None: the scenario's own.
        progress: is told how far it is.
    """
    chosen = scenario.seed if seed is None else seed
    loop = ScenarioLoop(chosen)
    try:
        with _interruptible(loop):
            report = loop.run_until_complete(_Running(scenario, loop, chosen, progress).run())
        loop.assert_clean()
        return report
    finally:
        loop.dispose()


@contextmanager
def _interruptible(loop: ScenarioLoop) -> Iterator[None]:
    """Ctrl-C comes between two steps of the loop, as `asyncio.Runner` has it: inside of one, a parser say, it could be
    taken for an error of what is played. A second one comes at once."""
    here = threading.current_thread() is threading.main_thread()
    if not here or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return

    def interrupted(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        loop.call_soon(_interrupt)

    signal.signal(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupt() -> None:
    raise KeyboardInterrupt


class _Running:
    def __init__(self, scenario: Scenario, loop: ScenarioLoop, seed: int, progress: Progress | None) -> None:
        self._scenario = scenario
        self._loop = loop
        self._seed = seed
        self._progress = progress
        self._world = World(scenario, loop, seed)
        self._watch = Watch(self._world.desk, loop.clock, self._world.deployments)
        self._tally = Tally(self._world.zero, scenario.duration)
        self._drive = Drive(scenario, self._world, seed, self._over)
        for traffic in scenario.traffic:
            self._tally.expect(traffic.name, list(traffic.models))

    def _over(self, traffic: Traffic, record: Record) -> None:
        self._tally.add(traffic.name, record)
        if self._progress is not None and self._tally.total.requests % _TELL_EVERY == 0:
            self._progress(self._world.now, self._tally.total.requests)

    async def run(self) -> Report:
        world = self._world
        world.open()
        beside = [asyncio.ensure_future(happen(fault, world, self._drive)) for fault in self._scenario.faults]
        try:
            await self._drive.run()
        finally:
            if not self._loop.is_closed():  # as after Ctrl-C
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
        report = self._report()
        await world.aclose()
        return report

    def _report(self) -> Report:
        scenario, tally, world = self._scenario, self._tally, self._world
        seconds = world.now
        ids = list(dict.fromkeys([*world.deployments(), *tally.deployments]))
        report = Report(
            penstock=VERSION,
            scenario=os.path.basename(scenario.source),
            seed=self._seed,
            seconds=round(seconds, 6),
            workers=scenario.workers,
            total=tally.total.row("all", scenario.duration),
            traffic=[group.row(name, scenario.duration) for name, group in tally.traffic.items()],
            models=[group.row(name, scenario.duration) for name, group in tally.models.items()],
            deployments=[tally.deployment(id, *self._watch.seconds(id)) for id in ids],
            errors=dict(sorted(tally.errors.items())),
            changes=self._watch.changes,
            events=self._events(),
            series=tally.series(ids),
            expected=[],
        )
        report.expected = missed(scenario.expect, report.total)
        return report

    def _events(self) -> list[Event]:
        scenario = self._scenario
        found = [event_of(fault, scenario.duration) for fault in scenario.faults]
        found += [event for traffic in scenario.traffic for event in spikes_of(traffic)]
        return sorted(found, key=lambda event: event.at)
