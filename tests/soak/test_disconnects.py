"""A thousand callers that leave: their providers' ends are closed within 250 ms, and no task is left.

Gateway, callers and provider are one thread: what that waits for a core is not counted, for it is others' time.
"""

from __future__ import annotations

from statistics import median

import pytest

from penstock.testing import SimulatedProvider, SimulatedServer
from tests.real import Real, on_uvloop
from tests.server.disconnects import leave_all
from tests.soak.figures import tell
from tests.soak.load import percentile
from tests.soak.machine import OwnTime, waited

pytestmark = pytest.mark.soak

COUNT = 1_000
SECONDS = 0.25
# On a quiet machine it takes five seconds.
PATIENCE_SECONDS = 120.0


def test_a_thousand() -> None:
    async def main() -> list[float]:
        provider = SimulatedServer(SimulatedProvider(OwnTime(), keep=COUNT))
        async with Real(upstream=provider) as real:
            return await leave_all(real, COUNT)

    before = waited()
    took = on_uvloop(main, PATIENCE_SECONDS)
    tell(
        f"{COUNT} disconnects, {len(took)} of them with a provider at work: its end is closed within "
        f"{median(took) * 1e3:.1f} ms (p50), {percentile(took, 0.99) * 1e3:.1f} ms (p99), without the"
        f" {waited() - before:.1f} s in which all of it waited for a core; no task left"
    )
    assert percentile(took, 0.99) < SECONDS
