"""Five thousand hostile inputs: no 5xx, no second answer, no traceback, and memory stays where it was."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.end_to_end.providers import Provider
from tests.security.attack import UP_KEY, attack, memory, serve
from tests.security.hostile import hostile_inputs
from tests.soak.figures import tell

pytestmark = pytest.mark.soak

COUNT = 5_000
MAX_BODY = 32 * 1024 * 1024


@pytest.mark.parametrize("seed", [1, 2])
def test_five_thousand(tmp_path: Path, seed: int) -> None:
    with Provider(UP_KEY) as provider, serve(tmp_path, provider) as served:
        asyncio.run(attack(served.port, hostile_inputs(seed + 1000, 200)))
        before = memory(served, "VmRSS")
        attacked = asyncio.run(attack(served.port, hostile_inputs(seed, COUNT)))
        grown = memory(served, "VmHWM") - before
        assert attacked.faults == []
        provider.journal.wait_until_quiet()
        assert served.stop() == 0
        assert "Traceback" not in served.told.text
        assert all(line["status"] < 500 for line in served.lines)
    assert grown < 2 * MAX_BODY
    statuses = dict(sorted(attacked.statuses.items()))
    tell(f"{COUNT} hostile inputs, seed {seed}: {statuses}, memory +{grown / 2**20:.1f} MiB at most")
