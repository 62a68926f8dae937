"""Processes under measurement: start them on a core, read what the OS says about them, and end them all."""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class Cores:
    """The core of the proxy under test, and the core of everything else; one and the same when there is only one."""

    def __init__(self) -> None:
        allowed = sorted(os.sched_getaffinity(0))
        self.proxy, self.rest = allowed[0], allowed[1 % len(allowed)]

    @property
    def apart(self) -> bool:
        """False: the machine has one core, and the proxy's throughput says little."""
        return self.proxy != self.rest


@contextmanager
def ahead_of_others(wanted: bool) -> Iterator[None]:
    """Run this process, and those it starts, before other work of the machine; raises PermissionError if not root.

    The kernel weighs sessions before it weighs processes (sched(7), autogroup), so a nice value alone does nothing
    against work of another session. The session's weight is put back at the end.
    """
    session, before = Path("/proc/self/autogroup"), ""
    if wanted:
        os.nice(-15)
        if session.exists():
            before = session.read_text().split()[-1]
            session.write_text("-15")
    try:
        yield
    finally:
        if before:
            session.write_text(before)


class Processes:
    """The processes of one benchmark; leaving the `with` block ends those still running, as does our own death."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Processes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in reversed(self._running):
            end(process)

    def start(
        self,
        command: Sequence[str | Path],
        *,
        core: int,
        log: Path,
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start `command` pinned to `core`, its output in `log`."""

        def in_child() -> None:
            os.sched_setaffinity(0, {core})
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)

        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                cwd=folder,
                preexec_fn=in_child,
            )
        self._running = [other for other in self._running if other.poll() is None]
        self._running.append(process)
        return process


def end(process: subprocess.Popen[bytes]) -> None:
    """End one process: SIGTERM, and SIGKILL when it has not gone after five seconds."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
    process.wait()


def free_port() -> int:
    """A port on 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def raise_file_limit(held: int) -> None:
    """For this process and its children: a proxy needs two sockets for each open stream."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * held + 1000
    if soft < wanted:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def cpu_seconds(pid: int) -> float:
    """CPU time (user and system) of a process and its descendants, all threads, ended ones included.

    Read from the process's CPU clock: the sum that /proc/PID/stat shows, in nanoseconds instead of ticks of 10 ms.
    """
    return sum(time.clock_gettime((~member << 3) | 2) for member in family(pid))


def resident_bytes(pid: int) -> int:
    """Resident memory of a process and its descendants, shared pages counted in each."""
    page = os.sysconf("SC_PAGE_SIZE")
    return sum(int(Path(f"/proc/{member}/statm").read_text().split()[1]) * page for member in family(pid))


def busy_seconds(core: int) -> float:
    """How long a core has been busy since boot, with what the hypervisor took from it."""
    for line in Path("/proc/stat").read_text().splitlines():
        if line.startswith(f"cpu{core} "):
            user, nice, system, _idle, _wait, irq, softirq, steal = map(int, line.split()[1:9])
            return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    raise LookupError(f"/proc/stat has no cpu{core}")


def family(pid: int) -> list[int]:
    """A process and its descendants, by id, itself first."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            parents[int(folder.name)] = int(fields[1])
    members = [pid]
    for member in members:
        members += [child for child, parent in parents.items() if parent == member]
    return members
