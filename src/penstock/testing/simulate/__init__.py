"""A configuration under simulated traffic, outages and spikes, hours of it in seconds.

`simulate(load_scenario("scenario.yaml"), seed=7)` gives a `Report`; `penstock simulate` shows it. The gateway is the
real one, on a virtual clock; only the providers and the network to them are simulated. Nothing leaves the process, and
no secret is read. docs/simulate.md tells how a scenario is written.
"""

from __future__ import annotations

from penstock.testing.simulate.reading import load_scenario
from penstock.testing.simulate.report import Report, encode_report
from penstock.testing.simulate.running import simulate
from penstock.testing.simulate.scenario import Scenario

__all__ = ["Report", "Scenario", "encode_report", "load_scenario", "simulate"]
