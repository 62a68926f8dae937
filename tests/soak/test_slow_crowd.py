"""Attack 19: five thousand slow callers for a minute, beside a good one at 200 requests a second.

The gateway's loop has a core of its own. All others share what is left: the good caller and its provider, and behind
them, with least priority, the crowd and the provider that the crowd asks, so that what is measured is the gateway.
"""

from __future__ import annotations

import asyncio
import json
import os
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
from tests.soak.crowd import NICE
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
def last_provider() -> Iterator[str]:
    """A provider of long answers that lets all others go first; its base URL."""
    with program("provider.py") as process:
        assert process.stdout is not None
        _, long = process.stdout.readline().split()
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
        yield long


@contextmanager
def apart() -> Iterator[set[int]]:
    """This process and what it starts run on all cores but one, as in the benchmarks; that one's number."""
    cores = os.sched_getaffinity(0)
    one = {min(cores)}
    os.sched_setaffinity(0, cores - one or one)
    try:
        yield one
    finally:
        os.sched_setaffinity(0, cores)


@contextmanager
def gateway(folder: Path, server: str = "", more: str = "", behind: str = "") -> Iterator[Served]:
    """A gateway process in front of a provider process.

    Args:
        behind: the base URL of what answers `long/...`; "": that process too.
    """
    with program("provider.py") as provider:
        assert provider.stdout is not None
        simulated, long = provider.stdout.readline().split()
        (folder / "penstock.yaml").write_text(
            f"auth: open\nlog: {{to: none}}\nserver: {{{server}}}\n"
            f'providers:\n  up: {{kind: openai, base_url: "{simulated}", api_key: none}}\n'
            f'  long: {{kind: openai, base_url: "{behind or long}", api_key: none}}\n{more}\n'
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


def queued(served: Served) -> float:
    """Seconds for which the gateway had something to do and no core, since others ran (proc(5): `schedstat`)."""
    return int(Path(f"/proc/{served.process.pid}/schedstat").read_text().split()[1]) / 1e9


def p99(windows: list[list[float]]) -> float:
    """Of the middle one of the windows: others' work on the same machine comes and goes."""
    return median(percentile(window, 0.99) for window in windows)


def told_by_window(windows: list[list[float]]) -> str:
    """Each one's p99 in ms."""
    return ", ".join(f"{percentile(window, 0.99) * 1e3:.1f}" for window in windows)


def test_a_good_caller_beside_five_thousand_slow_ones(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = SOCKETS + 1000
    if hard != resource.RLIM_INFINITY and hard < 3 * SOCKETS:
        pytest.skip(f"{hard} open files are too few for the gateway")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    with apart() as core, last_provider() as behind, gateway(tmp_path, behind=behind) as served:
        os.sched_setaffinity(served.process.pid, core)
        good_caller(served.port, WINDOW)
        idle = good_caller(served.port, 3 * WINDOW)
        before, worked, waited = memory(served, "VmRSS"), processor(served), queued(served)
        with program("crowd.py", served.port, SOCKETS, SECONDS + 2) as crowd:
            assert crowd.stdout is not None
            assert crowd.stdout.readline() == "ready\n"
            beside = good_caller(served.port, SECONDS)
            grown, worked = memory(served, "VmHWM") - before, processor(served) - worked
            waited = queued(served) - waited
            told = json.loads(crowd.stdout.readline())
        after = good_caller(served.port, 3 * WINDOW)
    calm = max(p99(idle), p99(after))
    tell(
        f"{told['sockets']} slow sockets for {SECONDS} s, cut {told['cut']}: a good caller at {RATE}/s has "
        f"p50 {median(chain(*beside)) * 1e3:.2f} ms and p99 {p99(beside) * 1e3:.2f} ms beside them "
        f"({percentile(list(chain(*beside)), 0.99) * 1e3:.2f} ms from their first moment to the last), "
        f"{median(chain(*idle)) * 1e3:.2f} and {calm * 1e3:.2f} ms without; "
        f"p99 by {WINDOW:g} s: {told_by_window(idle)} without, {told_by_window(beside)} beside, {told_by_window(after)}"
        f" after them; it waited for a core for {waited / SECONDS:.1%} of the time; "
        f"memory +{grown / SOCKETS / 1024:.1f} KiB each, {worked / SECONDS:.0%} of a core"
    )
    assert told["kept"] > 0.95, "others left the crowd too little of the core"
    assert min(told["cut"].values()) >= SOCKETS // 3, "each kind is cut"
    assert p99(beside) < 2 * calm
