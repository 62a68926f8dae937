"""The test kit: virtual time, an in-memory network with faults, cancellation at every await, failure at every I/O.

Public, and the one Penstock tests itself with. Imported by tests only, so its names load at once.
"""

from __future__ import annotations

from penstock.providers.simulated import SimulatedProvider
from penstock.testing.clock import FakeClock, SeededRandom, SimClock
from penstock.testing.fleet import Fleet
from penstock.testing.provider import EOF, RESET, ScriptedUpstream, SimulatedServer
from penstock.testing.simloop import SimLoop, run
from penstock.testing.sweep import Cancel, Failing, sweep_cancellations, sweep_failures, sweep_scenario
from penstock.testing.virtual_time import SimDeadlock, SimTimeout
from penstock.transport.link import Connection, Faults, Link, draw_faults
from penstock.transport.memory import open_transports, pipe
from penstock.transport.network import Network

__all__ = [
    "EOF",
    "RESET",
    "Cancel",
    "Connection",
    "Failing",
    "FakeClock",
    "Faults",
    "Fleet",
    "Link",
    "Network",
    "ScriptedUpstream",
    "SeededRandom",
    "SimClock",
    "SimDeadlock",
    "SimLoop",
    "SimTimeout",
    "SimulatedProvider",
    "SimulatedServer",
    "draw_faults",
    "open_transports",
    "pipe",
    "run",
    "sweep_cancellations",
    "sweep_failures",
    "sweep_scenario",
]
