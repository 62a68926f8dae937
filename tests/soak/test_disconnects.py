"""A thousand callers that leave: their providers' ends are closed within 250 ms, and no task is left."""

from __future__ import annotations

from statistics import median

import pytest

from penstock.clock import SystemClock
from penstock.testing import SimulatedProvider, SimulatedServer
from tests.real import Real, on_uvloop
from tests.server.disconnects import leave_all
from tests.soak.figures import tell
from tests.soak.load import percentile

pytestmark = pytest.mark.soak

COUNT = 1_000
SECONDS = 0.25


def test_a_thousand() -> None:
    async def main() -> list[float]:
        provider = SimulatedServer(SimulatedProvider(SystemClock(), keep=COUNT))
        async with Real(upstream=provider) as real:
            return await leave_all(real, COUNT)

    took = on_uvloop(main)
    tell(
        f"{COUNT} disconnects, {len(took)} of them with a provider at work: its end is closed within "
        f"{median(took) * 1e3:.1f} ms (p50), {percentile(took, 0.99) * 1e3:.1f} ms (p99); no task left"
    )
    assert percentile(took, 0.99) < SECONDS
