"""Attack 19: five thousand slow callers for a minute, beside a good one at 200 requests a second."""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from statistics import median

import pytest
import uvloop

from tests.end_to_end.process import Served, environment
from tests.security.attack import memory, processor
from tests.soak.figures import tell
from tests.soak.load import at_rate, now, percentile

pytestmark = pytest.mark.soak

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
SOCKETS = 5_000
SECONDS = 60
RATE = 200
WINDOW = 10.0


@contextmanager
def program(name: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """One of this folder's programs, as long as the block lasts."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / name), *map(str, arguments)],
        env=environment(PYTHONPATH=f"{ROOT}:{ROOT / 'src'}"),
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextmanager
def gateway(folder: Path, server: str = "", more: str = "") -> Iterator[Served]:
    """A gateway process in front of a provider process."""
    with program("provider.py") as provider:
        assert provider.stdout is not None
        simulated, long = provider.stdout.readline().split()
        (folder / "penstock.yaml").write_text(
            f"auth: open\nlog: {{to: none}}\nserver: {{{server}}}\n"
            f'providers:\n  up: {{kind: openai, base_url: "{simulated}", api_key: none}}\n'
            f'  long: {{kind: openai, base_url: "{long}", api_key: none}}\n{more}\n'
        )
        with Served(folder) as served:
            yield served
            assert served.stop() == 0
            assert "Traceback" not in served.told.text


def good_caller(port: int, seconds: float) -> list[list[float]]:
    """Its seconds for each answer, by windows; all must be 200."""
    windows: list[list[float]] = [[] for _ in range(int(seconds / WINDOW))]
    began = now()

    def note(at: float, status: int, took: float) -> None:
        assert status == 200
        windows[min(len(windows) - 1, int((at - began) / WINDOW))].append(took)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(at_rate(port, RATE, seconds, note))
    return windows


def p99(windows: list[list[float]]) -> float:
    """Of the middle one of the windows: others' work on the same machine comes and goes."""
    return median(percentile(window, 0.99) for window in windows)


def test_a_good_caller_beside_five_thousand_slow_ones(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS + 1000
    if hard != resource.RLIM_INFINITY and hard < 3 * SOCKETS:
        pytest.skip(f"{hard} open files are too few for the gateway")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with gateway(tmp_path) as served:
        good_caller(served.port, WINDOW)
        idle = good_caller(served.port, 3 * WINDOW)
        before, worked = memory(served, "VmRSS"), processor(served)
        with program("crowd.py", served.port, SOCKETS, SECONDS + 2) as crowd:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == "ready\n"
            beside = good_caller(served.port, SECONDS)
            grown, worked = memory(served, "VmHWM") - before, processor(served) - worked
            told = json.loads(crowd.stdout.readline())
        after = good_caller(served.port, 3 * WINDOW)
    calm = max(p99(idle), p99(after))
    tell(
        f"{told['sockets']} slow sockets for {SECONDS} s, cut {told['cut']}: a good caller at {RATE}/s has "
        f"p50 {median(chain(*beside)) * 1e3:.2f} ms and p99 {p99(beside) * 1e3:.2f} ms beside them, "
        f"{median(chain(*idle)) * 1e3:.2f} and {calm * 1e3:.2f} ms without; "
        f"memory +{grown / SOCKETS / 1024:.1f} KiB each, {worked / SECONDS:.0%} of a core"
    )
    assert min(told["cut"].values()) >= SOCKETS // 3, "each kind is cut"
    assert p99(beside) < 2 * calm
