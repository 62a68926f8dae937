"""Faults that happen at a moment, beside those that a vendor looks up for each request."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from penstock.testing.simulate.drive import Drive
from penstock.testing.simulate.report import Event
from penstock.testing.simulate.scenario import NEVER, Fault, Traffic
from penstock.testing.simulate.trouble import NETWORK, place_of
from penstock.testing.simulate.world import World

__all__ = ["event_of", "happen", "spikes_of"]

_AT_ONCE = ("clock", "kill", "reload")


async def happen(fault: Fault, world: World, drive: Drive) -> None:
    """Let a fault happen at its time, and again where it is said so; returns at once where it is no such fault."""
    window, clock = fault.window, world.loop.clock
    if not (fault.kind in _AT_ONCE or _is_refused(fault)):
        return
    at = window.start
    while True:
        await clock.sleep(max(0.0, at - world.now))
        if fault.kind == "clock":
            clock.moved += fault.jump
        elif fault.kind == "kill":
            await world.kill((fault.worker - 1) % len(world.gateways), drive.cut)
        elif fault.config is not None:
            world.reload(fault.config)
        else:
            name = place_of(fault.at).provider
            world.refuse(name)
            if window.end == NEVER:
                return
            await clock.sleep(window.end - window.start)
            world.restore(name)
        if window.every is None:
            return
        at += window.every


def _is_refused(fault: Fault) -> bool:
    return fault.kind == "outage" and fault.code == NETWORK


_TOLD: dict[str, Callable[[Fault], str]] = {
    "outage": lambda fault: f"outage of {fault.at} ({fault.code or fault.status or 'silent'})",
    "brownout": lambda fault: f"{fault.share * 100:.3g}% {fault.status} at {fault.at}",
    "throttle": lambda fault: f"{fault.status} at {fault.at}",
    "slow": lambda fault: f"{fault.at} {fault.factor:g} times as slow",
    "late": lambda fault: f"late first tokens at {fault.at}",
    "cut": lambda fault: f"cut streams at {fault.at}",
    "stall": lambda fault: f"stalled streams at {fault.at}",
    "reset": lambda fault: f"resets at {fault.at}",
    "silence": lambda fault: f"silence at {fault.at}",
    "revoke": lambda fault: f"credential of {fault.at} revoked",
    "exhaust": lambda fault: f"quota of {fault.at} used up",
    "malformed": lambda fault: f"malformed answers at {fault.at}",
    "script": lambda fault: f"{fault.script} at {fault.at}",
    "clock": lambda fault: f"clock moved by {fault.jump:g} s",
    "kill": lambda fault: f"worker {fault.worker} killed",
    "reload": lambda fault: "reload",
}


def event_of(fault: Fault, duration: float) -> Event:
    """A fault as a report of a scenario of so many seconds names it."""
    window = fault.window
    what = _TOLD[fault.kind](fault)
    if fault.share < 1.0 and fault.kind != "brownout":
        what += f", {fault.share * 100:.3g}% of the requests"
    if window.every is not None:
        what += f", every {window.every:g} s"
    return Event(window.start, None if fault.kind in _AT_ONCE else min(window.end, duration), what)


def spikes_of(traffic: Traffic) -> Iterator[Event]:
    """The spikes of some callers, which are no fault, and told like one."""
    for spike in traffic.rate.spikes:
        yield Event(spike.start, spike.end, f"{spike.times:g} times as many {traffic.name}")
