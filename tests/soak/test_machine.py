"""What others take of the machine is told apart from what is ours."""

from __future__ import annotations

import os
from pathlib import Path

from penstock.clock import SystemClock
from tests.soak.machine import Neighbours, OwnTime, waited

TICKS = os.sysconf("SC_CLK_TCK")


def write(proc: Path, busy: int, processes: dict[int, tuple[int, int, int]]) -> None:
    """A /proc: ticks of all that ran, and of each process its parent, its own and its ended children's ticks."""
    (proc / "stat").write_text(f"cpu  {busy} 0 0 123456 789 0 0 0 0 0\ncpu0 1 2 3\n")
    for number, (parent, own, children) in processes.items():
        folder = proc / str(number)
        folder.mkdir(exist_ok=True)
        behind = f"S {parent} 1 1 0 -1 0 0 0 0 0 {own} 0 {children} 0 20 0"
        (folder / "stat").write_text(f"{number} (a (strange) name) {behind}")


def test_what_descends_from_us_is_ours_be_it_over_or_not(tmp_path: Path) -> None:
    write(tmp_path, 1000, {1: (0, 5, 0), 10: (1, 20, 30), 11: (10, 40, 0), 99: (1, 500, 0)})
    neighbours = Neighbours(tmp_path, root=10)
    # 60 ticks more of ours, 20 of them of a grandchild that has ended; 340 of others, 300 of them of 99.
    write(tmp_path, 1400, {10: (1, 40, 30), 11: (10, 60, 20), 99: (1, 800, 0)})
    cores, seconds = neighbours.cores(), neighbours.seconds
    assert 340 / TICKS / seconds <= cores <= 340 / TICKS / (seconds / 2)


def test_alone_nobody_takes_anything(tmp_path: Path) -> None:
    write(tmp_path, 1000, {10: (1, 20, 30)})
    neighbours = Neighbours(tmp_path, root=10)
    write(tmp_path, 1500, {10: (1, 520, 30), 12: (10, 1, 0)})
    assert neighbours.cores() == 0.0


def test_here_it_can_be_read() -> None:
    cores, count = Neighbours().cores(), os.cpu_count()
    assert count is not None
    assert cores >= 0.0


def test_time_of_ones_own_is_time_without_the_wait_for_a_core() -> None:
    clock, began = OwnTime(), SystemClock.monotonic()
    own, before = clock.monotonic(), waited()
    burnt = SystemClock.monotonic() + 0.05
    while SystemClock.monotonic() < burnt:
        pass
    took, outside = clock.monotonic() - own, waited() - before
    assert 0 < took <= SystemClock.monotonic() - began - outside + 1e-3
    assert outside >= 0
