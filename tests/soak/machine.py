"""What else this machine does while a soak test runs: who reads a time must know it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.clock import SystemClock

__all__ = ["BUSY", "Neighbours", "OwnTime", "ahead_of_all", "waited"]

# Of one core: from here on others are told of beside a failure.
BUSY = 0.25
_TICKS = os.sysconf("SC_CLK_TCK")
# Of a line of /proc/PID/stat behind the name, from the state on (proc(5)): parent; user, system, and both of the
# children that have ended.
_PARENT, _USED = 1, slice(11, 15)
# Of the first line of /proc/stat: all but idle and waiting for a disk. A guest's time is in the user's.
_BUSY = (1, 2, 3, 6, 7, 8)


def waited() -> float:
    """Seconds in which this thread could have run and had no core, since its beginning (proc(5), schedstat)."""
    return int(Path("/proc/thread-self/schedstat").read_text().split()[1]) / 1e9


@contextmanager
def ahead_of_all() -> Iterator[bool]:
    """This process has a core whenever it wants one (sched(7), SCHED_FIFO): for one that measures, and mostly waits.

    Gives whether this user may say so; without it nothing changes.
    """
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, *before)


class OwnTime(SystemClock):
    """The machine's clock without the time in which this thread waited for a core, which is its neighbours'."""

    @staticmethod
    def monotonic() -> float:
        return time.monotonic() - waited()


class Neighbours:
    """The processes that are not ours, from now on.

    Ours is whoever descends from `PENSTOCK_SOAK`, a process id, or from this process. Who outlives a parent that was
    killed is taken for another's, so what is told of others is the most that it can be.

    Args:
        proc: where the system tells of itself.
    """

    def __init__(self, proc: Path = Path("/proc"), root: int | None = None) -> None:
        self._proc = proc
        self._root = int(os.environ.get("PENSTOCK_SOAK", os.getpid())) if root is None else root
        self._began = time.monotonic()
        self._before = self._others()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return time.monotonic() - self._began

    def cores(self) -> float:
        """How many cores they have taken since, on average."""
        return max(0.0, self._others() - self._before) / max(self.seconds, 1e-9)

    def _others(self) -> float:
        """CPU seconds of everybody but us, since the machine's start."""
        fields = (self._proc / "stat").read_text().split("\n", 1)[0].split()
        return (sum(int(fields[at]) for at in _BUSY) - self._ours()) / _TICKS

    def _ours(self) -> int:
        children: dict[int, list[int]] = {}
        used: dict[int, int] = {}
        for process in self._proc.iterdir():
            if process.name.isdigit():
                try:
                    fields = (process / "stat").read_text().rpartition(")")[2].split()
                except OSError:  # it has ended meanwhile
                    continue
                children.setdefault(int(fields[_PARENT]), []).append(int(process.name))
                used[int(process.name)] = sum(map(int, fields[_USED]))
        ours, waiting = 0, [self._root]
        while waiting:
            process_id = waiting.pop()
            ours += used.get(process_id, 0)
            waiting += children.get(process_id, ())
        return ours
